"""The file format of a trace, and its form for JSON.

One `.npz`: arrays without pickle, plus a JSON header as bytes.
"""

import json
import zipfile
import zlib

import numpy as np

from keras_gradguard._files import jsonable
from keras_gradguard._files import write_atomically
from keras_gradguard.trace.series import ACTIVATION_SERIES
from keras_gradguard.trace.series import DATA_SERIES
from keras_gradguard.trace.series import SERIES

_FORMAT = "keras_gradguard.trace"
_VERSION = 1
_TABLES = ("records", "updates", "activations", "epochs", "blocks")
_FIXES = "Pass a file that Trace.save wrote."


def save(trace, path):
    """Write `trace` to `path`, whole or not at all."""
    arrays, tables = {}, {}
    for table in _TABLES:
        columns, tables[table] = getattr(trace._tables, table).state()
        for name, column in columns.items():
            arrays[f"{table}:{name}"] = column
    for name, column in (trace._tables.blocks.pending or {}).items():
        arrays[f"pending:{name}"] = column
    arrays["owners"] = trace.owners
    arrays["pinned"] = trace._tables.pinned
    arrays["of_findings"] = trace._tables.of_findings
    variables = trace._variables
    arrays["_seen_gradient"] = variables.seen_gradient
    if variables.said_gradient is not None:
        arrays["_has_gradient"] = variables.said_gradient
    if variables.sizes is not None:
        arrays["_sizes"] = variables.sizes
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "layers": trace.layers.tolist(),
        "variables": trace.variables.tolist(),
        "tables": tables,
        "extra": trace._records.extra_names,
        "sites": trace.sites.tolist(),
        "nonfinite_kept": trace._tables.nonfinite_kept,
        "found": trace.found,
    }
    try:
        header["meta"] = trace.meta
        text = json.dumps(header)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "Trace.save: `meta` must hold only what JSON can: str, numbers, "
            f"bool, None, lists and dicts. {error}."
        ) from error
    arrays["header"] = np.frombuffer(text.encode(), np.uint8)
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays))


def load(cls, path):
    """Read a trace of class `cls` from `path`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop("header").tobytes().decode())
    except OSError:
        raise
    except (
        ValueError,
        KeyError,
        EOFError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(
            f"Trace.load: `path` must be a saved trace. Received: "
            f"path={str(path)!r}, which is none or is damaged ({error}). "
            f"{_FIXES}"
        ) from error
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise ValueError(
            "Trace.load: `path` must be a saved trace. Received: "
            f"path={str(path)!r}, which is another kind of file. {_FIXES}"
        )
    if header["version"] > _VERSION:
        raise ValueError(
            f"Trace.load: the file {str(path)!r} has format "
            f"{header['version']}; this package reads up to {_VERSION}. "
            "Run: pip install --upgrade keras-gradguard"
        )
    try:
        return _rebuild(cls, header, arrays)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(
            f"Trace.load: `path` must be a saved trace. Received: "
            f"path={str(path)!r}, in which {error} is missing or damaged. "
            f"{_FIXES}"
        ) from error


def _rebuild(cls, header, arrays):
    trace = cls(
        header["layers"],
        header["variables"],
        arrays["owners"],
        meta=header["meta"],
        has_gradient=arrays.get("_has_gradient"),
        sizes=arrays.get("_sizes"),
    )
    trace._variables.seen_gradient = arrays["_seen_gradient"]
    trace._tables.pinned = arrays["pinned"]
    trace._tables.of_findings = arrays["of_findings"]
    trace._records.extra_names = header["extra"]
    trace._activations.sites = np.array(header["sites"], dtype=str)
    trace._tables.nonfinite_kept = header["nonfinite_kept"]
    trace.found = header["found"]
    parts = {}
    for key, array in arrays.items():
        table, _, name = key.partition(":")
        if name:
            parts.setdefault(table, {})[name] = array
    for table in _TABLES:
        getattr(trace._tables, table).restore(
            parts[table], header["tables"][table]
        )
    trace._tables.blocks.pending = parts.get("pending")
    return trace


def to_dict(trace):
    """Return `trace` in the form described at `Trace.to_dict`."""
    series = {}
    for name in SERIES[1:]:
        _, values = trace.measured(name)
        series[name] = values
    return jsonable(
        {
            "layers": trace.layers,
            "variables": trace.variables,
            "owners": trace.owners,
            "steps": trace.steps,
            "grad_norm": trace.get("grad_norm"),
            "global_grad_norm": trace.global_grad_norm,
            "clipped_grad_norm": trace.clipped_grad_norm,
            "skipped": trace.skipped,
            "extra": trace.extra,
            "update_steps": trace.update_steps,
            "measured": series,
            "sites": trace.sites,
            "activation_steps": trace.activation_steps,
            "activations": {
                name: trace.activation(name) for name in ACTIVATION_SERIES
            },
            "data": {name: trace.data(name) for name in DATA_SERIES},
            "epochs": trace.epochs,
            "epoch_steps": trace.epoch_steps,
            "logs": trace.logs,
            "meta": trace.meta,
        }
    )
