"""Clippers that leave alone what the data often gives."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gradguard as kgg


def compiled(function):
    """The function as it is compiled in a step."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    return function


def thresholds(clipper, norms):
    """Thresholds of a row of norms, by the clipper's own arithmetic."""
    state = {
        name: ops.zeros(shape)
        for name, shape in clipper.state_shapes([]).items()
    }
    found, step = [], compiled(clipper.threshold)
    for norm in norms:
        norm = ops.convert_to_tensor(norm, "float32")
        threshold, state = step(norm, state)
        found.append(float(ops.convert_to_numpy(threshold)))
    return found


def twin(norms, ratio, share, window):
    """The same in float64, from the sorted norms before each."""
    found, kept = [], []
    for norm in norms:
        before = np.sort(kept[-window:])[::-1]
        common = np.inf
        if len(before):
            last = len(before) - 1
            few = np.clip(last / 10, 1.0, 3.0)
            rank = min(max(share * last, few), last)
            common = np.interp(rank, np.arange(len(before)), before)
        found.append(ratio * common)
        kept.append(min(norm, 2 * found[-1]))
    return found


@pytest.mark.parametrize(
    ("ratio", "share", "window"), [(4.0, 0.03, 256), (1.0, 0.5, 7)]
)
def test_spikes_equal_the_twin(ratio, share, window):
    norms = np.random.default_rng(0).lognormal(sigma=1.5, size=400)
    found = thresholds(kgg.clippers.Spikes(ratio, share, window), norms)
    expected = twin(norms, ratio, share, window)
    assert found[0] > 1e38
    np.testing.assert_allclose(found[1:], expected[1:], rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_no_early_spike_passes_and_no_first_spike_hides_one(scale):
    clipper = kgg.clippers.Spikes()
    second = thresholds(clipper, scale * np.array([1.0, 1e4]))
    assert second[1] == pytest.approx(4 * scale)
    first = thresholds(clipper, scale * np.array([1e4, 1.0, 1.0, 1e4]))
    assert first[3] == pytest.approx(4 * scale)


def test_common_large_norms_are_left_alone():
    """One batch of twenty holds what matters."""
    norms = np.where(np.arange(400) % 20 == 7, 30.0, 1.0)
    limits = thresholds(kgg.clippers.Spikes(), norms)
    assert (norms[100:] <= limits[100:]).all()


def test_rare_spikes_never_pass():
    norms = np.where(np.arange(1000) % 100 == 99, 1e3, 1.0)
    limits = thresholds(kgg.clippers.Spikes(), norms)
    assert max(np.minimum(norms, limits)[1:]) == pytest.approx(4.0)


def test_a_lasting_rise_is_followed():
    norms = np.where(np.arange(600) < 300, 1.0, 50.0)
    limits = thresholds(kgg.clippers.Spikes(), norms)
    assert limits[330] == pytest.approx(200.0)


def test_corrupt_batches_in_a_row_do_not_become_common():
    norms = np.ones(100)
    norms[[9, 14, 16, 20, 24, 25]] = 1e3
    limits = thresholds(kgg.clippers.Spikes(), norms)
    assert max(limits[1:]) < 250.0  # not 4000


@pytest.mark.parametrize("percentile", [10.0, 50.0, 90.0])
def test_percentile_lets_no_spike_pass_at_the_second_update(percentile):
    found = thresholds(kgg.clippers.Percentile(percentile), [1.0, 1e4])
    assert found[1] <= 4.0


def test_the_default_is_spikes_but_for_a_percentile():
    assert isinstance(kgg.AutoClip("sgd").clipper, kgg.clippers.Spikes)
    by_percentile = kgg.AutoClip("sgd", percentile=10.0).clipper
    assert isinstance(by_percentile, kgg.clippers.Percentile)


def test_state_survives_another_window():
    clipper = kgg.clippers.Spikes(window=4)
    state = clipper.adapt_state(
        {"history": np.arange(6.0)}, {"history": (4,), "ranking": (4,)}
    )
    assert state["ranking"].tolist() == [3.0, 2.0, 1.0, 0.0]
    copy = type(clipper).from_config(clipper.get_config())
    assert repr(copy) == repr(clipper)


@pytest.mark.once
def test_a_rare_class_is_learnt_as_well_as_without():
    """Six of ten batches hold no positive; those that do must be heard."""
    random = np.random.RandomState(0)
    x = random.randn(3000, 10).astype("float32")
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 3.6).astype(int)
    weights = {0: 1.0, 1: float((y == 0).sum() / y.sum())}

    def auc(optimizer):
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((10,)),
                keras.layers.Dense(32, "relu"),
                keras.layers.Dense(32, "relu"),
                keras.layers.Dense(1, "sigmoid"),
            ]
        )
        metric = keras.metrics.AUC(name="auc")
        model.compile(optimizer, "binary_crossentropy", metrics=[metric])
        fit = {"batch_size": 64, "epochs": 10, "verbose": 0}
        history = model.fit(x, y, class_weight=weights, **fit).history
        return history["auc"][-1]

    plain = auc(keras.optimizers.Adam(1e-3))
    clipped = auc(kgg.AutoClip(keras.optimizers.Adam(1e-3)))
    assert clipped > plain - 0.02


def one_weight(optimizer):
    """A weight whose gradient is what is passed to `apply`."""
    variable = keras.Variable([0.0])
    optimizer.build([variable])
    return lambda gradient: optimizer.apply([ops.array([gradient])], [variable])


def test_a_spike_weighs_the_less_the_larger_it_is():
    optimizer = kgg.AutoClip(keras.optimizers.SGD(1.0))
    apply = one_weight(optimizer)
    weight = optimizer._trainable_variables[0]
    moved = []
    for gradient in (1.0, 1.0, 1.0, 4.0, 8.0, 1e3, 1.0):
        before = float(ops.convert_to_numpy(weight.value)[0])
        apply(gradient)
        moved.append(before - float(ops.convert_to_numpy(weight.value)[0]))
    # The threshold is 4; the square of it over 8 is 2, the median 1.
    assert moved == pytest.approx([1.0, 1.0, 1.0, 4.0, 2.0, 1.0, 1.0])
    assert optimizer.threshold > 1.0


def test_skip_above_leaves_out_what_is_far_too_large():
    optimizer = kgg.AutoClip(keras.optimizers.SGD(1.0), skip_above=10.0)
    apply = one_weight(optimizer)
    for gradient in (1.0, 1.0, 30.0, 50.0, 1.0):
        apply(gradient)
    # The threshold is 4: 30 is clipped to 1, 50 is more than ten times it.
    assert optimizer.skipped_steps == 1
    assert int(optimizer.iterations) == 4
    weight = optimizer._trainable_variables[0]
    assert float(ops.convert_to_numpy(weight.value)[0]) == pytest.approx(-4.0)


def test_skip_above_gives_in_to_what_lasts():
    optimizer = kgg.AutoClip("sgd", skip_above=2.0, warn_after=3)
    apply = one_weight(optimizer)

    def run():
        for gradient in [1.0] * 3 + [1e3] * 60:
            apply(gradient)
        optimizer.finalize_variable_values(optimizer._trainable_variables)

    with pytest.warns(kgg.GradGuardWarning, match="far too large"):
        run()
    assert int(optimizer.iterations) > 15
    assert optimizer.threshold > 1e3


def test_skip_above_needs_a_threshold_of_the_norm():
    with pytest.raises(ValueError, match="goes by the global norm"):
        kgg.AutoClip("sgd", "unitwise", skip_above=5.0)
    with pytest.raises(ValueError, match="`skip_above` must be"):
        kgg.AutoClip("sgd", skip_above=0.5)
    optimizer = kgg.AutoClip("sgd", skip_above=5)
    again = kgg.AutoClip.from_config(optimizer.get_config())
    assert again.skip_above == 5
