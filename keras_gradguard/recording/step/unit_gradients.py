"""Which variable's gradient tells whether a unit of an activation is active.

A unit that is zero for every sample has an exactly zero gradient in its bias,
or in its column of the kernel, since the activation passes none on.
"""

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_gradguard import _backend
from keras_gradguard.models import activations
from keras_gradguard.models import keras_private

_NORMALIZED = (keras.layers.BatchNormalization,)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class UnitGradient:
    """A variable with one entry, or one slice, per unit of a site.

    Attributes:
        site: The `Site`.
        variable: Keras variable.
        axis: Axis of the units.
        units: Number of units.
    """

    site: object
    variable: object
    axis: int
    units: int


def count_nonzero(units, by_variable, xla):
    """Tell which units have a gradient that is not zero.

    Replicas add up: a unit is dead if it is on all of them.

    Args:
        units: List of `UnitGradient`.
        by_variable: Dict from the `id` of a variable, or of the backend's own
            variable in it, to its gradient or None.
        xla: Whether the step is compiled by XLA.

    Returns:
        Float32 tensor (1 + units,): a one, then one or zero for each unit.
    """
    backend = _backend.current()
    found = []
    for unit in units:
        gradient = by_variable.get(id(unit.variable))
        if gradient is None:
            gradient = by_variable.get(id(backend.native(unit.variable)))
        if gradient is None:
            gradient = ops.zeros(unit.variable.shape)
        found.append(backend.densify(gradient, xla))
    parts = []
    for unit, gradient in zip(units, backend.barrier(found, xla), strict=True):
        rank = len(gradient.shape)
        axes = tuple(i for i in range(rank) if i != unit.axis)
        if axes:
            gradient = _any_counts(gradient, axes)
        elif keras.backend.standardize_dtype(gradient.dtype) == "float64":
            gradient = _counts(gradient)  # might become zero as float32
        parts.append(ops.cast(gradient, "float32"))
    parts = backend.each_whole(parts)
    # Biases are compared together: each by itself would be a kernel.
    active = ops.cast(_counts(ops.concatenate(parts, axis=0)), "float32")
    return ops.concatenate([ops.ones((1,), "float32"), active], axis=0)


def _any_counts(gradient, axes):
    """Which units count, over axes that hold the first or the others."""
    parts = _backend.current().slices([gradient], axes[0])
    found = [ops.any(_counts(part), axis=axes) for (part,) in parts]
    if len(found) == 1:
        return found[0]
    return ops.any(ops.stack(found, axis=0), axis=0)


def _counts(gradient):
    """Where a gradient is a number and not zero."""
    return ops.logical_and(gradient != 0, ops.isfinite(gradient))


def unit_gradient(site, float16):
    """Return the gradient that tells of a site's units, or why there is none.

    Args:
        site: `Site` whose activation can die.
        float16: Whether gradients are computed in float16, where small ones
            become zero.

    Returns:
        A `UnitGradient`, or a str: the reason.
    """
    if float16:
        return "gradients in float16 underflow to zero"
    layer = site.layer
    if isinstance(layer, keras.layers.RNN):
        layer = layer.cell
    elif activations.own_activation(layer) is None or not _own(layer):
        layer = _layer_before(layer)
        if layer is None:
            return "it is not clear which weights it belongs to"
    for name in ("bias", "beta", "gamma", "kernel", "depthwise_kernel"):
        variable: Any = getattr(layer, name, None)
        if not hasattr(variable, "shape"):
            continue
        if not (layer.trainable and variable.trainable):
            return "its weights are frozen"
        if _regularizer(layer, name, variable) is not None:
            continue
        return UnitGradient(
            site, variable, len(variable.shape) - 1, int(variable.shape[-1])
        )
    if _own(layer):
        return "a regularizer adds to its gradients"
    return "it has no weights"


def _own(layer):
    return keras_private.own_variables(layer)


def _regularizer(layer, name, variable):
    present = getattr(layer, f"{name}_regularizer", None)
    return present or getattr(variable, "regularizer", None)


def _layer_before(layer):
    """The layer whose output an activation layer takes, if it is the only."""
    operations = keras_private.layers_before(layer)
    if len(operations) != 1:
        return None
    (before,) = operations
    is_layer = isinstance(before, keras.Layer)
    if (
        not (is_layer and _own(before))
        or activations.own_activation(before) is None
    ):
        return before if isinstance(before, _NORMALIZED) else None
    return before
