"""What people have on disk, turned into one list of photographs."""
