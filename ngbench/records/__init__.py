"""Records of runs: their shape, reading and writing them, and the statistics computed from them."""
