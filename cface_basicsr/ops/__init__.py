"""Pure tensor arithmetic: no state, no files, no registry."""
