"""Protocols over the features or images of a whole set, each with its source."""
