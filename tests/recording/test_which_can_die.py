"""Activations of which it is known whether they are zero on a half-line."""

import keras
import pytest

from keras_gradguard.models.activations import can_die

_KNOWN = {
    "relu": True,
    "relu6": True,
    "elu": False,
    "exponential": False,
    "gelu": False,
    "leaky_relu": False,
    "mish": False,
    "selu": False,
    "silu": False,
    "softplus": False,
}


@pytest.mark.once
@pytest.mark.parametrize("name", _KNOWN)
def test_what_is_known_is_what_the_function_shows(name):
    function = getattr(keras.activations, name)

    def other(x):  # not known, so that it is asked
        return function(x)

    assert can_die(function) == can_die(other) == _KNOWN[name]
