"""Identity-preserving face super-resolution (C-Face) as a plugin of BasicSR."""

__version__ = '0.1.0'
