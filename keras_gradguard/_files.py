"""Writing files and JSON without surprises."""

import os
from pathlib import Path

import numpy as np


def write_atomically(path, write):
    """Call `write(file)` so that `path` is never seen half written."""
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(draft, "wb") as file:
            write(file)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


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
