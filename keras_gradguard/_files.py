"""Writing files and JSON without surprises."""

import contextlib
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

# On Windows a file that somebody has open cannot be replaced, and TensorBoard
# or a scanner for viruses opens what is new. Seconds to wait between tries.
_WAITS = (0.01, 0.03, 0.1, 0.3)


def write_atomically(path, write):
    """Call `write(file)` so that `path` is never seen half written."""
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(draft, "wb") as file:
            write(file)
        _replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _replace(draft, path):
    for wait in _WAITS:
        try:
            os.replace(draft, path)
        except PermissionError:
            time.sleep(wait)
        else:
            return
    os.replace(draft, path)


def remove_drafts(folder, names):
    """Remove the drafts that a killed process left of files of a folder.

    Args:
        folder: Path.
        names: Names of the files, of which nobody else writes any now.
    """
    whole = "|".join(map(re.escape, names))
    draft = re.compile(rf"\.({whole})\.\d+\.tmp")
    for path in Path(folder).iterdir():
        if draft.fullmatch(path.name):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def naming_log_dir(owner, log_dir):
    """Let an error of the file system say which argument it is about.

    Args:
        owner: Class that took the argument.
        log_dir: The directory.
    """
    try:
        yield
    except OSError as error:
        raise type(error)(
            error.errno,
            f"{owner}: `log_dir` must be a writable directory. Received: "
            f"log_dir={str(log_dir)[:200]!r} ({error.strerror}). Choose "
            "another directory or free some space",
        ) from error


def jsonable(value):
    """Return `value` with NaN as None and infinities as strings."""
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        if value != value:
            return None
        return "Infinity" if value > 0 else "-Infinity"
    return value


def nested_deeper(value, depth):
    """Return whether dicts and lists are nested deeper than so many levels."""
    level = [value]
    for _ in range(depth + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, Mapping | list | tuple)
            for inner in (
                outer.values() if isinstance(outer, Mapping) else outer
            )
        ]
        if not level:
            return False
    return True
