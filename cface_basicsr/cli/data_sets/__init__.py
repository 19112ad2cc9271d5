"""Commands about data sets: draw, pack, compare, index, super-resolve, look at and take apart."""
