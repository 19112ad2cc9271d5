"""Single images: reading, cropping, aligning, downscaling, and conversion to tensors."""
