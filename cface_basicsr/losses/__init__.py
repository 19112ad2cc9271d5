"""Tensors to a scalar: in each `*_loss.py` a formula function and its registered class."""
