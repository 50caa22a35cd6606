"""Second moments of signal and gradient, each pairing in each layer type.

Layers are built by Keras, so that their weights are what a user gets; signal
and gradient then go through them in float64 NumPy, on a ring of positions.
"""

import functools
import sys

import keras
import numpy as np
import pytest

from keras_gradguard import presets
from tests.presets import twin

L = keras.layers
WIDTH, POSITIONS, DEPTH = 512, 64, 20
ROWS = [
    name
    for name in presets.names()
    if presets.pairing(name).name == name and name != "he_prelu"
]
# Two standard deviations of a draw of 512 ReLU units, sqrt((2 + 5) / 512) each,
# with data correlated fully; many more where the data are not.
A_LAYER = 0.25


# What Keras's own initializers draw by, and `keras.random` as well.
BELOW = sys.modules[keras.initializers.VarianceScaling.__module__].random
DRAW = BELOW.truncated_normal


@functools.lru_cache(maxsize=48)
def drawn(shape, dtype, seed):
    """One draw for all pairings: to draw takes most of a stack's time."""
    return DRAW(shape, dtype=dtype, seed=seed)


@pytest.fixture(autouse=True)
def _draws_are_kept(monkeypatch):
    """Let weights be scaled from what was drawn for an earlier pairing.

    Keras does the same: it scales the draw that belongs to the seed.
    """

    def draw(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
        if isinstance(seed, keras.random.SeedGenerator):
            seed, earlier = map(int, array(seed.next()))
            assert earlier == 0, "a second draw is another one"
        return drawn(tuple(shape), dtype, seed) * stddev + mean

    generators = [keras.random.SeedGenerator(7) for _ in range(2)]
    for one, other in ((7, 7), generators):
        a = draw((2, 3), 0.0, 0.3, "float32", one)
        b = DRAW((2, 3), 0.0, 0.3, "float32", other)
        np.testing.assert_allclose(array(a), array(b), rtol=1e-6)
    monkeypatch.setattr(BELOW, "truncated_normal", draw)


def array(x):
    return keras.ops.convert_to_numpy(x).astype("float64")


def function(row):
    return "squared_relu" if callable(row.activation) else row.activation


def dense(args, _):
    layer = L.Dense(WIDTH, **args)
    layer.build((None, WIDTH))
    return [(0, array(layer.kernel))], layer


def einsum(args, _):
    layer = L.EinsumDense(
        "abc,cde->abde", (None, 8, 64), bias_axes="de", **args
    )
    layer.build((None, 4, WIDTH))
    return [(0, array(layer.kernel).reshape(WIDTH, WIDTH))], layer


def pointwise(args, _):
    layer = L.Conv2D(WIDTH, 1, **args)
    layer.build((None, 8, 8, WIDTH))
    return [(0, array(layer.kernel)[0, 0])], layer


def conv(args, _):
    layer = L.Conv1D(WIDTH, 3, **args)
    layer.build((None, 8, WIDTH))
    return list(enumerate(array(layer.kernel))), layer


def conv2d(args, _):
    layer = L.Conv2D(WIDTH, 3, **args)
    layer.build((None, 8, 8, WIDTH))
    # A ring has one way round: the rows of the window are eight apart.
    kernel = array(layer.kernel)
    return [(8 * i + j, kernel[i, j]) for i in range(3) for j in range(3)], (
        layer
    )


def grouped(args, _):
    layer = L.Conv1D(WIDTH, 3, groups=4, **args)
    layer.build((None, 8, WIDTH))
    taps, part = [], WIDTH // 4
    for tap, kernel in enumerate(array(layer.kernel)):
        full = np.zeros((WIDTH, WIDTH))
        for i in range(0, WIDTH, part):
            full[i : i + part, i : i + part] = kernel[:, i : i + part]
        # Moved on by half a group, or groups would never mix.
        taps.append((tap, np.roll(full, part // 2, axis=1)))
    return taps, layer


def separable(args, _):
    layer = L.SeparableConv1D(WIDTH, 3, **args)
    layer.build((None, 8, WIDTH))
    mix = array(layer.pointwise_kernel)[0]
    taps = enumerate(array(layer.depthwise_kernel)[:, :, 0])
    return [(tap, weights[:, None] * mix) for tap, weights in taps], layer


def transpose(args, index):
    layer = L.Conv1DTranspose(WIDTH, 4, strides=2, **args)
    layer.build((None, 8, WIDTH))
    # Of two outputs next to each other one takes the even taps and one the
    # odd ones. Every second output is kept, these or those.
    kernel = array(layer.kernel)[index % 2 :: 2]
    return [(tap, k.T) for tap, k in enumerate(kernel)], layer


TYPES = {
    "dense": (dense, {"layer": "Dense"}),
    "pointwise": (pointwise, {"layer": "Conv2D"}),
    "conv": (conv, {"layer": "Conv1D"}),
    "conv2d": (conv2d, {"layer": "Conv2D"}),
    "grouped": (grouped, {"layer": "Conv1D", "groups": 4}),
    "separable": (separable, {"layer": "SeparableConv1D"}),
    "transpose": (transpose, {"layer": "Conv1DTranspose", "strides": 2}),
}
# Before Keras 3.15 its initializers are not told the axes of an einsum.
if hasattr(L.EinsumDense, "_update_kernel_initializer"):
    TYPES["einsum"] = (einsum, {"layer": "EinsumDense"})


@functools.cache
def moments_of(name):
    """Tables over log q of log E f^2, E f'^2 and their draws' variances."""
    f, z = twin.FUNCTIONS[name], np.linspace(-12.0, 12.0, 20_001)
    mass = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    logs, found = np.linspace(-10.0, 10.0, 101), []
    for q in np.exp(logs):
        x, step = np.sqrt(q) * z, 1e-5
        y = f(x)
        slope = (f(x + step) - f(x - step)) / (2 * step)
        row = []
        for v in (y, slope):
            second, fourth = np.sum(v**2 * mass), np.sum(v**4 * mass)
            row += [np.log(second), fourth / second**2 - 1.0]
        found.append(row)
    return logs, np.array(found)


def lookup(name, q):
    logs, found = moments_of(name)
    signal, spread, slope, slope_spread = (
        np.interp(np.log(q), logs, column) for column in found.T
    )
    return np.exp(signal), spread, np.exp(slope), slope_spread


def forward(taps, h):
    return sum(np.roll(h, -tap, axis=0) @ kernel for tap, kernel in taps)


def backward(taps, g):
    return sum(np.roll(g @ kernel.T, tap, axis=0) for tap, kernel in taps)


def over_taps(taps, power, way):
    """Mean of a power at each position over the positions it is tied to."""
    return np.mean([np.roll(power, way * t) for t, _ in taps], axis=0)


def check(kind, name, variant="", depth=DEPTH):
    """Follow signal and gradient; return how many layers were followed."""
    row = presets.pairing(name)
    make, arguments = TYPES[kind]
    known = function(row)
    f = twin.FUNCTIONS[known]
    scale = row.scale
    if kind == "transpose" and row.mode == "fan_avg":
        scale *= 1024 / 1536  # Each input goes to twice as many outputs.
    rng = np.random.default_rng(0)
    # The input plays a pre-activation of the variance that the pairing keeps.
    z = rng.normal(size=(POSITIONS, WIDTH)) * row.point**0.5
    stack, pre, measured = [], [z], []
    for index in range(depth):
        found = presets.get(name + variant, seed=index, **arguments)
        taps, layer = make(found, index)
        power = np.mean(z**2, axis=1)
        second, spread, _, _ = lookup(known, power)
        second = over_taps(taps, second, -1)
        z = forward(taps, f(z)) + array(layer.bias).ravel()
        # One layer's theory on what came into it. A draw of 512 units varies
        # by 2 / 512 for their weights, by `spread` / 512 for their inputs.
        theory = scale * np.mean(second) + row.bias_variance
        error = np.sqrt((2.0 + spread.max()) / WIDTH)
        ratio = np.log(np.mean(z**2) / theory)
        assert abs(ratio) < 4 * error, (name, index, ratio, error)
        measured.append(np.mean(z**2))
        stack.append(taps)
        pre.append(z)
        if not 1e-3 < measured[-1] < 1e3:
            break
    # The whole way from the start. An error grows by dV/dq with each layer
    # after it: where it may have grown to 1, nothing is told.
    theory = twin.recursion(known, scale, DEPTH, row.bias_variance, row.point)
    growth = scale * presets.moments(row.activation, row.point).sensitivity
    for layers in (1, 5, 20):
        tolerance = A_LAYER * np.sqrt(
            np.sum(growth ** (2.0 * np.arange(layers)))
        )
        if layers <= len(measured) and tolerance < 1.0:
            ratio = np.log(measured[layers - 1] / theory[layers - 1])
            assert abs(ratio) < tolerance, (name, layers, ratio)
    g = rng.normal(size=z.shape)
    # A slope that grows with the signal ties the gradient to it, through the
    # weights that both share: 512 units are few for squared ReLU. It gets a
    # gradient that knows nothing of the signal at each layer.
    fresh = name == "squared_relu"
    for taps, z in zip(reversed(stack), reversed(pre[:-1]), strict=True):
        if fresh:
            g = rng.normal(size=z.shape)
        power = over_taps(taps, np.mean(g**2, axis=1), 1)
        _, _, slope, spread = lookup(known, np.mean(z**2, axis=1))
        g = backward(taps, g) * (f(z + 1e-5) - f(z - 1e-5)) / 2e-5
        error = np.sqrt((2.0 + spread.max()) / WIDTH)
        ratio = np.log(np.mean(g**2) / (scale * np.mean(power * slope)))
        assert abs(ratio) < 4 * error, (name, ratio, error)
    return len(stack)


# What a backend adds is the shape of a kernel and how it is drawn: both fans,
# a function of one's own and a drawn bias show it in stacks of each layer. All
# pairings go through deep stacks of all layers where `once` runs.
SOME = ("he_relu", "glorot_tanh", "squared_relu", "silu_deep")
# Where the tests that are marked `once` run, they begin with these layers.
shallow = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="deep stacks are followed here"
)


# One test for many pairings: a test starts with nothing compiled.
@shallow
@pytest.mark.parametrize("kind", sorted(set(TYPES) - {"conv2d", "dense"}))
def test_signal_and_gradient_in_every_layer_type(kind):
    for name in SOME:
        assert check(kind, name, depth=3) == 3


def test_signal_and_gradient_in_deep_dense_stacks():
    for name in SOME:
        layers = check("dense", name)
        assert layers == DEPTH or name == "squared_relu"
        assert layers >= 5


@pytest.mark.once
@pytest.mark.parametrize("name", sorted(set(ROWS) - set(SOME)))
def test_each_pairing_in_deep_dense_stacks(name):
    assert check("dense", name) == DEPTH


@pytest.mark.once
@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("kind", sorted(set(TYPES) - {"conv2d", "dense"}))
def test_signal_and_gradient_in_deep_stacks_of_every_layer_type(kind, name):
    assert check(kind, name) >= 5


@pytest.mark.once
@pytest.mark.parametrize("name", ["he_relu", "gelu_deep"])
def test_signal_and_gradient_in_a_wide_square_convolution(name):
    assert check("conv2d", name) == DEPTH


@pytest.mark.parametrize("variant", ["_uniform", "_orthogonal"])
def test_variants_have_the_same_variance(variant):
    some = ("grouped", "transpose")
    if keras.backend.backend() == "torch":
        some = ("dense", "grouped", "separable", "transpose")
    for kind in some:
        assert check(kind, "he_relu", variant, depth=3) == 3
    assert check("dense", "silu_deep", variant) == DEPTH


@shallow
def test_depthwise_layers_between_pointwise_ones():
    for name in SOME:
        depthwise(name, 3)


@pytest.mark.once
@pytest.mark.parametrize("name", ROWS)
def test_deep_stacks_of_depthwise_layers(name):
    depthwise(name, DEPTH)


def depthwise(name, depth):
    """Nine terms are no normal sum: each layer is told of its own inputs."""
    row = presets.pairing(name)
    f = twin.FUNCTIONS[function(row)]
    rng = np.random.default_rng(0)
    z = rng.normal(size=(POSITIONS, WIDTH)) * row.point**0.5
    for index in range(depth):
        layer = L.DepthwiseConv2D(
            3, **presets.get(name, layer="DepthwiseConv2D", seed=index)
        )
        layer.build((None, 8, 8, WIDTH))
        kernel = array(layer.kernel)[..., 0]
        taps = [(8 * i + j, kernel[i, j]) for i in range(3) for j in range(3)]
        h, bias = f(z), array(layer.bias)
        if not 1e-3 < np.mean(h**2) < 1e3:
            break
        z = sum(np.roll(h, -tap, axis=0) * weights for tap, weights in taps)
        g = rng.normal(size=z.shape)
        back = sum(np.roll(g, tap, axis=0) * weights for tap, weights in taps)
        for before, after in ((h, z), (g, back)):
            power = np.mean(before**2, axis=0)
            # As many independent draws as channels that matter.
            draws = power.sum() ** 2 / np.sum(power**2)
            ratio = np.log(np.mean(after**2) / (row.scale * power.mean()))
            assert abs(ratio) < 4 * np.sqrt(2.0 / draws), (name, index, ratio)
        taps, layer = pointwise(
            presets.get(name, layer="Conv2D", seed=100 + index), index
        )
        z = forward(taps, f(z + bias)) + array(layer.bias)
    assert index >= 2
