"""The Fisher matrix of a model: of independent blocks, with a coarse level, or exact."""
