"""Telling people: console, files, plots, pages, TensorBoard.

A reporter has four methods, all of which get the `Trace`:
`on_findings(findings, trace)`, `on_records(trace, first_step)`,
`on_epoch(trace, epoch)` and `close(trace, findings)`.
"""
