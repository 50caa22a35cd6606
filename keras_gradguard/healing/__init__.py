"""Searches for changes that make a sick model learn, by training variants."""
