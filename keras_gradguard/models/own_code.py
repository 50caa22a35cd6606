"""What the user's own layers and losses call, by the names in their code."""

import dis
import inspect
import types

import keras

from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.layers import layer_path

# Their slope is infinite at 0, or they are not finite there.
_EDGES = frozenset(
    (
        "arccos",
        "arcsin",
        "divide",
        "log",
        "log10",
        "log2",
        "norm",
        "normalize",
        "pow",
        "power",
        "reciprocal",
        "rsqrt",
        "sqrt",
        "std",
        "true_divide",
    )
)
_SIGNS = {"/": "/", "/=": "/", "**": "**", "**=": "**"}
# Helpers that a function calls are looked at, and those that they call.
_DEEP = 2


def edges_of_own_code(model):
    """Return what in the user's own code is not safe at 0.

    Args:
        model: A Keras model.

    Returns:
        Dict with `layers`, from the path of each layer of no class of Keras's
        to the names of such functions; `front`, the paths of those before the
        first layer with a kernel; and `loss`, a list of these names.
    """
    layers: dict = {}
    front: list | None = None
    for layer in forward_layers(model)[1:]:
        function = own_function(layer)
        if function is not None:
            layers[layer_path(layer)] = _edges(function)
        if front is None and hasattr(layer, "kernel"):
            front = list(layers)
    own = getattr(model, "loss", None)
    if "compute_loss" in vars(type(model)):
        own = type(model).compute_loss
    loss = _edges(own) if isinstance(own, types.FunctionType) else []
    return {"layers": layers, "front": front or [], "loss": loss}


def own_function(layer):
    """Return what a layer of the user's own computes by, or None.

    Args:
        layer: A Keras layer.
    """
    if isinstance(layer, keras.layers.Lambda):
        return layer.function
    of_keras = type(layer).__module__.startswith(("keras.", "keras_gradguard."))
    if of_keras or isinstance(layer, keras.Model):
        return None
    return type(layer).call


def _edges(function, deep=_DEEP):
    """Return the sorted names, in a function and the helpers that it calls."""
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    if code is None:
        return []
    found: set[str] = set()
    names: set[str] = set()
    stack = [code]
    while stack:
        code = stack.pop()
        stack += [c for c in code.co_consts if isinstance(c, types.CodeType)]
        names |= set(code.co_names) | set(code.co_freevars)
        found |= {
            _SIGNS[one.argrepr]
            for one in dis.get_instructions(code)
            if one.opname == "BINARY_OP" and one.argrepr in _SIGNS
        }
    found |= names & _EDGES
    known = inspect.getclosurevars(function)
    near = {**known.globals, **known.nonlocals}
    for helper in near.values() if deep else ():
        if isinstance(helper, types.FunctionType) and not (
            str(helper.__module__).startswith("keras")
        ):
            found |= set(_edges(helper, deep - 1))
    return sorted(found)
