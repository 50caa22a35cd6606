"""Runs the cases of a benchmark by turns, each in a process of its own."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

BEFORE = "before"


def options(description, runs):
    """Return the parser of a benchmark whose cases run apart.

    Args:
        description: Docstring of the script; its first line is shown.
        runs: Default number of runs.
    """
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--only", default="", help="part of a name")
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--before", help="checkout of an earlier version")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    return parser


def by_turns(script, names, ways, arguments):
    """Yield each name with what its runs said: way -> list of dicts.

    Args:
        script: Path of the script, which does `--one NAME WAY`.
        names: Names of the cases.
        ways: What is done with each, in this order.
        arguments: What the parser of `options` returned. With `before`, that
            checkout takes its turn, as a way of that name.
    """
    folders = dict.fromkeys(ways, pathlib.Path(script).resolve().parent.parent)
    if arguments.before:
        folders[BEFORE] = pathlib.Path(arguments.before).resolve()
    for name in names:
        if arguments.only not in name:
            continue
        lines = {way: [] for way in folders}
        for _ in range(arguments.runs):
            for way, folder in folders.items():
                lines[way].append(apart(script, name, way, folder))
        yield name, lines


def medians(lines, *keys):
    """Return way -> list of the medians of its runs, one for each key."""
    return {
        way: [statistics.median(run[key] for run in runs) for key in keys]
        for way, runs in lines.items()
    }


def head(*columns):
    """Print the head of a table."""
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|", flush=True)


def apart(script, name, way, folder=None, more=()):
    """Return what a script prints last, as JSON, for `--one NAME WAY`.

    Args:
        script: Path of the script.
        name: Name of the case.
        way: What is done with it.
        folder: Checkout of the package to import. Defaults to the script's.
        more: Further arguments of the script.
    """
    script = pathlib.Path(script).resolve()
    folder = folder or script.parent.parent
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, str(script), "--one", name, way, *more],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=script.parent,
    )
    return json.loads(done.stdout.splitlines()[-1])
