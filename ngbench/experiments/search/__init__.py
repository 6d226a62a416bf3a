"""Searching for hyper-parameters: spaces, samplers, trials that several processes share, and what came of them."""
