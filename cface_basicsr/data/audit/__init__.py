"""Which people and pictures two sets share."""
