"""One picture: read, cropped, aligned, made small, made a tensor."""
