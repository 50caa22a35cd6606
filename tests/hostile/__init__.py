"""Generators of bad input, and what each kind of it must come to.

A reader of files, streams or arguments that is new is tested with these.
"""
