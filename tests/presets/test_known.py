"""Activations computed by NumPy, against what Keras computes."""

import keras
import numpy as np
import pytest

from keras_gradguard.presets.known import by_numpy

_NAMES = (
    "linear",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "tanh",
    "sigmoid",
)


@pytest.mark.parametrize("name", _NAMES)
def test_a_known_activation_is_that_of_keras(name):
    x = np.concatenate([np.linspace(-9, 9, 1801), [-40.0, 40.0]])
    function = keras.activations.get(name)
    theirs = keras.ops.convert_to_numpy(
        function(keras.ops.convert_to_tensor(x, "float32"))
    )
    np.testing.assert_allclose(
        by_numpy(function)(x), theirs, rtol=2e-5, atol=2e-6
    )


def test_others_are_asked():
    assert by_numpy(lambda x: x) is None
    assert by_numpy(keras.layers.ReLU()) is None
    assert by_numpy([]) is None
