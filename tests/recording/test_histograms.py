"""Counts inside the step against a float64 twin."""

import keras
import numpy as np
import pytest

from keras_gradguard import _backend
from keras_gradguard.recording.step.histograms import octave_counts
from keras_gradguard.trace.histogram import COLUMNS
from keras_gradguard.trace.histogram import OCTAVES
from keras_gradguard.trace.histogram import GradientHistogram
from tests import reference


def compiled(function):
    """The function as it is, and as steps of the backend compile it."""
    whole = _backend.current().compiled(lambda *ts: function(ts, False))
    if keras.backend.backend() != "tensorflow":
        return [lambda *ts: function(ts, False), whole]
    import tensorflow as tf

    xla = tf.function(lambda *ts: function(ts, True), jit_compile=True)
    return [lambda *ts: function(ts, False), whole, xla]


def assert_equals_twin(arrays, dtype="float32"):
    tensors = [keras.ops.convert_to_tensor(a, dtype) for a in arrays]
    rounded = [
        keras.ops.convert_to_numpy(keras.ops.cast(t, "float32"))
        for t in tensors
    ]
    for function in compiled(octave_counts):
        rows = keras.ops.convert_to_numpy(function(*tensors))
        assert rows.shape == (len(arrays), COLUMNS)
        sizes = [a.size for a in rounded]
        found = GradientHistogram.unpack(0, rows, sizes)
        for i, array in enumerate(rounded):
            twin = reference.octaves(array, OCTAVES)
            for name, value in twin.items():
                np.testing.assert_array_equal(
                    getattr(found, name)[i], value, err_msg=f"{name} of {i}"
                )


def values(shape, seed=0):
    """Normal entries whose scale runs over twelve decades."""
    random = np.random.default_rng(seed)
    scale = 10.0 ** random.uniform(-12, 0, shape)
    return (random.normal(size=shape) * scale).astype("float32")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_shapes_and_dtypes(dtype):
    shapes = [(3,), (3, 3, 4, 8), (1,), (200, 100), (7, 5), (130, 130)]
    assert_equals_twin([values(s, i) for i, s in enumerate(shapes)], dtype)


def test_every_scale_and_every_edge():
    scaled = [
        values((40, 3)) * np.float32(scale)
        for scale in (1e-30, 1e-7, 1.0, 1e30)
    ]
    # An edge belongs to the octave above.
    powers = 2.0 ** np.arange(-20, 4)
    edges = np.concatenate(
        [powers, np.nextafter(powers, 0), -powers, [0.0, -0.0]]
    )
    deeper_than_the_bins = [1.0, 1e-9, 1e-12, -1e-20]
    assert_equals_twin(
        [*scaled, np.float32(edges), np.float32(deeper_than_the_bins)]
    )


def test_nothing_nonfinite_or_zero_hides_the_rest():
    nan, inf = np.nan, np.inf
    assert_equals_twin(
        [
            np.array([nan, 1.0, inf, -2e-3, 0.0, -inf], "float32"),
            np.full((4, 4), nan, "float32"),
            np.zeros((5,), "float32"),
            np.zeros((0, 3), "float32"),
            np.array([3e38, 1.2e-38, -1.2e-38], "float32"),
        ]
    )


def test_none_at_all():
    assert octave_counts([]).shape == (0, COLUMNS)
