import copy
import pickle
import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_gradguard as kgg
from keras_gradguard.exceptions import GradGuardWarning


def numbers(variables):
    return [ops.convert_to_numpy(v).copy() for v in variables]


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


def make_model(optimizer):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer, loss="mse")
    return model


def fit(model, epochs=1):
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    x[9] = np.nan
    # TensorFlow would trace a step twice that makes the variables of Adam.
    model.optimizer.build(model.trainable_variables)
    model.fit(
        x, x[:, :1], batch_size=8, epochs=epochs, shuffle=False, verbose=0
    )


@pytest.mark.parametrize("clipper", ["percentile", "zscore"])
def test_resumed_run_equals_the_uninterrupted_one(clipper, tmp_path):
    through = make_model(kgg.AutoClip(keras.optimizers.Adam(0.01), clipper))
    fit(through, epochs=2)
    first = make_model(kgg.AutoClip(keras.optimizers.Adam(0.01), clipper))
    fit(first)
    first.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        second = keras.models.load_model(tmp_path / "model.keras")
    assert_same(
        numbers(first.optimizer.variables), numbers(second.optimizer.variables)
    )
    fit(second)
    assert_same(through.get_weights(), second.get_weights())
    assert_same(
        numbers(through.optimizer.variables),
        numbers(second.optimizer.variables),
    )
    assert second.optimizer.skipped_steps == 2
    assert second.optimizer.threshold == pytest.approx(
        through.optimizer.threshold
    )


def test_plain_checkpoint_loads_with_the_inner_state(tmp_path):
    plain = make_model(keras.optimizers.Adam(0.01))
    x = np.ones((16, 4), "float32")
    plain.fit(x, x[:, :1], batch_size=8, verbose=0)
    plain.save_weights(tmp_path / "plain.weights.h5")
    wrapped = make_model(kgg.AutoClip(keras.optimizers.Adam(0.01)))
    wrapped.optimizer.build(wrapped.trainable_variables)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        wrapped.load_weights(tmp_path / "plain.weights.h5")
    assert int(wrapped.optimizer.iterations) == 2
    assert_same(
        numbers(plain.optimizer.variables),
        numbers(wrapped.optimizer.inner_optimizer.variables),
    )
    # The next load is a usual one again.
    wrapped.save_weights(tmp_path / "wrapped.weights.h5")
    wrapped.load_weights(tmp_path / "wrapped.weights.h5")


def test_an_untrained_model_loads_with_the_warnings_of_its_optimizer(tmp_path):
    def told(optimizer):
        make_model(optimizer).save(tmp_path / "model.keras")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            model = keras.models.load_model(tmp_path / "model.keras")
        fit(model)
        return [w for w in caught if issubclass(w.category, UserWarning)]

    plain = told(keras.optimizers.Adam(0.01))
    wrapped = told(kgg.AutoClip(keras.optimizers.Adam(0.01)))
    assert len(wrapped) == len(plain)


def test_a_load_that_keras_did_not_go_on_with_spoils_no_other(tmp_path):
    model = make_model(kgg.AutoClip(keras.optimizers.Adam(0.01)))
    fit(model)
    model.save_weights(tmp_path / "w.weights.h5")
    other = make_model(kgg.AutoClip(keras.optimizers.Adam(0.01)))
    other.optimizer.build(other.trainable_variables)
    for state in ({"0": np.int32(3)}, {}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            other.optimizer.load_own_variables(state)
    other.load_weights(tmp_path / "w.weights.h5")
    assert_same(
        numbers(model.optimizer.variables), numbers(other.optimizer.variables)
    )


def test_a_trained_optimizer_keeps_its_state_when_wrapped():
    model = make_model(keras.optimizers.Adam(0.01))
    x = np.ones((16, 4), "float32")
    model.fit(x, x[:, :1], batch_size=8, verbose=0)
    model.compile(kgg.AutoClip(model.optimizer), loss="mse")
    model.fit(x, x[:, :1], batch_size=8, verbose=0)
    assert int(model.optimizer.iterations) == 4


def test_another_window_keeps_the_newest_norms(tmp_path):
    model = make_model(kgg.AutoClip("sgd", window=6))
    fit(model)
    model.save_weights(tmp_path / "w.weights.h5")
    norms = model.optimizer._clip_step.read()[1]["history"]
    for window in (3, 9):
        other = make_model(kgg.AutoClip("sgd", window=window))
        other.optimizer.build(other.trainable_variables)
        other.load_weights(tmp_path / "w.weights.h5")
        kept = other.optimizer._clip_step.read()[1]["history"]
        count = min(window, 6)
        np.testing.assert_array_equal(kept[:count], norms[:count])
        assert not kept[count:].any()


def test_another_clipper_starts_anew_and_says_so(tmp_path):
    model = make_model(kgg.AutoClip("sgd"))
    fit(model)
    model.save_weights(tmp_path / "w.weights.h5")
    other = make_model(kgg.AutoClip("sgd", "zscore"))
    other.optimizer.build(other.trainable_variables)
    with pytest.warns(
        GradGuardWarning, match="statistics of ZScore.*start anew"
    ):
        other.load_weights(tmp_path / "w.weights.h5")
    assert int(other.optimizer.iterations) == 7


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: kgg.AutoClip("adam", percentile=25, window=9, name="mine"),
        lambda: kgg.AutoClip("sgd", "zscore", "zero", warn_after=3),
        lambda: kgg.AutoClip(
            keras.optimizers.SGD(
                keras.optimizers.schedules.CosineDecay(0.1, 10), momentum=0.5
            ),
            "unitwise",
            unit_axes={"a/kernel": (0, 1)},
            exclude=["b/"],
        ),
        lambda: kgg.AutoClip("adam", "norm", threshold=2.0),
        lambda: kgg.AutoClip("adam", "value", threshold=2.0),
    ],
)
def test_config_round_trip(optimizer):
    optimizer = optimizer()
    config = optimizer.get_config()
    again = kgg.AutoClip.from_config(config)
    assert again.get_config() == optimizer.get_config()
    serialized = keras.optimizers.serialize(optimizer)
    revived = keras.optimizers.deserialize(serialized)
    assert revived.get_config() == config
    assert type(revived.inner_optimizer) is type(optimizer.inner_optimizer)


def test_copies_clip_for_themselves():
    optimizer = kgg.AutoClip("sgd", "norm", threshold=2.0)
    for copied in (
        copy.deepcopy(optimizer),
        pickle.loads(pickle.dumps(optimizer)),
    ):
        assert copied.clipper.get_config() == {"threshold": 2.0}
    copied = copy.deepcopy(optimizer)
    variable = keras.Variable([0.0])
    copied.apply([ops.convert_to_tensor([5.0])], [variable])
    assert copied.last_norm == 5.0
    assert optimizer.last_norm == 0.0


def test_set_weights_restores_everything():
    model = make_model(kgg.AutoClip("adam"))
    fit(model)
    saved = numbers(model.optimizer.variables)
    other = make_model(kgg.AutoClip("adam"))
    other.optimizer.build(other.trainable_variables)
    other.optimizer.set_weights(saved)
    assert_same(saved, numbers(other.optimizer.variables))
    with pytest.raises(ValueError, match="`weights` must be a list of"):
        other.optimizer.set_weights(saved[:-1])
    with pytest.raises(ValueError, match="must be called on a built"):
        kgg.AutoClip("sgd").set_weights(saved)
