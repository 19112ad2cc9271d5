"""Foreign file formats, read by offset."""
