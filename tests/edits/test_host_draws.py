"""Weights of a copy that are drawn anew: as Keras would, whoever draws."""

import math
import statistics

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard.models.host_draws import drawing_on_host

_NORMAL = statistics.NormalDist()
_INSIDE = _NORMAL.cdf(2) - _NORMAL.cdf(-2)
# Names of initializers of a kernel of (200, 100), and the share of values that
# lie below a number of theirs.
_SHARES = {
    "he_normal": lambda v: _cut(v * 0.87962566103423978 / math.sqrt(2 / 200)),
    "glorot_uniform": lambda v: np.clip(v / math.sqrt(6 / 300) / 2 + 0.5, 0, 1),
    "random_normal": lambda v: _NORMAL.cdf(v / 0.05),
}


def _cut(value):
    inside = _NORMAL.cdf(min(2.0, max(-2.0, value))) - _NORMAL.cdf(-2)
    return inside / _INSIDE


def drawn(initializer, dtype=None):
    with drawing_on_host():
        values = initializer((200, 100), dtype)
    return keras.ops.convert_to_numpy(values)


@pytest.mark.parametrize("name", _SHARES)
def test_draws_have_the_distribution_of_the_initializer(name):
    values = np.sort(drawn(keras.initializers.get(name)).ravel())
    wanted = np.array([_SHARES[name](float(v)) for v in values[::50]])
    present = np.arange(values.size)[::50] / values.size
    # Kolmogorov's distance, which 20,000 fair draws pass in all but 1e-6.
    assert np.abs(wanted - present).max() < 2.7 / math.sqrt(values.size)


def test_equal_seeds_give_equal_numbers_and_others_do_not():
    def draw(seed):
        return drawn(keras.initializers.HeNormal(seed=seed))

    np.testing.assert_array_equal(draw(1), draw(1))
    assert (draw(1) != draw(2)).mean() > 0.99
    keras.utils.set_random_seed(3)
    first = [draw(None), draw(keras.random.SeedGenerator(4))]
    keras.utils.set_random_seed(3)
    second = [draw(None), draw(keras.random.SeedGenerator(4))]
    np.testing.assert_array_equal(first, second)


def test_draws_keep_their_dtype_and_rows_stay_orthogonal():
    assert drawn(keras.initializers.HeNormal(), "float16").dtype == np.float16
    square = drawn(keras.initializers.Orthogonal(seed=0)).astype(np.float64)
    np.testing.assert_allclose(square.T @ square, np.eye(100), atol=1e-5)


def test_a_healed_start_is_drawn_as_the_seed_says():
    model = keras.Sequential(
        [
            keras.Input((200,)),
            keras.layers.Dense(100, "sigmoid", name="h"),
            keras.layers.Dense(1, name="out"),
        ]
    )
    model.compile("sgd", "mse")
    remedy = kgg.Remedy(
        "ReLU", "", action="convert", arguments={"pairing": "he_relu"}
    )
    kernels = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        kernel = remedy.apply(model).get_layer("h").kernel
        kernels.append(np.array(keras.ops.convert_to_numpy(kernel)))
    np.testing.assert_array_equal(*kernels)
    assert kernels[0].std() == pytest.approx(math.sqrt(2 / 200), rel=0.03)
    assert np.abs(kernels[0]).max() <= 2 * math.sqrt(2 / 200) / 0.8796
