"""The search for people and pictures that two sets share."""
