"""What a trace file must hold, looked at before a trace is made of it."""

import numpy as np

from keras_gradguard._files import nested_deeper
from keras_gradguard._validation import LARGEST
from keras_gradguard.trace import meta
from keras_gradguard.trace.archive import Damaged
from keras_gradguard.trace.blocks import BLOCK
from keras_gradguard.trace.series import ACTIVATION_SERIES
from keras_gradguard.trace.series import DATA_SERIES
from keras_gradguard.trace.series import GRADIENT_SERIES
from keras_gradguard.trace.series import UPDATE_SERIES
from keras_gradguard.trace.through_time import TIMES

TABLES = ("records", "updates", "activations", "times", "epochs", "blocks")
# Those that are in a file only where something was measured.
_LATER = ("times",)
_INT, _FLOAT, _DOUBLE, _BOOL = "i8", "f4", "f8", "b1"
_COUNTERS = {"capacity": 16, "seen": 0, "stride": 1}
_FINDING = {
    "rule": str,
    "severity": str,
    "layers": list,
    "first_step": int,
    "last_step": int,
    "evidence": dict,
    "message": str,
    "remedies": list,
}
_REMEDY = {"title": str, "why": str}


def check_header(header, limit):
    """Raise if what a header says cannot be.

    Args:
        header: Dict, of a file of this format.
        limit: Int. Bytes that a table of names may take.

    Raises:
        Damaged: With the field and what is wrong.
    """
    header.setdefault("recurrent", [])
    for name in ("layers", "variables", "extra", "sites", "recurrent"):
        names = _get(header, name, list)
        if not all(map(meta.is_text, names)):
            raise Damaged(f"`{name}` holds an entry that is no text")
        if len(names) * max(map(len, names), default=0) * 4 > limit:
            raise Damaged(f"`{name}` would take more room than is allowed")
    if len(set(header["extra"])) != len(header["extra"]):
        raise Damaged("`extra` names a series twice")
    counters = _get(header, "tables", dict)
    for table in tables_of(header):
        for name, least in _COUNTERS.items():
            value = _get(counters, table, dict, "tables.").get(name)
            if not _is_int(value) or not least <= value < LARGEST:
                raise Damaged(
                    f"`tables.{table}.{name}` is not a whole number from "
                    f"{least}"
                )
    _get(header, "nonfinite_kept", bool)
    for at, found in enumerate(_get(header, "found", list)):
        _check_finding(found, f"found.{at}")
    wrong = meta.problem(_get(header, "meta", dict))
    if wrong:
        raise Damaged(wrong)


def tables_of(header):
    """Return the names of the tables that a file has.

    Args:
        header: Dict, of a file of this format.
    """
    there = header.get("tables", {})
    return [name for name in TABLES if name not in _LATER or name in there]


def check_arrays(header, arrays):
    """Raise if the arrays of a file do not fit its header.

    Args:
        header: Dict that `check_header` has looked at.
        arrays: Dict of name to array.

    Raises:
        Damaged: With the array and what is wrong.
    """
    variables = len(header["variables"])
    _check(arrays, "owners", _INT, (variables,))
    for name, dtype in (
        ("_has_gradient", _BOOL),
        ("_seen_gradient", _BOOL),
        ("_sizes", _DOUBLE),
    ):
        if name in arrays or name == "_seen_gradient":
            _check(arrays, name, dtype, (variables,))
    sizes = arrays.get("_sizes", np.ones(1))
    # Not known is NaN.
    if not (np.isnan(sizes) | ((sizes >= 0) & (sizes < LARGEST))).all():
        raise Damaged("`_sizes` holds sizes that cannot be")
    for name in ("pinned", "of_findings"):
        _check(arrays, name, _INT, (None,))
    for table in tables_of(header):
        _check_table(table, header, arrays)
    for name in header["extra"]:
        if f"records:extra/{name}" not in arrays:
            raise Damaged(f"`records:extra/{name}` is missing")
    pending = [name for name in arrays if name.startswith("pending:")]
    if pending:
        kinds = {"step": _INT, "skipped": _BOOL, "extra/loss": _FLOAT}
        rows = len(_check(arrays, "pending:step", _INT, (None,)))
        if rows >= BLOCK:
            raise Damaged(f"`pending:step` holds {rows} rows, {BLOCK} or more")
        for name, dtype in kinds.items():
            _check(arrays, f"pending:{name}", dtype, (rows,))
        _check(arrays, "pending:grad_norm", _FLOAT, (rows, variables))


def _check_table(table, header, arrays):
    order = _check(arrays, f"{table}:_order", _INT, (None,))
    rows, counters = len(order), header["tables"][table]
    if rows and (order[0] < 0 or (np.diff(order) <= 0).any()):
        raise Damaged(f"`{table}:_order` does not rise")
    if not rows <= counters["seen"] or (rows and order[-1] >= counters["seen"]):
        raise Damaged(f"`tables.{table}.seen` is less than there is")
    if rows > counters["capacity"]:
        raise Damaged(f"`tables.{table}.capacity` is less than there is")
    known = _columns(table, header)
    for name, (dtype, shape) in known.items():
        if name in arrays or name.rpartition(":")[2] in _NEEDED[table]:
            column = _check(arrays, name, dtype, (rows, *shape))
            known_steps = dtype == _INT and not name.endswith(":_order")
            if known_steps and ((column < 0) | (column >= LARGEST)).any():
                raise Damaged(f"`{name}` holds steps that cannot be")
    for name, array in list(arrays.items()):
        if not name.startswith(f"{table}:") or name in known:
            continue
        if name.startswith("epochs:log/"):
            _check(arrays, name, _DOUBLE, (rows,))
        # What a later release measured is kept.
        if array.ndim < 1 or len(array) != rows:
            raise Damaged(f"`{name}` is not of {rows} rows")
        if not rows:
            del arrays[name]


_NEEDED = {
    "records": ("step", "grad_norm"),
    "updates": ("step",),
    "activations": ("step",),
    "times": ("step",),
    "epochs": ("epoch", "step"),
    "blocks": ("first_step", "last_step", "log_norm"),
}


def _columns(table, header):
    """Return dict of array name to dtype and shape of a row."""
    layers, variables = len(header["layers"]), len(header["variables"])
    columns: dict = {"_order": (_INT, ())}
    if table == "records":
        columns["step"] = (_INT, ())
        columns |= {n: (_FLOAT, (variables,)) for n in GRADIENT_SERIES}
        columns |= {"clipped": (_FLOAT, ()), "skipped": (_BOOL, ())}
        columns |= {f"extra/{n}": (_FLOAT, ()) for n in header["extra"]}
    elif table == "updates":
        columns["step"] = (_INT, ())
        columns |= {n: (_FLOAT, (variables,)) for n in UPDATE_SERIES}
    elif table == "activations":
        columns["step"] = (_INT, ())
        columns |= {f"data/{n}": (_FLOAT, ()) for n in DATA_SERIES}
        sites = len(header["sites"])
        columns |= {n: (_FLOAT, (sites,)) for n in ACTIVATION_SERIES}
    elif table == "times":
        rows = len(header["recurrent"])
        columns |= {"step": (_INT, ()), "length": (_INT, (rows,))}
        columns["norm"] = (_FLOAT, (rows, TIMES))
    elif table == "epochs":
        columns |= {"epoch": (_INT, ()), "step": (_INT, ())}
    else:
        columns |= {n: (_INT, ()) for n in ("first_step", "last_step")}
        for name in ("log_norm", "zero", "nonfinite"):
            columns[name] = (_FLOAT, (layers,))
        columns |= {n: (_FLOAT, ()) for n in ("global_log", "loss", "skipped")}
    return {f"{table}:{name}": kind for name, kind in columns.items()}


def _check(arrays, name, dtype, shape):
    """Return an array, or raise if it is not of this kind; None: any length."""
    if name not in arrays:
        raise Damaged(f"`{name}` is missing")
    array = arrays[name]
    if array.dtype.str[1:] != dtype:
        raise Damaged(f"`{name}` holds {array.dtype}, not {np.dtype(dtype)}")
    if array.ndim != len(shape) or any(
        want not in (None, have)
        for want, have in zip(shape, array.shape, strict=True)
    ):
        wanted = str(shape).replace("None", "n")
        raise Damaged(f"`{name}` is of shape {array.shape}, not {wanted}")
    return array


def _get(data, key, kind, path=""):
    """Return an entry of the header that must be there."""
    value = data.get(key)
    if kind is str and isinstance(value, str) and not meta.is_text(value):
        raise Damaged(f"`{path}{key}` holds half a character")
    if not isinstance(value, kind):
        came = "missing" if key not in data else f"no {kind.__name__}"
        raise Damaged(f"`{path}{key}` is {came}")
    return value


def _check_finding(found, where):
    if not isinstance(found, dict):
        raise Damaged(f"`{where}` is no dict")
    for key, kind in _FINDING.items():
        _get(found, key, kind, f"{where}.")
    for key in ("first_step", "last_step"):
        if not _is_int(found[key]) or abs(found[key]) >= LARGEST:
            raise Damaged(f"`{where}.{key}` is no step")
    epoch, cause = found.get("epoch"), found.get("cause")
    if epoch is not None and not (_is_int(epoch) and abs(epoch) < LARGEST):
        raise Damaged(f"`{where}.epoch` is no number of an epoch")
    if cause is not None and not isinstance(cause, str):
        raise Damaged(f"`{where}.cause` is no text")
    if not all(map(meta.is_text, found["layers"])):
        raise Damaged(f"`{where}.layers` holds an entry that is no text")
    if nested_deeper(found, 50):
        raise Damaged(f"`{where}` is nested too deep")
    for at, remedy in enumerate(found["remedies"]):
        inner = f"{where}.remedies.{at}"
        if not isinstance(remedy, dict):
            raise Damaged(f"`{inner}` is no dict")
        for key, kind in _REMEDY.items():
            _get(remedy, key, kind, f"{inner}.")
        if not meta.is_text(remedy.get("code", "")):
            raise Damaged(f"`{inner}.code` is no text")
        if not isinstance(remedy.get("arguments", {}), dict):
            raise Damaged(f"`{inner}.arguments` is no dict")
        if not isinstance(remedy.get("action"), str | None):
            raise Damaged(f"`{inner}.action` is no text")


def _is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)
