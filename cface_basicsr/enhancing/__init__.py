"""Photographs in, the same photographs out, with their small faces super-resolved."""
