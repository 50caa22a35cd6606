"""Finds weights that no training should start from, without any data."""
