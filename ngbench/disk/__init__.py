"""Reading and writing files whole or not at all, under locks, with one sentence for what went wrong."""
