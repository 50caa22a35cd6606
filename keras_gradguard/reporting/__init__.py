"""Telling people: console, files, plots, pages, TensorBoard.

A reporter is a subclass of `reporter.Reporter`; `writers.WRITERS` lists those
that write into the directory of a run.
"""
