"""Trained networks by name: their cards, where they are, and how one comes to this machine."""
