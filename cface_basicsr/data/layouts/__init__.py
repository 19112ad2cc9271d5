"""Every layout in which a data set may come, turned into one list of photographs."""
