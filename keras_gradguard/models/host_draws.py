"""Initial weights of copies, drawn by NumPy where a backend compiles draws.

JAX compiles a function for each shape that it draws, of a truncated normal
for half a second and more, longer than many a copy trains.
"""

import contextlib

import numpy as np

from keras_gradguard.models import keras_private

_CUT = 2.0  # standard deviations at which a normal is truncated


@contextlib.contextmanager
def drawing_on_host():
    """Let NumPy draw what initializers ask for, in this thread, on JAX.

    The distributions are those of Keras, the numbers others; equal seeds give
    equal numbers. Other backends draw as ever: they compile nothing for it.
    """
    if not keras_private.compiles_draws():
        yield
        return
    draws = keras_private.draws_replaced(_normal, _uniform, _truncated_normal)
    with draws:
        yield


def _normal(rng, shape, mean=0.0, stddev=1.0):
    return rng.standard_normal(shape) * stddev + mean


def _uniform(rng, shape, minval=0.0, maxval=1.0):
    return rng.uniform(minval, maxval, shape)


def _truncated_normal(rng, shape, mean=0.0, stddev=1.0):
    values = rng.standard_normal(int(np.prod(shape)))
    beyond = np.flatnonzero(np.abs(values) > _CUT)
    while beyond.size:
        values[beyond] = rng.standard_normal(beyond.size)
        beyond = beyond[np.abs(values[beyond]) > _CUT]
    return values.reshape(shape) * stddev + mean
