import keras
import numpy as np
import pytest

from keras_gradguard import presets
from keras_gradguard.exceptions import GradGuardWarning

L = keras.layers


def data(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def array(x):
    return keras.ops.convert_to_numpy(x)


def convolutions():
    x = keras.Input((8, 8, 4))
    y = L.Conv2D(8, 3, groups=2, activation="gelu")(x)
    y = L.DepthwiseConv2D(3, activation="relu")(y)
    y = L.SeparableConv2D(8, 3, activation="silu", padding="same")(y)
    y = L.Conv2DTranspose(4, 3, strides=2, activation="relu")(y)
    y = L.Reshape((-1, 4))(y)
    y = L.EinsumDense("abc,cde->abde", (None, 4, 2), activation="tanh")(y)
    return keras.Model(x, y)


def everything():
    stack = convolutions()
    y = L.Reshape((-1, 8))(stack.output)
    y = L.Dense(8, activation=L.PReLU())(y)
    y = L.MultiHeadAttention(2, 4)(y, y)
    y = L.LSTM(4)(y)
    return keras.Model(stack.input, L.Dense(3, "softmax")(y))


@pytest.mark.once
def test_every_layer_type_ends_at_unit_variance():
    model = everything()
    lstm = next(x for x in model.layers if isinstance(x, L.LSTM))
    recurrent = array(lstm.cell.kernel).copy()
    results = presets.lsuv(model, data(64, 8, 8, 4), seed=0)
    assert len(results) == 11  # Four of them inside the attention.
    for result in results:
        assert result.std_after == pytest.approx(1.0, abs=0.02), str(result)
    np.testing.assert_array_equal(recurrent, array(lstm.cell.kernel))
    assert isinstance(model.layers[-4].activation, L.PReLU)
    model.predict(data(2, 8, 8, 4), verbose=0)


def test_deep_plain_gelu_has_unit_variance_everywhere():
    model = keras.Sequential(
        [keras.Input((32,))] + [L.Dense(32, "gelu") for _ in range(12)]
    )
    x = data(256, 32)
    presets.lsuv(model, x, seed=1)
    hidden = x
    for layer in model.layers:
        pre = hidden @ array(layer.kernel) + array(layer.bias)
        assert pre.std() == pytest.approx(1.0, abs=0.03)
        hidden = array(layer(hidden))


@pytest.mark.once
def test_a_seed_repeats():
    one, two = convolutions(), convolutions()
    presets.lsuv(one, data(16, 8, 8, 4), seed=5)
    presets.lsuv(two, data(16, 8, 8, 4), seed=5)
    for a, b in zip(one.layers, two.layers, strict=True):
        for v, w in zip(a.weights, b.weights, strict=True):
            np.testing.assert_array_equal(array(v), array(w))


def test_a_subclassed_model_and_frozen_layers():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [L.Dense(8, "silu") for _ in range(3)]
            self.blocks[1].trainable = False

        def call(self, x):
            for block in self.blocks:
                x = block(x)
            return x

    model, x = Net(), data(64, 8)
    model(x)
    frozen = array(model.blocks[1].kernel).copy()
    assert len(presets.lsuv(model, x)) == 2
    np.testing.assert_array_equal(frozen, array(model.blocks[1].kernel))


@pytest.mark.once
def test_a_failure_half_way_leaves_the_model_untouched():
    model = keras.Sequential(
        [
            keras.Input((8,)),
            L.Dense(8, "relu"),
            L.Rescaling(0.0),
            L.Dense(8, "relu"),
            L.Dense(2),
        ]
    )
    before = [array(w).copy() for w in model.weights]
    with pytest.raises(RuntimeError, match=r"scaling failed at .*dense"):
        presets.lsuv(model, data(32, 8))
    for value, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(value, array(weight))
    assert "call" not in vars(model.layers[0])
    assert model.layers[2].activation.__name__ == "relu"


@pytest.mark.once
def test_what_does_not_converge_is_said():
    model = keras.Sequential([keras.Input((4,)), L.Dense(4)])
    model.layers[0].bias.assign([9.0, -9.0, 9.0, -9.0])
    with pytest.warns(GradGuardWarning, match=r"after 10 rescalings"):
        presets.lsuv(model, data(32, 4))


@pytest.mark.once
def test_errors_teach():
    with pytest.raises(TypeError, match=r"`model` must be a Keras model"):
        presets.lsuv(L.Dense(3), data(4, 4))
    model = keras.Sequential([keras.Input((4,)), L.Dense(4)])
    with pytest.raises(ValueError, match=r"`tolerance` must be a number > 0"):
        presets.lsuv(model, data(4, 4), tolerance=0)
    with pytest.raises(ValueError, match=r"`max_iterations` must be an int"):
        presets.lsuv(model, data(4, 4), max_iterations=0)
