"""How layers and optimizers are written down as Python.

What is known of them comes from `models.calls`, or from a file, so nothing in
it is taken for granted.
"""

import json
import math
import re

_CALL = re.compile(r"(keras|kgg)(\.[A-Za-z_]\w*)+")
# Told by their place, where they come first.
_FIRST = (
    "inner_optimizer",
    "layer",
    "cell",
    "units",
    "filters",
    "kernel_size",
    "input_dim",
    "output_dim",
    "rate",
)
# Where a wrapper, or a layer that runs cells over time, has what it holds.
_INNER = ("layer", "backward_layer", "cell", "cells", "inner_optimizer")
_WIDTH = 76
# Keras's own clips, as arguments of an optimizer.
CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")


class Raw(str):
    """Python as it is."""


def call(_called, /, *leading, **arguments):
    """Return a call, as `models.calls.call_of` does.

    Args:
        _called: Str. What is called, e.g. `"keras.layers.Dense"`.
        *leading: Arguments by their place.
        **arguments: Those by their name.
    """
    return {"call": _called, "leading": list(leading), "arguments": arguments}


def is_call(told):
    """Return whether something is a call that code can say."""
    return (
        isinstance(told, dict)
        and isinstance(told.get("call"), str)
        and _CALL.fullmatch(told["call"]) is not None
        and isinstance(told.get("arguments"), dict)
    )


def _is_config(told):
    """Return whether something is the config of an object of Keras's own."""
    return (
        isinstance(told, dict)
        and str(told.get("module")).startswith("keras.")
        and isinstance(told.get("class_name"), str)
        and isinstance(told.get("config"), dict)
    )


def with_changes(told, changes):
    """Return a call with other arguments, inside of a wrapper where it is one.

    Args:
        told: Dict: a call.
        changes: Dict of arguments.
    """
    arguments = dict(told["arguments"])
    inner = holds_others(told)
    for key in inner:
        made = [
            with_changes(one, changes) if is_call(one) else one
            for one in _listed(arguments[key])
        ]
        arguments[key] = made if isinstance(arguments[key], list) else made[0]
    if not inner:
        name = {k: arguments.pop(k) for k in ("name",) if k in arguments}
        arguments |= {**changes, **name}
    return {**told, "arguments": arguments}


def holds_others(told):
    """Return the arguments of a call that hold calls of layers or optimizers.

    Args:
        told: Dict: a call. Of what is none, nothing is known.
    """
    arguments = told["arguments"] if is_call(told) else {}
    return [
        key for key in _INNER if any(map(is_call, _listed(arguments.get(key))))
    ]


def _listed(value):
    return value if isinstance(value, list) else [value]


def without(told, *keys):
    """Return a call of an optimizer without some of its arguments."""

    def change(leaf):
        kept = {k: v for k, v in leaf["arguments"].items() if k not in keys}
        return {**leaf, "arguments": kept}

    return of_leaf(told, change)


def of_leaf(told, change):
    """Return the call of an optimizer with what it wraps changed.

    Args:
        told: Dict: a call.
        change: Callable that takes the call of the innermost optimizer and
            returns what is put in its place.
    """
    inner = told["arguments"].get("inner_optimizer")
    if not is_call(inner):
        return change(told)
    changed = {"inner_optimizer": of_leaf(inner, change)}
    return {**told, "arguments": {**told["arguments"], **changed}}


def leaf_of(told):
    """Return the call of the optimizer that others wrap."""
    inner = told["arguments"].get("inner_optimizer")
    return leaf_of(inner) if is_call(inner) else told


def is_clipped(told):
    """Return whether the call of an optimizer is wrapped with `AutoClip`."""
    if not is_call(told):
        return False
    inner = told["arguments"].get("inner_optimizer")
    return told["call"] == "kgg.AutoClip" or is_clipped(inner)


def clipped_with(told, *leading, **arguments):
    """Return the call of an optimizer with `AutoClip` around the innermost.

    It goes inside of others, and into the place of a clip that is there: of
    another `AutoClip`, or of Keras's own.

    Args:
        told: Dict: a call.
        *leading: Arguments of `AutoClip` behind the optimizer, by their place.
        **arguments: Those by their name.
    """

    def wrap(leaf):
        return call("kgg.AutoClip", leaf, *leading, **arguments)

    return of_leaf(without(unclipped(told), *CLIPS), wrap)


def unclipped(told):
    """Return the call of an optimizer without the `AutoClip` around it.

    Args:
        told: Dict: a call.
    """
    inner = told["arguments"].get("inner_optimizer")
    if not is_call(inner):
        return told
    if told["call"] == "kgg.AutoClip":
        return unclipped(inner)
    changed = {"inner_optimizer": unclipped(inner)}
    return {**told, "arguments": {**told["arguments"], **changed}}


def expression(told):
    """Return what is known of an object as Python.

    Args:
        told: A call, a plain value, or a list or dict of them.
    """
    if isinstance(told, Raw):
        return str(told)
    if isinstance(told, str):
        return json.dumps(told, ensure_ascii=False)
    if isinstance(told, float) and math.isfinite(told):
        short = f"{told:.6g}"
        # Keras takes no whole number for a learning rate or a momentum.
        return f"{short}.0" if short.lstrip("-").isdigit() else short
    if isinstance(told, list | tuple):
        inside = [expression(entry) for entry in told]
        if all(isinstance(entry, int | float) for entry in told) and inside:
            return f"({', '.join(inside)}{',' if len(inside) == 1 else ''})"
        return f"[{', '.join(inside)}]"
    if _is_config(told):
        kind = f"{told['module']}.{told['class_name']}"
        told = call(kind, **told["config"])
    if is_call(told):
        return f"{told['call']}({', '.join(_arguments(told))})"
    if isinstance(told, dict):
        entries = told.get("entries")
        entries = entries if isinstance(entries, dict) else {}
        pairs = [
            f"{expression(k)}: {expression(v)}" for k, v in entries.items()
        ]
        return f"{{{', '.join(pairs)}}}"
    return repr(told)


def _arguments(told):
    return [f"{name}{expression(value)}" for name, value in _named(told)]


def _named(told):
    """Return the arguments of a call, each behind `name=` or nothing."""
    parts = [("", value) for value in told.get("leading", ())]
    placed = not parts
    for key, value in told["arguments"].items():
        placed = placed and key in _FIRST
        if placed:
            parts.append(("", value))
        elif str(key).isidentifier():
            parts.append((f"{key}=", value))
    return parts


def broken(told, target="", width=_WIDTH):
    """Return a call as one line, or its arguments in lines of their own.

    Args:
        told: A call.
        target: Str. What stands before it.
        width: Int. Characters of a line.
    """
    short = f"{target}{expression(told)}"
    if len(short) <= width or not is_call(told):
        return short
    width -= 4
    inside = ", ".join(_arguments(told))
    if len(inside) > width:
        parts = [
            broken(value, name, width - 1)
            if is_call(value)
            else f"{name}{expression(value)}"
            for name, value in _named(told)
        ]
        inside = "".join(f"{part},\n" for part in parts).rstrip("\n")
    lines = "".join(f"    {line}\n" for line in inside.split("\n"))
    return f"{target}{told['call']}(\n{lines})"


def complete(code):
    """Return code with the imports that it needs.

    Args:
        code: Str. Python, or "".
    """
    lines = [
        line
        for word, line in (
            ("keras", "import keras"),
            ("kgg", "import keras_gradguard as kgg"),
            ("np", "import numpy as np"),
        )
        if re.search(rf"\b{word}\.", code) and line not in code.split("\n")
    ]
    return "\n".join([*lines, code])
