"""Tells weights that were trained from weights that were drawn."""

from typing import Any

import keras

from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.values import host_copy

# What starts at zero, and the initializer that says so.
_ZERO = (
    ("bias", "bias_initializer"),
    ("beta", "beta_initializer"),
    ("moving_mean", "moving_mean_initializer"),
)


def looks_trained(model: Any) -> bool:
    """Return whether most of what should start at zero has left it.

    Biases and averages say so of a network whose weights were loaded: no
    optimizer has counted a step.

    Args:
        model: A built Keras model.
    """
    moved = at_zero = 0
    for layer in forward_layers(model):
        if getattr(layer, "unit_forget_bias", False):
            continue  # It starts at one for one of the gates.
        for name, initializer in _ZERO:
            variable = getattr(layer, name, None)
            drawn = getattr(layer, initializer, None)
            if variable is None or not isinstance(
                drawn, keras.initializers.Zeros
            ):
                continue
            values = host_copy(variable)
            moved += bool(values.any())
            at_zero += not values.any()
    return moved > at_zero
