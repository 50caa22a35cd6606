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
# What brings outputs of any size between limits, or says that they have none.
_BOUNDS = frozenset(
    (
        "clip",
        "from_logits",
        "hard_sigmoid",
        "log_sigmoid",
        "log_softmax",
        "logits",
        "logsumexp",
        "sigmoid",
        "softmax",
        "softplus",
        "tanh",
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
        first layer with a kernel; `loss`, a list of these names; and `bounds`,
        whether the loss brings what it is given between limits, None if there
        is none of the user's own.
    """
    layers: dict = {}
    front: list | None = None
    for layer in forward_layers(model)[1:]:
        function = own_function(layer)
        if function is not None:
            layers[layer_path(layer)] = _edges(function)
        if front is None and hasattr(layer, "kernel"):
            front = list(layers)
    losses = _own_losses(model)
    loss = sorted(set().union(*(_edges(one) for one in losses)))
    return {
        "layers": layers,
        "front": front or [],
        "loss": loss,
        "bounds": any(_names(one) & _BOUNDS for one in losses)
        if losses
        else None,
    }


def _own_losses(model):
    """Return the functions that a loss of the user's own is made of."""
    own = getattr(model, "loss", None)
    if "compute_loss" not in vars(type(model)):
        return [own] if isinstance(own, types.FunctionType) else []
    own = type(model).compute_loss
    if not isinstance(own, types.FunctionType):
        return []
    # What it calls of the model: a method, or a function that was given.
    known = {**vars(type(model)), **vars(model)}
    called = [known.get(name) for name in sorted(_names(own, deep=0))]
    return [own, *(f for f in called if isinstance(f, types.FunctionType))]


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


def _edges(function):
    """Return the sorted names, in a function and the helpers that it calls."""
    found: set[str] = set()
    for code in _codes(function):
        found |= {
            _SIGNS[one.argrepr]
            for one in dis.get_instructions(code)
            if one.opname == "BINARY_OP" and one.argrepr in _SIGNS
        }
    return sorted(found | (_names(function) & _EDGES))


def _names(function, deep=_DEEP):
    """Return what a function and its helpers name, keywords among them."""
    found: set[str] = set()
    for code in _codes(function, deep):
        found |= {*code.co_names, *code.co_freevars}
        for constant in code.co_consts:
            if isinstance(constant, tuple):
                found |= {one for one in constant if isinstance(one, str)}
    return found


def _codes(function, deep=_DEEP):
    """Return the code of a function, of those within it and of its helpers."""
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    if code is None:
        return []
    found, stack = [], [code]
    while stack:
        code = stack.pop()
        found.append(code)
        stack += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    known = inspect.getclosurevars(function)
    near = {**known.globals, **known.nonlocals}
    for helper in near.values() if deep else ():
        if isinstance(helper, types.FunctionType) and not (
            str(helper.__module__).startswith("keras")
        ):
            found += _codes(helper, deep - 1)
    return found
