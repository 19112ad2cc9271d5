"""Tensors to a scalar: each `*_loss.py` holds a formula as a function and its registered class."""
