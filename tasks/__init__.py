"""The built-in task plugins, registered through the same entry points as anybody else's."""
