"""A training that is lost goes back to where it was well."""

import copy
import pickle

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard.callbacks.losses_so_far import LossesSoFar

BATCH, BATCHES = 16, 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(BATCH * BATCHES, 6)).astype("float32")
Y = np.tanh(X @ RNG.normal(size=(6, 1))).astype("float32")


def make(rate=0.003, seed=0, optimizer=keras.optimizers.Adam):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(16, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer(rate), "mse")
    return model


def fit(model, y=Y, *callbacks, epochs=1, x=X):
    return model.fit(
        x, y, batch_size=BATCH, epochs=epochs, verbose=0, shuffle=False,
        callbacks=list(callbacks),
    )  # fmt: skip


def with_fault(at, value):
    y = Y.copy()
    y[at * BATCH : (at + 1) * BATCH] = value
    return y


def arrays(model):
    return [np.array(keras.ops.convert_to_numpy(w)) for w in model.weights]


class Keeps(keras.callbacks.Callback):
    """Holds the weights after one batch."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.batch:
            getattr(self.model, "jax_state_sync", lambda: None)()
            self.weights = arrays(self.model)


def test_back_to_the_good_weights():
    # The last batch, so that nothing changes them afterwards.
    model, back = make(), kgg.RollBack(save_freq=10, verbose=0)
    keeps = Keeps(batch=49)
    history = fit(model, with_fault(BATCHES - 1, np.nan), keeps, back)
    (told,) = back.rollbacks
    assert told["reason"] == "the gradient is not finite"
    assert (told["epoch"], told["batch"]) == (0, BATCHES - 1)
    assert (told["to_epoch"], told["to_batch"]) == (0, 49)
    assert told["learning_rates"] == pytest.approx([0.0015])
    assert not told["ended"]
    for one, other in zip(keeps.weights, arrays(model), strict=True):
        np.testing.assert_array_equal(one, other)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.0015)
    assert int(model.optimizer.iterations) == BATCHES
    plain = make()
    fit(plain)
    assert len(model.optimizer.variables) == len(plain.optimizer.variables)
    assert list(history.history) == ["loss"]
    # The moments of Adam were NaN, too.
    fit(model)
    assert all(np.isfinite(array).all() for array in arrays(model))


@pytest.mark.optimized
def test_a_healthy_training_is_the_same():
    plain, model = make(), make()
    one = fit(plain, Y, epochs=2).history
    back = kgg.RollBack(save_freq=10, verbose=0)
    other = fit(model, Y, back, epochs=2).history
    assert back.rollbacks == []
    assert one == other
    for a, b in zip(plain.weights, model.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b)
        )


def test_tries_are_bounded_and_told(capsys):
    model = make()
    back = kgg.RollBack(save_freq=10, max_rollbacks=2)
    y = Y.copy()
    y[20 * BATCH :] = np.nan
    history = fit(model, y, back, epochs=3)
    assert [told["ended"] for told in back.rollbacks] == [False, False, True]
    assert len(history.epoch) == 1
    assert all(np.isfinite(array).all() for array in arrays(model))
    said = " ".join(capsys.readouterr().out.split())
    told = said.split("GradGuard RollBack, ")[1:]
    assert len(told) == 3
    assert "the gradient is not finite. Weights and optimizer" in told[0]
    assert "the learning rate is 0.0015 now (1 of at most 2)" in told[0]
    assert "training ends with them" in told[2]


def test_the_rate_comes_back_where_all_is_well(capsys):
    model, back = make(), kgg.RollBack(save_freq=10)
    fit(model, with_fault(20, np.nan), back)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.003)
    assert "the learning rate is 0.003 again" in capsys.readouterr().out
    # Lost again at once, it stays low.
    y = with_fault(20, np.nan)
    y[33 * BATCH : 34 * BATCH] = np.nan
    model, back = make(), kgg.RollBack(save_freq=20, verbose=0)
    fit(model, y, back)
    assert len(back.rollbacks) == 2
    assert float(model.optimizer.learning_rate) == pytest.approx(0.00075)


SEEDS = 10


# What a bad batch does to SGD are NaN, to Adam averages that remember it.
@pytest.mark.once
@pytest.mark.parametrize(
    ("optimizer", "rate", "bad"),
    [(keras.optimizers.SGD, 0.05, 3e3), (keras.optimizers.Adam, 0.005, 1e3)],
)
def test_it_ends_where_the_run_without_the_fault_ends(optimizer, rate, bad):
    noise = np.random.default_rng(1).normal(size=Y.shape) * 0.3
    clean = (Y + noise).astype("float32")
    y = clean.copy()
    y[40 * BATCH : 41 * BATCH] = bad
    near = lost = 0
    for seed in range(SEEDS):
        expected, plain, saved = (make(rate, seed, optimizer) for _ in range(3))
        back = kgg.RollBack(save_freq=20, verbose=0, max_rollbacks=5)
        x = np.concatenate([X] * 2)
        fit(expected, np.concatenate([clean] * 2), x=x)
        # The bad batch comes once.
        fit(plain, np.concatenate([y, clean]), x=x)
        fit(saved, np.concatenate([y, clean]), back, x=x)
        assert back.rollbacks
        losses = [
            model.evaluate(X, clean, batch_size=240, verbose=0)
            for model in (expected, plain, saved)
        ]
        near += losses[2] <= 1.1 * losses[0]
        lost += not losses[1] <= 1.1 * losses[0]
    assert near >= 8
    assert lost >= 8  # without it


def test_a_finite_spike_is_undone():
    model, back = make(), kgg.RollBack(save_freq=10, verbose=0)
    keeps = Keeps(batch=49)
    fit(model, with_fault(BATCHES - 1, 3e3), keeps, back)
    (told,) = back.rollbacks
    assert told["reason"].startswith("one batch had a gradient of norm")
    assert (told["to_epoch"], told["to_batch"]) == (0, 49)
    for one, other in zip(keeps.weights, arrays(model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_spikes_that_keep_coming_are_the_data_s(capsys):
    y = Y.copy()
    for at in range(20, BATCHES, 8):
        y[at * BATCH : (at + 1) * BATCH] = 3e3
    model, back = make(), kgg.RollBack(save_freq=10, max_rollbacks=1)
    history = fit(model, y, back, epochs=2)
    assert [told["ended"] for told in back.rollbacks] == [False]
    assert len(history.epoch) == 2
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("undone 1 time, and training goes on with it") == 1


@pytest.mark.once
def test_what_is_no_spike():
    random = np.random.default_rng(0)
    usual = random.uniform(0.8, 1.2, 64)
    losses = random.uniform(0.8, 1.2, 64)

    def told(norm, loss):
        so_far = LossesSoFar()
        so_far.add(losses, np.isfinite(losses), usual)
        at = None if loss is None else np.array([loss])
        so_far.add(at, np.array([True]), np.array([norm]))
        return so_far.why_spike()

    assert "of norm 150, usual is 1" in told(150.0, 5.0)
    assert told(150.0, None)  # a model that tells no loss
    assert told(60.0, 5.0) is None  # large, and a rare class may be so
    # A network that leaves a plateau: its gradient grows, and it learns.
    assert told(150.0, 0.9) is None
    few = LossesSoFar()
    few.add(losses[:10], np.isfinite(losses[:10]), usual[:10])
    few.add(np.array([1e6]), np.array([True]), np.array([1e6]))
    assert few.why_spike() is None


@pytest.mark.once
def test_rates_of_a_schedule_cannot_be_lowered():
    schedule = keras.optimizers.schedules.CosineDecay(0.01, 100)
    with pytest.raises(ValueError, match="`factor` must be 1 where a sched"):
        fit(make(schedule), Y, kgg.RollBack())
    back = kgg.RollBack(factor=1, save_freq=10, verbose=0)
    fit(make(schedule), with_fault(40, np.nan), back)
    assert len(back.rollbacks) == 1
    assert back.rollbacks[0]["learning_rates"] == []


@pytest.mark.once
def test_it_goes_along_with_a_monitor_and_is_copied():
    back = kgg.RollBack(save_freq=10, verbose=0)
    monitor = kgg.GradientMonitor(verbose=0)
    fit(make(), with_fault(40, np.nan), monitor, back)
    assert (np.diff(monitor.trace.steps) > 0).all()
    assert monitor.findings[0].rule == "nonfinite_gradient"
    for other in (copy.deepcopy(back), pickle.loads(pickle.dumps(back))):
        assert other.rollbacks == back.rollbacks
        fit(make(), Y, other)
        assert other.rollbacks == []


@pytest.mark.once
def test_accumulated_gradients_are_not_mixed():
    def accumulating(rate):
        return keras.optimizers.Adam(rate, gradient_accumulation_steps=3)

    back = kgg.RollBack(save_freq=10, verbose=0)
    model = make(0.003, 0, accumulating)
    fit(model, with_fault(40, np.nan), back)
    assert (back.rollbacks[0]["to_batch"] + 1) % 3 == 0
    assert all(np.isfinite(array).all() for array in arrays(model))


def test_a_loop_that_calls_it_is_told_that_it_watches_nothing():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    back = kgg.RollBack(verbose=0)
    callbacks = keras.callbacks.CallbackList([back], model=model, epochs=1)
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    for batch in range(3):
        callbacks.on_train_batch_begin(batch)
        callbacks.on_train_batch_end(batch, {"loss": 1.0})
    callbacks.on_epoch_end(0, {"loss": 1.0})
    with pytest.warns(kgg.GradGuardWarning, match="saw 3 batches"):
        callbacks.on_train_end()
    assert back.rollbacks == []
