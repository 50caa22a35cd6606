import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

from keras_gradguard import presets
from keras_gradguard.presets import theory
from tests.presets import twin

L = keras.layers
WIDTH = 512
ROWS = [n for n in presets.names() if presets.pairing(n).name == n]
WITH_TWIN = [n for n in ROWS if n != "he_prelu"]


def array(x):
    return keras.ops.convert_to_numpy(x).astype("float64")


def function(row):
    name = row.activation
    return "squared_relu" if callable(name) else name


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        *((name, "") for name in WITH_TWIN),
        ("he_relu", "_uniform"),
        ("glorot_tanh", "_uniform"),
        ("he_relu", "_orthogonal"),
        ("silu_deep", "_orthogonal"),
    ],
)
def test_variance_through_a_stack_is_the_theorys(name, variant):
    row = presets.pairing(name)
    depth = 5 if name == "squared_relu" else 20
    model = keras.Sequential(
        [keras.Input((WIDTH,))]
        + [
            L.Dense(WIDTH, **presets.get(name + variant, seed=i))
            for i in range(depth)
        ]
    )
    f = twin.FUNCTIONS[function(row)]
    rng = np.random.default_rng(0)
    # The input plays a pre-activation of the variance that the pairing keeps.
    z = rng.normal(size=(128, WIDTH)) * row.point**0.5
    expected = twin.recursion(
        function(row), row.scale, depth, row.bias_variance, row.point
    )
    h, measured = f(z), []
    for layer in model.layers:
        z = h @ array(layer.kernel) + array(layer.bias)
        h = f(z)
        measured.append(np.mean(z**2))
    # A draw of 512 units errs by some 5 % a layer, and an error grows by dV/dq
    # with each layer after it. Where it may have grown to 1 nothing is told.
    growth = row.scale * presets.moments(row.activation, row.point).sensitivity
    told = 0
    for layers in (1, 5, 20):
        powers = growth ** (2.0 * np.arange(layers))
        tolerance = 0.2 * np.sqrt(powers.sum())
        if layers <= depth and tolerance < 1.0:
            ratio = np.log(measured[layers - 1] / expected[layers - 1])
            assert abs(ratio) < tolerance, (layers, ratio)
            told += 1
    assert told >= 1


@pytest.mark.parametrize("name", ["he_relu", "elu", "lecun_selu", "gelu_deep"])
def test_gradient_through_a_stack_is_the_theorys(name):
    row, depth = presets.pairing(name), 20
    f = twin.FUNCTIONS[row.activation]
    rng = np.random.default_rng(0)
    z, pre, kernels = rng.normal(size=(64, WIDTH)) * row.point**0.5, [], []
    for i in range(depth):
        arguments = presets.get(name, seed=i)
        kernel = array(arguments["kernel_initializer"]((WIDTH, WIDTH)))
        bias = arguments.get("bias_initializer", keras.initializers.Zeros())
        kernels.append(kernel)
        pre.append(z)
        z = f(z) @ kernel + array(bias((WIDTH,)))
    g = rng.normal(size=z.shape)
    for z, kernel in zip(reversed(pre), reversed(kernels), strict=True):
        slope = (f(z + 1e-5) - f(z - 1e-5)) / 2e-5
        g = (g @ kernel.T) * slope
    _, factor = theory.propagate(
        row.activation,
        row.scale,
        depth,
        bias_variance=row.bias_variance,
        start=row.point,
    )
    assert abs(np.log(np.mean(g**2) / factor[-1])) < 0.75


def test_the_recursion_matches_its_twin():
    signal, gradient = theory.propagate("gelu", 2.351716, 10, start=0.9)
    np.testing.assert_allclose(
        signal, twin.recursion("gelu", 2.351716, 10, 0.0, 0.9), rtol=1e-6
    )
    before = np.concatenate([[0.9], signal[:-1]])
    chi = [2.351716 * twin.slope_moment("gelu", q) for q in before]
    np.testing.assert_allclose(gradient, np.cumprod(chi), rtol=1e-5)


def test_deep_pairings_are_stable_fixed_points():
    for name in ("gelu_deep", "silu_deep", "mish_deep", "hard_silu_deep"):
        row = presets.pairing(name)
        found = presets.moments(row.activation, row.point)
        after = row.scale * found.second_moment + row.bias_variance
        assert after == pytest.approx(row.point, rel=1e-5)
        assert row.scale * found.sensitivity == pytest.approx(0.98, rel=1e-5)


def test_unstable_pairings_say_so():
    for name in ("gelu", "silu", "mish", "hard_silu"):
        row = presets.pairing(name)
        assert f"{name}_deep" in row.when
        assert theory.degrade_depth(row) < 60


def test_one_result_gives_each_layer_values_of_its_own():
    for name in presets.names():
        for suffix in ("", "_uniform", "_orthogonal"):
            arguments = presets.get(name + suffix)
            model = keras.Sequential([keras.Input((8,))])
            model.add(L.Dense(8, **arguments))
            model.add(L.Dense(8, **arguments))
            one, two = (array(x.kernel) for x in model.layers)
            assert (one != two).any()


def test_a_cloned_model_draws_anew():
    arguments = presets.get("gelu")
    model = keras.Sequential(
        [keras.Input((8,)), L.Dense(8, **arguments), L.Dense(8, **arguments)]
    )
    clone = keras.models.clone_model(model)
    one, two = (array(x.kernel) for x in clone.layers)
    assert (one != two).any()


def test_a_seed_repeats():
    one = presets.get("he_relu", seed=4)["kernel_initializer"]((5, 5))
    two = presets.get("he_relu", seed=4)["kernel_initializer"]((5, 5))
    np.testing.assert_array_equal(array(one), array(two))


def test_for_activation():
    found = presets.for_activation("relu")
    assert isinstance(found, keras.initializers.HeNormal)
    assert presets.for_activation(keras.activations.gelu).scale == 2.351716
    assert presets.for_activation(L.LeakyReLU(0.1)).scale == 1.980198
    assert presets.for_activation("tanh").mode == "fan_avg"
    assert isinstance(
        presets.for_activation("relu", layer="DepthwiseConv2D"),
        presets.PairedInitializer,
    )

    def relu(x):
        return 2.0 * keras.ops.relu(x)

    assert presets.for_activation(relu).scale == 0.5


def test_a_saved_model_needs_nothing_of_ours(tmp_path):
    path = tmp_path / "model.keras"
    names = [n for n in presets.names() if n != "squared_relu"]
    x = inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 3, **presets.get("he_prelu", layer=L.Conv2D))(x)
    x = L.Flatten()(x)
    for name in names:
        x = L.Dense(8, **presets.get(name))(x)
        x = L.Dense(8, **presets.get(name + "_uniform", seed=1))(x)
    model = keras.Model(inputs, x)
    model.save(path)
    code = f"""
        import sys
        sys.modules["keras_gradguard"] = None
        import keras
        model = keras.models.load_model({str(path)!r})
        print(len(model.layers))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) == len(model.layers)


def test_recurrent_layers():
    model = keras.Sequential(
        [
            keras.Input((5, 16)),
            L.LSTM(
                16,
                return_sequences=True,
                **presets.get("glorot_tanh", layer="LSTM", seed=1),
            ),
            L.GRU(
                16,
                return_sequences=True,
                **presets.get("glorot_tanh", layer=L.GRU),
            ),
            L.SimpleRNN(16, **presets.get("he_relu", layer="SimpleRNN")),
        ]
    )
    lstm, gru, rnn = (layer.cell for layer in model.layers)
    for cell, gates in ((lstm, 4), (gru, 3)):
        blocks = np.split(array(cell.recurrent_kernel), gates, axis=-1)
        for block in blocks:
            np.testing.assert_allclose(block.T @ block, np.eye(16), atol=1e-5)
        assert (blocks[0] != blocks[1]).any()
        assert array(cell.kernel).std() == pytest.approx(
            (2 / 32) ** 0.5, rel=0.1
        )
    np.testing.assert_array_equal(array(lstm.bias)[16:32], 1.0)
    np.testing.assert_array_equal(array(gru.bias)[0, :16], 1.0)
    assert array(gru.bias).sum() == 16
    np.testing.assert_array_equal(array(rnn.recurrent_kernel), np.eye(16))


def test_errors_teach():
    with pytest.raises(ValueError, match=r"`name` must be one of 'he_relu'"):
        presets.get("he")
    with pytest.raises(ValueError, match=r"`layer` must be one of 'Dense'"):
        presets.get("he_relu", layer="Embedding")
    with pytest.raises(ValueError, match=r"`variant` must be one of"):
        presets.get("he_relu", variant="cauchy")
    with pytest.raises(ValueError, match=r"must be 'glorot_tanh' for an LSTM"):
        presets.get("he_relu", layer="LSTM")
    with pytest.raises(TypeError, match=r"`seed` must be an integer"):
        presets.get("he_relu", seed=1.5)
