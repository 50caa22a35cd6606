import textwrap

import keras
import numpy as np
import pytest

from keras_gradguard import presets
from keras_gradguard.presets import theory
from tests import fresh
from tests.presets import twin

L = keras.layers


def array(x):
    return keras.ops.convert_to_numpy(x).astype("float64")


@pytest.mark.once
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
    # Each name where draws are cheap, and the two kinds of seed on others.
    names = presets.names()
    if keras.backend.backend() != "torch":
        names = ["he_relu", "gelu"]
    for name in names:
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


@pytest.mark.once
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
    done = fresh.run(textwrap.dedent(code))
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) == len(model.layers)


@pytest.mark.once
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


@pytest.mark.once
@pytest.mark.parametrize("steps", [5, None])
def test_recurrent_layers_train(steps):
    """A stack of ours, and Keras's own one converted."""

    def stack(pairing, **kwargs):
        def of(kind, name="glorot_tanh"):
            return presets.get(name, layer=kind, **kwargs) if pairing else {}

        return keras.Sequential(
            [
                keras.Input((steps, 4)),
                L.LSTM(4, return_sequences=True, **of("LSTM")),
                L.GRU(4, return_sequences=True, **of("GRU")),
                L.SimpleRNN(
                    4, return_sequences=True, **of("SimpleRNN", "he_relu")
                ),
                L.EinsumDense(
                    "abc,cd->abd", (None, 4), **of("EinsumDense", "linear")
                ),
            ]
        )

    x = np.random.default_rng(0).normal(size=(16, 5, 4)).astype("float32")
    plain = stack(False)
    for model in (stack(True, seed=1), presets.convert(plain, "mish")):
        model.compile("sgd", "mse", jit_compile=False)
        before = [array(w).copy() for w in model.trainable_weights]
        losses = model.fit(x, x, epochs=2, verbose=0).history["loss"]
        assert np.isfinite(losses).all()
        moved = [
            (array(w) != b).any()
            for w, b in zip(model.trainable_weights, before, strict=True)
        ]
        assert all(moved)


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
