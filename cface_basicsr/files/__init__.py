"""What is on disk, complete or absent: network files, recognizer files, face stores, lists."""
