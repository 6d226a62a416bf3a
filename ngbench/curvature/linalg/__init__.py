"""Linear algebra of small matrices, and how precisely and on how many threads it is computed."""
