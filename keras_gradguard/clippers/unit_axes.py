"""Which axes of a weight belong to one output unit, by its layer."""

from typing import Any

import keras

from keras_gradguard._validation import shown
from keras_gradguard.clippers.unitwise import default_axes
from keras_gradguard.models import keras_private

# Kernels (..., in, multiplier): each pair of the two is a unit.
_DEPTHWISE = (
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
# Kernels (..., out, in).
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


def unit_axes(model: keras.Model) -> dict:
    """Axes of one output unit, for each trainable variable of `model`.

    For `Unitwise(unit_axes=...)`. A variable is reduced over these axes to
    get one norm per unit; an empty tuple would be a norm per element.

    Args:
        model: A built model.

    Returns:
        Dict from variable paths to tuples of axes.

    Raises:
        ValueError: If the model is not built: it has no variables then.

    Example:
        >>> import keras
        >>> import keras_gradguard as kgg
        >>> model = keras.Sequential([
        ...     keras.Input((6, 8)),
        ...     keras.layers.Conv1DTranspose(4, 3, name="up"),
        ... ], name="net")
        >>> kgg.clippers.unit_axes(model)
        {'net/up/kernel': (0, 2), 'net/up/bias': (0,)}
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            "unit_axes: `model` must be a Keras model. Received: "
            f"model={shown(model)} (of type {type(model).__name__})."
        )
    if not model.built:
        raise ValueError(
            "unit_axes: `model` must be built. Received: a model without "
            f"variables, {model.name!r}. Call it on a batch of data, or give "
            "it a `keras.Input`, first."
        )
    axes = {}
    for layer in _layers(model):
        # A layer comes after those it is part of, so the innermost one rules.
        for variable in layer.trainable_variables:
            axes[variable.path] = _axes(layer, variable)
    return axes


def _layers(model: Any) -> Any:
    """The model and all layers in it, outer ones before inner ones."""
    found = [model]
    for layer in found:
        children = keras_private.children(layer)
        found += [c for c in children if not any(c is f for f in found)]
    return found


def _axes(layer: Any, variable: Any) -> Any:
    rank = len(variable.shape)
    name = variable.path.rsplit("/", 1)[-1]
    if isinstance(layer, _DEPTHWISE) and name in ("kernel", "depthwise_kernel"):
        return tuple(range(rank - 2))
    if isinstance(layer, _TRANSPOSED) and name == "kernel":
        return (*range(rank - 2), rank - 1)
    if isinstance(layer, keras.layers.EinsumDense) and name == "kernel":
        return _einsum_axes(layer.equation)
    if isinstance(layer, keras.layers.Embedding) and name == "embeddings":
        return (1,)
    return default_axes(variable.path, rank)


def _einsum_axes(equation: Any) -> Any:
    """Axes of the kernel that the equation sums over."""
    inputs, output = equation.replace(" ", "").split("->")
    kernel = inputs.split(",")[1]
    return tuple(i for i, letter in enumerate(kernel) if letter not in output)
