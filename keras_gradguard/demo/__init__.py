"""The classic networks that do not learn, and their cures."""
