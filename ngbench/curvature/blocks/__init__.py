"""The Fisher block of a layer as an implicit operator, for each type of layer."""
