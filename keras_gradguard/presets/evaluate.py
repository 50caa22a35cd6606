"""Any activation as a function that computes in float64."""

import functools
import warnings

import keras
import numpy as np

from keras_gradguard import _backend
from keras_gradguard._validation import shown
from keras_gradguard.presets.known import by_numpy


def as_function(activation):
    """Return an activation as a function of a tensor.

    Args:
        activation: A name, a callable, an activation layer, or None.

    Returns:
        A callable. A layer comes back computing in float64, a `PReLU` with
        the slope that its initializer gives.

    Raises:
        TypeError: If it is none of these.
    """
    if isinstance(activation, keras.layers.PReLU):
        alpha = keras.ops.convert_to_numpy(
            keras.initializers.get(activation.alpha_initializer)((1024,))
        ).astype("float64")
        # A random slope acts by its second moment.
        slope = float(np.sqrt(np.mean(alpha**2)))
        return functools.partial(
            keras.activations.leaky_relu, negative_slope=slope
        )
    if isinstance(activation, keras.layers.Layer):
        config = {**activation.get_config(), "dtype": "float64"}
        return type(activation).from_config(config)
    if activation is None or isinstance(activation, str | dict):
        try:
            return keras.activations.get(activation)
        except Exception as error:
            raise ValueError(
                "gain: `activation` must be one that Keras knows. Received: "
                f"activation={shown(activation)}. Check the spelling, or pass "
                "the function."
            ) from error
    if callable(activation):
        return activation
    raise TypeError(
        "gain: `activation` must be a name, a callable or an activation "
        f"layer. Received: activation={shown(activation)} "
        f"(of type {type(activation).__name__}). Pass e.g. 'relu'."
    )


def call_float64(function, x):
    """Evaluate a function of a tensor on a NumPy array.

    Args:
        function: A callable of one tensor.
        x: Float64 array.

    Returns:
        NumPy array, float64 where the function keeps the dtype.

    Raises:
        ValueError: If the function fails.
    """
    known = by_numpy(function)
    if known is not None:
        return known(x)
    backend = _backend.current()
    with (
        backend.own_cpu(),
        backend.float64(),
        np.errstate(all="ignore"),
        # What the user's function warns of is not of its value.
        warnings.catch_warnings(action="ignore"),
    ):
        try:
            y = function(keras.ops.convert_to_tensor(x, dtype="float64"))
            y = np.asarray(keras.ops.convert_to_numpy(y))
        except Exception as error:
            raise ValueError(
                "gain: `activation` must map an array to an array of the "
                f"same shape. Received: activation={shown(function)}, which "
                f"failed with {type(error).__name__}: {error}. Wrap it so "
                "that it takes one argument."
            ) from error
    return y


def check_elementwise(function, activation):
    """Refuse what mixes the elements, as softmax does, or is random.

    Args:
        function: A callable of one tensor.
        activation: What the user passed, for the error.

    Returns:
        The dtype of the output and its largest magnitude on [-3, 3].

    Raises:
        ValueError: If the function is not elementwise, or not finite there.
    """
    count = 1024
    x = np.linspace(-3.0, 3.0, count)
    other = np.where(np.arange(count) < count // 2, x, x[::-1])
    y, changed = call_float64(function, x), call_float64(function, other)
    same = y.shape == x.shape and np.allclose(
        y[: count // 2],
        changed[: count // 2],
        rtol=1e-6,
        atol=1e-9,
        equal_nan=True,
    )
    if not same:
        raise ValueError(
            "gain: `activation` must be elementwise and deterministic. "
            f"Received: activation={shown(activation)}, whose output at one "
            "element depends on the others. Pair a layer that ends in it, "
            'such as a softmax head, with "glorot_uniform".'
        )
    if not np.isfinite(y).all():
        raise ValueError(
            "gain: `activation` must be finite on [-3, 3]. Received: "
            f"activation={shown(activation)}, which is not. Restrict its "
            "input, e.g. with `keras.ops.maximum`."
        )
    return y.dtype, float(np.abs(y).max())
