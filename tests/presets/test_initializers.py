import keras
import numpy as np
import pytest

from keras_gradguard import presets

L = keras.layers
DISTRIBUTIONS = ["truncated_normal", "untruncated_normal", "uniform"]
# Before, whoever makes an `EinsumDense` has to tell its initializer.
FILLS_IN_AXES = hasattr(L.EinsumDense, "_update_kernel_initializer")
AXES = {} if FILLS_IN_AXES else {"input_axes": [0], "output_axes": [1, 2]}


def array(x):
    return keras.ops.convert_to_numpy(x).astype("float64")


def layers():
    """Layer, input shape, and the argument its kernel is given by."""

    def paired(**kwargs):
        return presets.PairedInitializer(1.0, seed=1, **kwargs)

    def all_of(distribution):
        d = {"distribution": distribution}
        return {
            "dense": (L.Dense(512, kernel_initializer=paired(**d)), (512,)),
            "widening": (L.Dense(900, kernel_initializer=paired(**d)), (64,)),
            "conv": (
                L.Conv2D(64, 3, kernel_initializer=paired(**d)),
                (9, 9, 32),
            ),
            "grouped": (
                L.Conv2D(
                    64,
                    3,
                    groups=4,
                    kernel_initializer=paired(groups=4, **d),
                ),
                (9, 9, 64),
            ),
            "depthwise": (
                L.DepthwiseConv2D(
                    5,
                    depthwise_initializer=paired(layout="depthwise", **d),
                ),
                (9, 9, 512),
            ),
            "transpose": (
                L.Conv2DTranspose(
                    64,
                    4,
                    strides=2,
                    padding="same",
                    kernel_initializer=paired(
                        layout="transpose", strides=2, **d
                    ),
                ),
                (9, 9, 32),
            ),
            "einsum": (
                L.EinsumDense(
                    "abc,cde->abde",
                    (None, 8, 64),
                    kernel_initializer=paired(**AXES, **d),
                ),
                (4, 512),
            ),
        }

    return all_of


def layers_and_distributions():
    """All pairs; on JAX, which compiles each shape, each of both and few."""
    names, draws = list(layers()("uniform")), [*DISTRIBUTIONS, "orthogonal"]
    if keras.backend.backend() != "jax":
        return [(name, draw) for name in names for draw in draws]
    each = [(name, draws[i % 4]) for i, name in enumerate(names)]
    return each + [("dense", draw) for draw in draws[1:]]


@pytest.mark.parametrize(("name", "distribution"), layers_and_distributions())
def test_unit_variance_in_every_layer_type(name, distribution):
    layer, shape = layers()(distribution)[name]
    x = np.random.default_rng(0).normal(size=(16, *shape)).astype("float32")
    y = array(layer(x))
    if name == "transpose":
        y = y[:, 2:-2, 2:-2]  # The border sees less.
    assert np.mean(y**2) == pytest.approx(np.mean(x**2), rel=0.08)


def test_keras_fans_are_wrong_where_ours_are_used():
    x = np.random.default_rng(0).normal(size=(4, 9, 9, 256)).astype("float32")
    layer = L.DepthwiseConv2D(3, depthwise_initializer="lecun_normal")
    assert np.mean(array(layer(x)) ** 2) < 0.01


@pytest.mark.parametrize(
    ("layout", "shape", "fans"),
    [
        ("dense", (30, 20), (30, 20)),
        ("dense", (3, 3, 8, 20), (72, 180)),
        ("depthwise", (3, 3, 8, 2), (9, 18)),
        ("transpose", (4, 4, 20, 8), (32, 320)),
        ("dense", (7,), (7, 7)),
    ],
)
def test_fans(layout, shape, fans):
    strides = 2 if layout == "transpose" else 1
    made = presets.PairedInitializer(layout=layout, strides=strides)
    assert made.fans(shape) == fans


def test_grouped_fan_out():
    made = presets.PairedInitializer(groups=4)
    assert made.fans((3, 3, 8, 64)) == (72, 144)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
def test_standard_layouts_match_keras(mode):
    arguments = (2.0, mode, "truncated_normal", 3)
    ours = presets.PairedInitializer(*arguments)((40, 30))
    theirs = keras.initializers.VarianceScaling(*arguments)((40, 30))
    np.testing.assert_allclose(array(ours), array(theirs), rtol=1e-6)


def test_orthogonal_is_orthogonal():
    made = presets.PairedInitializer(distribution="orthogonal", seed=0)
    q = array(made((64, 32)))
    np.testing.assert_allclose(q.T @ q, np.eye(32), atol=1e-5)
    q = array(made((32, 64)))
    np.testing.assert_allclose(q @ q.T, 2 * np.eye(32), atol=1e-5)
    depthwise = presets.PairedInitializer(
        distribution="orthogonal", layout="depthwise", seed=0
    )
    kernel = array(depthwise((3, 3, 4, 2)))
    for channel in range(4):
        block = kernel[:, :, channel].reshape(9, 2)
        np.testing.assert_allclose(block.T @ block, np.eye(2), atol=1e-5)


def test_half_precision_orthogonal():
    made = presets.PairedInitializer(distribution="orthogonal")
    value = made((8, 8), dtype="float16")
    assert keras.backend.standardize_dtype(value.dtype) == "float16"


@pytest.mark.parametrize(
    "made",
    [
        presets.PairedInitializer(
            2.5, "fan_avg", "orthogonal", 3, "transpose", 2, (2, 1)
        ),
        presets.PerGate("glorot_uniform", 3),
        presets.PerGate(keras.initializers.Orthogonal(seed=2), 4),
        presets.GateBias(0.5, 1, 4),
    ],
)
def test_config_round_trip(made):
    config = keras.initializers.serialize(made)
    again = keras.initializers.deserialize(config)
    assert keras.initializers.serialize(again) == config
    if getattr(made, "seed", None) or isinstance(made, presets.GateBias):
        shape = (3, 3, 4, 12)
        np.testing.assert_array_equal(array(made(shape)), array(again(shape)))


@pytest.mark.skipif(not FILLS_IN_AXES, reason="Keras before 3.15 does not")
def test_attention_fills_in_the_axes():
    layer = L.MultiHeadAttention(
        4, 16, kernel_initializer=presets.PairedInitializer(1.0)
    )
    layer.build((2, 3, 64), (2, 3, 64))
    kernels = [w for w in layer.weights if w.path.endswith("kernel")]
    for kernel in kernels:
        assert array(kernel).std() == pytest.approx(1 / 8, rel=0.05)


def test_gates_of_a_seeded_initializer_differ():
    made = presets.PerGate(keras.initializers.Orthogonal(seed=2), 4)
    one, two, *_ = np.split(array(made((6, 24))), 4, axis=-1)
    assert (one != two).any()


def test_errors_teach():
    with pytest.raises(ValueError, match=r"`layout` must be one of 'dense'"):
        presets.PairedInitializer(layout="conv")
    with pytest.raises(ValueError, match=r"`scale` must be a number > 0"):
        presets.PairedInitializer(0)
    with pytest.raises(ValueError, match=r"`gates` must divide the last axis"):
        presets.PerGate(gates=4)((3, 6))
    with pytest.raises(ValueError, match=r"`gate` must be one of 0, 1, 2"):
        presets.GateBias(gate=3)
    with pytest.raises(ValueError, match=r"normal or uniform one for a vector"):
        presets.PairedInitializer(distribution="orthogonal")((3,))
