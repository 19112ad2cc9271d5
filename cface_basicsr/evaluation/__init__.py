"""Whole-set protocols: how good is the set, by whose protocol."""
