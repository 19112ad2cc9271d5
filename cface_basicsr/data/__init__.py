"""Disk to tensors: stores, importers, the compare index, data sets, generated faces."""
