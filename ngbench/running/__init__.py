"""The training loop, its budgets, checkpoints, and the processes in which the arms of a comparison take turns."""
