"""Which lines of the user's own code cut gradients off, as they stand there."""

import ast
import inspect
import textwrap
from typing import Any

import keras

from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.layers import layer_path
from keras_gradguard.models.own_code import own_function
from keras_gradguard.models.values import host_copy

# What they give does not follow what comes in, or not backward.
_CUTS = frozenset(
    (
        "argmax",
        "argmin",
        "argsort",
        "ceil",
        "detach",
        "floor",
        "rint",
        "round",
        "sign",
        "stop_gradient",
        "trunc",
    )
)
_WHOLE = ("int", "uint", "bool")
_KEYS = ("lines", "unused", "zeros", "names", "adds")
_COMPARED = "comparison"
_CAST = "cast"


def cuts_of_own_code(model):
    """Return what cuts gradients off in the user's own layers and `call`.

    Args:
        model: A Keras model.

    Returns:
        Dict from the path of a layer (its name, of the model itself) to a
        dict: `where` (e.g. `"Gate.call"`), `names` of the functions that do,
        `lines` of them and `unused`, those whose result goes nowhere: each a
        list of `[number, text]`; `zeros`, whether a weight of its own is zero
        and not trained; `adds`, whether it adds to the loss.
    """
    found: dict = {}
    layers = [model, *forward_layers(model)[1:]]
    for layer in layers:
        function = type(layer).call if layer is model else own_function(layer)
        if function is None or (layer is model and _of_keras(model)):
            continue
        path = model.name if layer is model else layer_path(layer)
        told = _read(layer, function)
        if layer is not model:
            told["zeros"] = _has_zeros(layer)
        if any(told[key] for key in _KEYS):
            found[path] = told
    return found


def turned_loss(model):
    """Return the line of an own train step that turns the sign of a loss.

    Args:
        model: A Keras model.

    Returns:
        List of its number and its text, or None: of `loss = -...`, or of a
        gradient that is taken of `-loss`.
    """
    function = inspect.unwrap(type(model).train_step)
    if function is keras.Model.train_step:
        return None
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, SyntaxError, TypeError, ValueError):
        return None
    nodes: list[Any] = [node for node in ast.walk(tree) if _turns(node)]
    found = [node.lineno for node in nodes]
    return _line(lines, first, min(found)) if found else None


def _turns(node: Any) -> bool:
    """Whether a node of code turns the sign of what is called a loss."""
    if isinstance(node, ast.Assign):
        named = [t.id for t in node.targets if isinstance(t, ast.Name)]
        wanted = any("loss" in name.lower() for name in named)
        return wanted and _is_minus(node.value)
    if not _is_minus(node):
        return False
    return "loss" in str(getattr(node.operand, "id", "")).lower()


def _is_minus(node):
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)


def _of_keras(layer):
    return type(layer).__module__.startswith(("keras.", "keras_gradguard."))


def _read(layer, function):
    told: dict[str, Any] = {
        "where": getattr(function, "__qualname__", "").split("<locals>.")[-1],
        "names": [],
        "lines": [],
        "unused": [],
        "zeros": False,
    }
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    called = set(code.co_names) if code is not None else set()
    told["adds"] = "add_loss" in called
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, SyntaxError, TypeError, ValueError):
        # A lambda inside of a longer statement, or code without a file.
        told["names"] = sorted(_CUTS & called)
        return told
    cuts: dict = {}
    node: Any
    for node in ast.walk(tree):
        name = _cut(node)
        if name:
            cuts.setdefault(node.lineno, set()).add(name)
    told["names"] = sorted(set().union(*cuts.values()))
    told["lines"] = [_line(lines, first, at) for at in sorted(cuts)]
    told["unused"] = [_line(lines, first, at) for at in _unused(layer, tree)]
    return told


def _line(lines, first, at):
    return [first + at - 1, lines[at - 1].strip()]


def _cut(node: Any) -> str:
    """Return what a node of code cuts gradients off by, "" if by nothing."""
    if not isinstance(node, ast.Call):
        return ""
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name in _CUTS:
        return name
    if name != _CAST:
        return ""
    if any(isinstance(part, ast.Compare) for part in ast.walk(node)):
        return _COMPARED
    given = [*node.args, *(word.value for word in node.keywords)]
    kinds = [str(one.value) for one in given if isinstance(one, ast.Constant)]
    return _CAST if any(kind.startswith(_WHOLE) for kind in kinds) else ""


def _unused(layer, tree):
    """Return the lines that call a layer and do nothing with what it gives."""
    read = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    found = []
    node: Any
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            names = [t.id for t in node.targets if isinstance(t, ast.Name)]
            idle = len(names) == len(node.targets) and not read & set(names)
        else:
            idle = isinstance(node, ast.Expr)
        if idle and _is_layer(layer, node.value):
            found.append(node.lineno)
    return sorted(found)


def _is_layer(owner, node):
    """Whether a node calls a layer that is an attribute of `owner`."""
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    if not isinstance(called, ast.Attribute):
        return False
    of_self = isinstance(called.value, ast.Name) and called.value.id == "self"
    known = getattr(owner, called.attr, None) if of_self else None
    return isinstance(known, keras.layers.Layer)


def _has_zeros(layer):
    """Whether a weight of its own is zero for good."""
    own = getattr(layer, "_non_trainable_variables", None) or []
    return any(
        variable.shape and not host_copy(variable).any()
        for variable in own
        if "float" in str(variable.dtype)
    )
