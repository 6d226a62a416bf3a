"""How well approximations match Fisher blocks, measured along a training run."""
