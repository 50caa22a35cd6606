"""The code of remedies: it runs as it stands where the model is compiled.

What is known of layers and optimizers comes from `models.calls`, or from a
file, so nothing in it is taken for granted.
"""

import json
import math
import re

_CALL = re.compile(r"(keras|kgg)(\.[A-Za-z_]\w*)+")
# Told by their place, where they come first.
_FIRST = ("units", "filters", "kernel_size", "input_dim", "output_dim", "rate")
_WIDTH = 76
_GRAPHS = ("sequential", "functional")
# An optimizer that is known by its name alone.
_SETTINGS = ("momentum", "clipnorm", "clipvalue", "global_clipnorm")


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
    inner = [
        key
        for key in ("layer", "backward_layer")
        if is_call(arguments.get(key))
    ]
    for key in inner:
        arguments[key] = with_changes(arguments[key], changes)
    if not inner:
        name = {k: arguments.pop(k) for k in ("name",) if k in arguments}
        arguments |= {**changes, **name}
    return {**told, "arguments": arguments}


def without(told, *keys):
    """Return a call without some of its arguments."""
    kept = {k: v for k, v in told["arguments"].items() if k not in keys}
    return {**told, "arguments": kept}


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
        return f"{told:.6g}"
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
    parts = [expression(value) for value in told.get("leading", ())]
    placed = not parts
    for key, value in told["arguments"].items():
        placed = placed and key in _FIRST
        if placed:
            parts.append(expression(value))
        elif str(key).isidentifier():
            parts.append(f"{key}={expression(value)}")
    return parts


def broken(told, target=""):
    """Return a call as one line, or with a line for each argument.

    Args:
        told: A call.
        target: Str. What stands before it.
    """
    short = f"{target}{expression(told)}"
    if len(short) <= _WIDTH or not is_call(told):
        return short
    inside = "".join(f"    {part},\n" for part in _arguments(told))
    return f"{target}{told['call']}(\n{inside})"


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


# Code for a run


def change_layers(run, changes):
    """Return the code that gives layers other arguments.

    Args:
        run: `RunInfo` of the run or the model.
        changes: Dict from layer path to a dict of arguments.
    """
    made: dict = {}
    for layer, arguments in changes.items():
        path, info = run.of_user(layer)
        made[path] = (info, arguments)
    calls = {}
    for path, (info, arguments) in made.items():
        if not is_call(info.get("call")):
            return _by_config(run, made)
        calls[path] = with_changes(info["call"], arguments)
    return put_layers(run, calls)


def put_layers(run, calls):
    """Return the code that puts layers in the place of others.

    Args:
        run: `RunInfo` of the run or the model.
        calls: Dict from layer path to the call that makes the new layer, of
            the same name.
    """
    if run.model_kind in (*_GRAPHS, None):
        told = call("kgg.replace_layers", Raw("model"), *calls.values())
        return broken(told, "model = ")
    lines = []
    for path, told in calls.items():
        lines.append(f"# in place of {name_of(path)}, where the model makes it")
        lines.append(expression(told))
    return "\n".join(lines)


def _by_config(run, made):
    """Return code for layers of which too little is known to write them."""
    lines = []
    if run.model_kind == "subclassed":
        for path, (_, arguments) in made.items():
            told = [f"{k}={expression(v)}" for k, v in arguments.items()]
            lines.append(f"# in {name_of(path)}: {', '.join(told)}")
        return "\n".join(lines)
    for path, (_, arguments) in made.items():
        changes = expression({"entries": arguments})
        lines += [
            f"old = model.get_layer({expression(name_of(path))})",
            f"new = type(old).from_config({{**old.get_config(), **{changes}}})",
            "model = kgg.replace_layers(model, new)",
        ]
    return "\n".join(lines)


def convert(run, pairing, layers, normalization=None, residual=False):
    """Return the code that gives hidden layers another pairing.

    Args:
        run: `RunInfo` of the run or the model.
        pairing: Str. Name of the pairing.
        layers: List of str. The layers it is about, in forward order.
        normalization: None, `"batch"` or `"layer"`.
        residual: Bool.
    """
    if run.model_kind == "subclassed":
        return _in_place(run, pairing, layers)
    more = {}
    if normalization:
        more["normalization"] = normalization
    if residual:
        more["residual"] = True
    told = call("kgg.presets.convert", Raw("model"), pairing, **more)
    return f"model = {expression(told)}"


def _in_place(run, pairing, layers):
    """Return code for the layers of a model that cannot be built anew."""
    named = [
        name_of(layer)
        for layer in layers
        if run.info(layer).get("activation") not in (None, "linear")
        and str(layer).count("/") <= 1
    ]
    how = f"how = kgg.presets.get({expression(pairing)})"
    if not named:
        return f"{how}  # in the hidden layers: Dense(units, **how)"
    return (
        f"{how}\n"
        f"for name in {expression(named)}:\n"
        "    layer = model.get_layer(name)\n"
        '    layer.activation = keras.activations.get(how["activation"])\n'
        '    layer.kernel_initializer = how["kernel_initializer"]\n'
        "    if layer.built:\n"
        "        shape = layer.kernel.shape\n"
        '        layer.kernel.assign(how["kernel_initializer"](shape))'
    )


def optimizer_of(run):
    """Return the call that makes the optimizer of a run, or None."""
    facts = run.optimizer
    if is_call(facts.call):
        return facts.call
    if not facts.name or not str(facts.name).isidentifier():
        return None
    known = (
        {}
        if facts.learning_rate is None
        else {"learning_rate": facts.learning_rate}
    )
    known |= {key: getattr(facts, key) for key in _SETTINGS}
    known = {key: value for key, value in known.items() if value}
    return call(f"keras.optimizers.{facts.name}", **known)


def compile_with(run, optimizer=None, loss=None):
    """Return the line that compiles the model anew, all else as it was.

    Args:
        run: `RunInfo` of the run or the model.
        optimizer: A call, or None for the present one.
        loss: The new loss: a name or a call; None for the present one.
    """
    compiled = {
        key: value
        for key, value in run.compiled.items()
        if str(key).isidentifier()
    }
    if loss is not None:
        compiled["loss"] = loss
    told = call(
        "keras.Model.compile",
        **{
            "optimizer": Raw("model.optimizer")
            if optimizer is None
            else optimizer,
            "loss": Raw("model.loss"),
            **compiled,
        },
    )
    return broken(told).replace("keras.Model.compile", "model.compile", 1)


def use_loss(run, loss):
    """Return the code that trains by a loss, also in a model with its own.

    Args:
        run: `RunInfo` of the run or the model.
        loss: Str. Name of a function in `keras.losses`.
    """
    if run.own_loss != "model" or run.model_kind != "subclassed":
        return compile_with(run, None, loss)
    return (
        "def compute_loss(x=None, y=None, y_pred=None, *args, **kwargs):\n"
        f"    return keras.ops.mean(keras.losses.{loss}(y, y_pred))\n"
        "\n"
        "model.compute_loss = compute_loss  # or as a method of its class"
    )


def name_of(path):
    """Return the name of a layer."""
    return str(path).rsplit("/", maxsplit=1)[-1]
