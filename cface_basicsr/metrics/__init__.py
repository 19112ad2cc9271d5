"""From a pair of images to a number, for BasicSR's validation loop."""
