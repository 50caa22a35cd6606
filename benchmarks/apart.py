"""Runs one case of a benchmark in a process of its own."""

import json
import os
import pathlib
import subprocess
import sys


def apart(script, name, way, folder):
    """Return what a script prints last, as JSON, for `--one NAME WAY`.

    Args:
        script: Path of the script.
        name: Name of the case.
        way: What is done with it.
        folder: Checkout of the package to import.
    """
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, str(script), "--one", name, way],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=pathlib.Path(script).resolve().parent,
    )
    return json.loads(done.stdout.splitlines()[-1])
