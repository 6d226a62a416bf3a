"""Plugins: where they are found, what their parameters are, and how they are made."""
