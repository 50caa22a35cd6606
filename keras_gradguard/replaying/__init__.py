"""Runs the steps of a capsule once more, and finds what was at fault."""
