"""Starts of recurrent layers, and scales, that runs are told of by cause."""

import functools

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg
from tests.diagnosis import test_causes_of_reports as reports

# A run ends once a finding is confirmed.
fitted = functools.partial(reports.fitted, on_finding="stop")

# Rules are judged, on runs that differ by their draws from backend to backend.
pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


def kinds(report):
    return [(f.rule, f.evidence.get("kind")) for f in report.ranked]


def early(count=400, length=12, at=2):
    """Return series of noise, and whether an early value was above 0."""
    x = np.random.default_rng(2).normal(size=(count, length, 1))
    return x.astype("float32"), (x[:, at] > 0).astype("float32")


def remembers(layer, shape=(12, 1)):
    model = keras.Sequential(
        [keras.Input(shape), layer, layers.Dense(1, "sigmoid")]
    )
    model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy")
    return model


_CLOSED = keras.initializers.Constant(-6.0)
_OPEN = keras.initializers.Constant(6.0)
_GATES = {
    "lstm": lambda: layers.LSTM(
        16, bias_initializer=_CLOSED, unit_forget_bias=False
    ),
    "gru": lambda: layers.GRU(16, bias_initializer=_OPEN),
    "both_ways": lambda: layers.Bidirectional(
        layers.LSTM(8, bias_initializer=_CLOSED)
    ),
}


@pytest.mark.parametrize("which", sorted(_GATES))
def test_gates_held_by_their_biases_are_the_cause(which):
    x, y = early()
    told = fitted(remembers(_GATES[which]()), x, y, epochs=8)
    assert kinds(told)[0] == ("poor_initialization", "gates")
    size = told.ranked[0].evidence["gain"]
    # The square of a forget gate's offset may be left out of the first.
    assert max(size.values()) == pytest.approx(6.0, rel=0.2)
    assert told.ranked[0].evidence["threshold"] == 4.0


def test_the_cure_for_held_gates_runs_and_learns():
    x, y = early()
    model = remembers(_GATES["lstm"]())
    told = fitted(model, x, y, epochs=8)
    scope = {"model": model, "x": x, "y": y, "keras": keras}
    exec(told.ranked[0].remedies[0].code, scope)
    model = scope["model"]
    model.fit(x, y, epochs=25, verbose=0)
    given = model.predict(x, verbose=0) > 0.5
    assert (given == (y > 0.5)).mean() > 0.75


def test_gates_that_start_with_usual_biases_are_not_told():
    x, y = early()
    one = keras.initializers.Constant(1.0)
    for layer in (
        layers.LSTM(16, bias_initializer=one),
        layers.GRU(16, bias_initializer=one),
    ):
        told = fitted(remembers(layer), x, y, epochs=10)
        assert "poor_initialization" not in dict(kinds(told))


def wide(size=8.0):
    drawn = keras.initializers.RandomNormal(stddev=size)
    return {"kernel_initializer": drawn, "recurrent_initializer": drawn}


_WIDE = {
    "lstm": lambda: layers.LSTM(16, **wide()),
    "gru": lambda: layers.GRU(16, **wide()),
    "simple": lambda: layers.SimpleRNN(16, **wide()),
}


@pytest.mark.parametrize("which", sorted(_WIDE))
def test_wide_kernels_of_what_recurs_are_the_cause(which):
    x, y = early(at=4)
    model = remembers(_WIDE[which]())
    told = fitted(model, x, y, epochs=10)
    assert kinds(told)[0] == ("poor_initialization", "wide")
    size = max(told.ranked[0].evidence["gain"].values())
    # Root mean square times the root of what comes in: of 16 units.
    assert size == pytest.approx(8.0 * 4, rel=0.15)
    scope = {"model": model, "keras": keras}
    exec(told.ranked[0].remedies[0].code, scope)
    anew = scope["model"].layers[0].recurrent_initializer
    assert isinstance(anew, keras.initializers.Orthogonal)


def stripes(count=320, size=12):
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, count)
    along = np.arange(size)
    wave = 0.5 + 0.4 * np.sin(1.2 * along + rng.uniform(0, 6, (count, 1)))
    flat = np.repeat(wave[:, None], size, 1)
    x = np.where(y[:, None, None] == 1, flat, flat.swapaxes(1, 2))
    return x[..., None].astype("float32"), y.astype("int32")


def pictures(*front):
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            *front,
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(2, "softmax"),
        ]
    )
    sgd = keras.optimizers.SGD(0.01)
    model.compile(sgd, "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("inside", [True, False])
def test_bright_pixels_that_are_divided_twice_are_told(inside):
    x, y = stripes()
    x = x + 0.4  # of a root mean square of .95, which leaves .0037
    front = [layers.Rescaling(1 / 255)] if inside else []
    model = pictures(*front)
    x = x if inside else x / 255
    told = fitted(model, x, y, epochs=12)
    assert ("unscaled_data", "small") in kinds(told)[:2]
    found = next(f for f in told.ranked if f.rule == "unscaled_data")
    size = np.sqrt(np.square(x[:32].astype("float64")).mean())
    size = size / 255 if inside else size
    assert found.evidence["rms"] == pytest.approx(size, rel=0.05)
    assert found.evidence["threshold"] == pytest.approx(1 / 255)
    checked = kgg.check(pictures(*front), x, y)
    assert ("unscaled_data", "small") in kinds(checked)


def test_pixels_that_are_divided_once_are_not():
    x, y = stripes()
    told = fitted(pictures(), 0.05 + 0.1 * x, y, epochs=3)
    assert "unscaled_data" not in dict(kinds(told))


def first_of_many(layer, length=60, at=0, epochs=10):
    """Return the report of a run that is to tell an early value."""
    x = np.random.default_rng(2).normal(size=(480, length, 1))
    x = x.astype("float32")
    model = keras.Sequential([keras.Input((length, 1)), layer, layers.Dense(1)])
    model.compile(keras.optimizers.Adam(3e-3), "mse")
    return fitted(model, x, x[:, at], epochs=epochs)


@pytest.mark.parametrize("drawn", ["glorot_uniform", "orthogonal"])
def test_a_plain_memory_of_long_sequences_forgets(drawn):
    told = first_of_many(layers.SimpleRNN(16, recurrent_initializer=drawn))
    assert kinds(told)[0] == ("vanishing_gradient", "forgets")
    assert told.ranked[0].evidence["time_steps"] == 60
    assert "slow_convergence" not in dict(kinds(told))
    assert "LSTM" in told.ranked[0].remedies[0].code


def test_a_plain_memory_of_what_came_last_does_not():
    told = first_of_many(layers.SimpleRNN(16), at=59, epochs=8)
    assert told.healthy is not False


def test_short_sequences_are_not_said_to_be_forgotten():
    told = first_of_many(layers.SimpleRNN(16), length=12)
    assert ("vanishing_gradient", "forgets") not in kinds(told)


def normed(momentum, held=True):
    """Return the report of a run whose inputs lie far from 0."""
    rng = np.random.default_rng(5)
    y = rng.integers(0, 3, 480)
    x = 20 + 6 * (np.eye(8)[y] + 0.1 * rng.normal(size=(480, 8)))
    x, y = x.astype("float32"), y.astype("int32")
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(24),
            layers.BatchNormalization(momentum=momentum),
            layers.ReLU(),
            layers.Dense(3, "softmax"),
        ]
    )
    adam = keras.optimizers.Adam(1e-2)
    loss = "sparse_categorical_crossentropy"
    model.compile(adam, loss, metrics=["accuracy"])
    more = {"validation_data": (x[320:], y[320:])} if held else {}
    return fitted(model, x[:320], y[:320], epochs=12, **more)


@pytest.mark.parametrize("one", [1, 1.0])
def test_averages_that_never_move_are_told(one):
    told = normed(one)
    assert kinds(told)[0] == ("frozen_layer", "averages")
    assert told.ranked[0].evidence["kept"] == 1.0
    assert told.ranked[0].evidence["momentum"] == 1.0
    scope = {"model": keras.Sequential([layers.BatchNormalization()])}
    exec(told.ranked[0].remedies[0].code, scope | {"keras": keras})
    assert scope["model"].layers[0].momentum < 0.95


def test_averages_that_never_move_and_no_validation_are_not_called_healthy():
    told = normed(1.0, held=False)
    assert told.healthy is None
    assert any("100 % of their start" in why for why in told.not_judged)


def test_averages_that_follow_are_not_told():
    assert normed(0.8).healthy is True


@pytest.mark.parametrize("act", ["sigmoid", "hard_sigmoid", "tanh"])
def test_a_state_that_fades_as_it_starts_is_the_cause(act):
    x, y = early(length=24)
    small = keras.initializers.RandomNormal(stddev=0.02)
    layer = layers.SimpleRNN(16, act, recurrent_initializer=small)
    model = remembers(layer, (24, 1))
    kernel = keras.ops.convert_to_numpy(layer.cell.recurrent_kernel)
    kernel = np.array(kernel, "float64")
    told = fitted(model, x, y, epochs=16)
    assert kinds(told)[0] == ("vanishing_gradient", "fades")
    known = told.ranked[0].evidence
    largest = np.linalg.svd(kernel)[1].max()
    slope = {"sigmoid": 0.25, "hard_sigmoid": 1 / 6, "tanh": 1.0}[act]
    assert known["left"] == pytest.approx(slope * largest, rel=0.25)
    assert known["ratio"] == pytest.approx(known["left"] ** 23)
    assert "LSTM" in told.ranked[0].remedies[0].code


def test_a_small_state_of_what_came_last_is_not_told():
    x, y = early(length=24, at=23)
    small = keras.initializers.RandomNormal(stddev=0.02)
    layer = layers.SimpleRNN(16, recurrent_initializer=small)
    told = fitted(remembers(layer, (24, 1)), x, y, epochs=8)
    assert told.healthy is not False


@pytest.mark.parametrize("which", ["dropout", "recurrent_dropout"])
def test_what_a_recurrent_layer_drops_itself_is_told(which):
    x, y = early()
    model = remembers(layers.GRU(16, **{which: 0.97}))
    assert ("update_ratio", "dropout") in kinds(kgg.check(model, x, y))
    told = fitted(model, x, y, epochs=20)
    assert kinds(told)[0] == ("update_ratio", "dropout")
    assert told.ranked[0].evidence["rate"] == 0.97
    scope = {"model": model, "keras": keras}
    exec(told.ranked[0].remedies[0].code, scope)
    assert getattr(scope["model"].layers[0], which) <= 0.5


def test_what_a_recurrent_layer_usually_drops_is_not():
    x, y = early()
    layer = layers.GRU(16, dropout=0.2, recurrent_dropout=0.2)
    told = fitted(remembers(layer), x, y, epochs=8)
    assert ("update_ratio", "dropout") not in kinds(told)


def gates(factor):
    """Return a model whose gates are rectified, and what it is to learn."""
    rng = np.random.default_rng(7)
    value, mark = rng.normal(size=(256, 20)), rng.random((256, 20)) < 0.3
    y = ((value * mark).sum(1) > 0).astype("float32")
    x = factor * np.stack([value, mark], -1).astype("float32")
    free = {"activation": "relu", "recurrent_activation": "relu"}
    return remembers(layers.LSTM(16, **free), (20, 2)), x, y


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="only torch refuses outputs"
)
@pytest.mark.parametrize("factor", [4.0, 8.0])
def test_gates_without_a_bound_are_told_where_torch_refuses_outputs(factor):
    model, x, y = gates(factor)
    monitor = kgg.GradientMonitor(verbose=0)
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        model.fit(x, y, epochs=30, verbose=0, callbacks=[monitor])
    told = monitor.report()
    assert told.healthy is False
    assert told.ranked[0].rule in ("nonfinite_gradient", "exploding_gradient")
    assert "lstm" in told.ranked[0].message
    assert "tanh" in told.ranked[0].remedies[0].title


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="only torch refuses outputs"
)
def test_outputs_that_torch_refuses_in_mid_run_are_told():
    x, y = early()
    x[304:] = np.nan
    model = remembers(layers.GRU(4))

    class Feed(keras.utils.PyDataset):
        def __len__(self):
            return 20

        def __getitem__(self, at):
            rows = slice(16 * at, 16 * at + 16)
            return x[rows], y[rows]

    monitor = kgg.GradientMonitor(verbose=0)
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        model.fit(Feed(), verbose=0, shuffle=False, callbacks=[monitor])
    told = monitor.report()
    assert monitor.trace.meta["ended_by"].startswith("RuntimeError: ")
    assert kinds(told)[0] == ("nonfinite_gradient", "refused")
    assert told.ranked[0].evidence["records"] == len(monitor.trace.steps) == 19


def test_a_run_that_a_callback_ends_is_not_blamed():
    x, y = early()

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise ValueError("enough")

    monitor = kgg.GradientMonitor(verbose=0)
    model = remembers(layers.GRU(4))
    with pytest.raises(ValueError, match="enough"):
        model.fit(x, y, epochs=3, verbose=0, callbacks=[Stop(), monitor])
    assert "nonfinite_gradient" not in dict(kinds(monitor.report()))


@pytest.mark.parametrize("cell", [layers.GRU, layers.LSTM])
def test_what_recurs_with_constant_weights_is_told(cell):
    x, y = early()
    same = keras.initializers.Constant(0.1)
    layer = cell(8, kernel_initializer=same, recurrent_initializer=same)
    model = remembers(layer)
    told = fitted(model, x, y, epochs=10)
    assert kinds(told)[0] == ("poor_initialization", "constant")
    # 0.1 times the root of the one number that comes in.
    (gain,) = told.ranked[0].evidence["gain"].values()
    assert gain == pytest.approx(0.1, rel=0.05)
    scope = {"model": model, "keras": keras}
    exec(told.ranked[0].remedies[0].code, scope)
    anew = scope["model"].layers[0].kernel_initializer
    assert isinstance(anew, keras.initializers.GlorotUniform)
