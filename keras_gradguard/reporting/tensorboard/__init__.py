"""Writes a run for TensorBoard: events, histograms, the tab's series."""
