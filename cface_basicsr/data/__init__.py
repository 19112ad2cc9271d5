"""From disk to tensors: importers, the compare index, data sets, the audit, and synthetic faces."""
