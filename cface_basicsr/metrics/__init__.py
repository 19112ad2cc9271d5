"""One image pair to one float, for BasicSR's validation loop."""
