"""Optimizers: ``torch.optim.Optimizer`` subclasses and the functions that register them as plugins."""
