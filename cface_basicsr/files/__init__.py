"""What lies on disk, whole or not there: network files, recognizer files, face stores, lists."""
