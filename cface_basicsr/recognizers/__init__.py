"""Anything that turns faces into features: files of many kinds, and callables."""
