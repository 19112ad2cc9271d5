"""Readers of foreign archive formats, which find images by their offsets."""
