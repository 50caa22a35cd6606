import keras
import numpy as np
import pytest

from keras_gradguard import layers
from keras_gradguard import presets
from tests.params import once_but

BLOCKS = [
    (layers.PairedDense, (6,), {"units": 6}),
    (layers.PairedConv1D, (7, 6), {"filters": 6, "kernel_size": 3}),
    (layers.PairedConv2D, (5, 5, 6), {"filters": 6, "kernel_size": 3}),
    (
        layers.PairedConv3D,
        (3, 3, 3, 6),
        {"filters": 6, "kernel_size": (3, 1, 3)},
    ),
]
OPTIONS = [
    {},
    {"normalization": "batch", "residual": True},
    {"pairing": "lecun_selu", "dropout": 0.2},
    {"pairing": "he_prelu", "normalization": "layer"},
    {"pairing": "gelu_deep_orthogonal", "residual": True},
]


def array(x):
    return keras.ops.convert_to_numpy(x)


def is_shown_everywhere(block, shape, size, options):
    """All blocks with one choice of options, all options with one block."""
    return block is layers.PairedDense or options is OPTIONS[1]


@pytest.mark.parametrize(
    ("block", "shape", "size", "options"),
    once_but(
        is_shown_everywhere,
        [(*block, options) for block in BLOCKS for options in OPTIONS],
    ),
)
def test_blocks_train_save_and_load(block, shape, size, options, tmp_path):
    model = keras.Sequential([keras.Input(shape), block(**size, **options)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(8, *shape)).astype("float32")
    model.fit(x, x[..., :6], epochs=1, batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(array(loaded(x)), array(model(x)), atol=1e-6)
    assert loaded.layers[0].get_config() == model.layers[0].get_config()


def test_a_residual_block_starts_as_the_identity():
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    block = layers.PairedDense(6, pairing="gelu", residual=True)
    np.testing.assert_array_equal(array(block(x)), x)
    wrapped = layers.Residual([keras.layers.Dense(6), keras.layers.ReLU()])
    np.testing.assert_array_equal(array(wrapped(x)), x)


def test_residual_saves_and_trains(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Residual(
                [
                    keras.layers.Dense(6, **presets.get("gelu")),
                    keras.layers.Dropout(0.3),
                ]
            ),
            layers.Residual(keras.layers.Dense(6), initial_scale=0.5),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    model.fit(x, -x, epochs=2, verbose=0)
    assert float(array(model.layers[0].scale)) != 0.0
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(array(loaded(x)), array(model(x)), atol=1e-6)


def test_branch_dropout_is_off_at_inference():
    x = np.ones((4, 6), "float32")
    layer = layers.Residual(keras.layers.Dropout(0.5), initial_scale=1.0)
    np.testing.assert_array_equal(array(layer(x)), 2 * x)
    assert (array(layer(x, training=True)) != 2 * x).any()


def test_selu_takes_alpha_dropout():
    block = layers.PairedDense(6, pairing="lecun_selu_uniform", dropout=0.1)
    assert isinstance(block.dropout_layer, keras.layers.AlphaDropout)
    block = layers.PairedDense(6, pairing="gelu", dropout=0.1)
    assert isinstance(block.dropout_layer, keras.layers.Dropout)


def test_the_bias_goes_where_normalization_takes_it_off():
    block = layers.PairedDense(6, pairing="gelu_deep", normalization="batch")
    assert not block.kernel_layer.use_bias


def test_mixed_precision():
    block = layers.PairedDense(6, residual=True, dtype="mixed_float16")
    y = block(np.ones((2, 6), "float32"))
    assert keras.backend.standardize_dtype(y.dtype) == "float16"


def test_errors_teach():
    with pytest.raises(ValueError, match=r"`normalization` must be one of"):
        layers.PairedDense(6, normalization="group")
    with pytest.raises(ValueError, match=r"`pairing` must be one of"):
        layers.PairedDense(6, pairing="he_rule")
    with pytest.raises(TypeError, match=r"`units` must be an integer >= 1"):
        layers.PairedDense(6.0)
    with pytest.raises(ValueError, match=r"`dropout` must be a number in"):
        layers.PairedDense(6, dropout=2)
    with pytest.raises(TypeError, match=r"Residual: `branch` must be a layer"):
        layers.Residual(np.tanh)
    with pytest.raises(ValueError, match=r"Expected a branch with the shape"):
        layers.Residual(keras.layers.Dense(3))(np.ones((2, 6), "float32"))
    with pytest.raises(ValueError, match=r"ScaledAdd: building failed"):
        layers.PairedDense(3, residual=True)(np.ones((2, 6), "float32"))


class Holder(keras.layers.Layer):
    """A layer of one's own that holds others."""

    def __init__(self):
        super().__init__(name="holder")
        self.inner = keras.layers.Dense(2, name="inner")
        self.more = [keras.layers.Dense(2, name="listed")]


class Own(keras.Model):
    """A model of one's own with a layer that holds others."""

    def __init__(self):
        super().__init__()
        self.holder = Holder()
        self.last = keras.layers.Dense(1, name="last")


def test_inside_lists_layers_in_layers():
    nested = keras.Sequential([Holder()], name="nested")
    model = keras.Sequential([nested, keras.layers.Dense(1, name="last")])
    names = [layer.name for layer in layers.inside(model)]
    assert names == ["nested", "holder", "inner", "listed", "last"]
    names = [layer.name for layer in layers.inside(Own())]
    assert names == ["holder", "inner", "listed", "last"]


def test_inside_takes_models_only():
    with pytest.raises(TypeError, match="must be a Keras model or layer"):
        layers.inside([keras.layers.Dense(1)])
