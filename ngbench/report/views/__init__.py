"""One function for each kind of record, from what it holds to the blocks that all outputs show."""
