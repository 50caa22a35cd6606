"""Gradients through time are those of a NumPy twin, and change nothing."""

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard import GradGuardWarning
from keras_gradguard.recording.step.time_gradients import TimeTap

L = keras.layers
ROWS, STEPS, FEATURES, UNITS = 4, 6, 2, 3
TINY = 1e-30


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def simple(x, states, kernel, recurrent, bias):
    h = np.tanh(x @ kernel + states[0] @ recurrent + bias)
    return [h]


def lstm(x, states, kernel, recurrent, bias):
    z = x @ kernel + states[0] @ recurrent + bias
    i, f, c, o = np.split(z, 4, axis=-1)
    cell = sigmoid(f) * states[1] + sigmoid(i) * np.tanh(c)
    return [sigmoid(o) * np.tanh(cell), cell]


def gru(x, states, kernel, recurrent, bias):
    h = states[0]
    zx, rx, hx = np.split(x @ kernel + bias[0], 3, axis=-1)
    zh, rh, hh = np.split(h @ recurrent + bias[1], 3, axis=-1)
    z = sigmoid(zx + zh)
    new = np.tanh(hx + sigmoid(rx + rh) * hh)
    return [z * h + (1 - z) * new]


TWINS = {"SimpleRNN": (simple, 1), "LSTM": (lstm, 2), "GRU": (gru, 1)}


def twin(kind, weights, x, y, every, live):
    """Norms of the gradients, by derivatives in the complex plane."""
    step, count = TWINS[kind]
    *cell, kernel, bias = [w.astype("float64") for w in weights]

    def loss(taps):
        states = [np.zeros((len(x), UNITS)) for _ in range(count)]
        outputs = []
        for t in range(x.shape[1]):
            new = step(x[:, t], states, *cell)
            new = [s + taps[:, t, k] for k, s in enumerate(new)]
            keep = live[:, t, None]
            states = [
                np.where(keep, n, s) for n, s in zip(new, states, strict=True)
            ]
            outputs.append(states[0])
        seen = np.stack(outputs, axis=1) if every else states[0]
        return np.mean((seen @ kernel + bias - y) ** 2)

    shape = (len(x), x.shape[1], count, UNITS)
    gradient = np.zeros(shape)
    for at in np.ndindex(shape):
        taps = np.zeros(shape, complex)
        taps[at] = TINY * 1j
        gradient[at] = loss(taps).imag / TINY
    return np.sqrt((gradient**2).sum(axis=(0, 2, 3)))


def data(steps=STEPS, every=False):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, steps, FEATURES)).astype("float32")
    y = rng.normal(size=(ROWS, *[steps] * every, 1)).astype("float32")
    return x, y


def watched(model, x, y, **arguments):
    model.compile("sgd", "mse")
    monitor = kgg.GradientMonitor(verbose=0, through_time=True, **arguments)
    model.fit(x, y, batch_size=ROWS, verbose=0, callbacks=[monitor])
    return monitor


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        ("SimpleRNN", "last"),
        ("LSTM", "masked"),
        ("LSTM", "every"),
        ("GRU", "last"),
    ],
)
def test_it_is_the_gradient_of_the_state(kind, ends):
    keras.utils.set_random_seed(1)
    every = ends == "every"
    x, y = data(every=every)
    live = np.ones((ROWS, STEPS), bool)
    if ends == "masked":
        # One sample is shorter, and none has a last step.
        live[0, 3:] = live[:, -1] = False
        x[~live] = 9.0
    # The penalty reads a weight, but no state.
    layer = getattr(L, kind)(
        UNITS,
        return_sequences=every,
        kernel_regularizer="l2",
        name="over_time",
    )
    model = keras.Sequential(
        [keras.Input((None, FEATURES)), L.Masking(9.0), layer, L.Dense(1)]
    )
    weights = model.get_weights()
    trace = watched(model, x, y).trace
    (name,) = trace.recurrent_layers.tolist()
    assert name.endswith("over_time")
    steps, times, norms = trace.time_gradients(name)
    assert steps.tolist() == [0]
    assert times.tolist() == [list(range(STEPS))]
    expected = twin(kind, weights, x.astype("float64"), y, every, live)
    known = live.any(axis=0)
    np.testing.assert_allclose(norms[0, known], expected[known], rtol=1e-5)
    assert np.isnan(norms[0, ~known]).all()


def test_a_gradient_that_has_all_but_vanished_has_a_norm():
    keras.utils.set_random_seed(1)
    small = keras.initializers.RandomNormal(stddev=0.2, seed=1)
    steps = 80
    x, y = data(steps)
    model = keras.Sequential(
        [
            keras.Input((steps, FEATURES)),
            L.SimpleRNN(UNITS, recurrent_initializer=small),
            L.Dense(1),
        ]
    )
    weights = model.get_weights()
    trace = watched(model, x, y).trace
    _, times, norms = trace.time_gradients(trace.recurrent_layers[0])
    live = np.ones((ROWS, steps), bool)
    expected = twin("SimpleRNN", weights, x.astype("float64"), y, False, live)
    assert times[0, 0] == 0
    assert times[0, -1] == steps - 1
    assert len(times[0]) == 64
    kept = expected[times[0]]
    assert kept[0] < 1e-20
    # Near the least that float32 holds; squares of it were 0 long before.
    known = kept > 1e-34
    np.testing.assert_allclose(norms[0, known], kept[known], rtol=1e-5)
    assert (norms[0, ~known] < 2e-34).all()


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        # Small cells: what each kind of cell gives is compared above.
        cells = [L.SimpleRNNCell(2, name="one"), L.GRUCell(3, name="two")]
        self.stack = L.RNN(cells, return_sequences=True, name="stack")
        self.both = L.Bidirectional(L.SimpleRNN(2, dropout=0.3), name="both")
        self.last = L.Dense(1)
        self.never = L.Dense(1)  # called, and so never built

    def call(self, x):
        return self.last(self.both(self.stack(x)))

    def train_step(self, *arguments):
        return super().train_step(*arguments)


@pytest.mark.optimized
def test_watching_it_changes_nothing():
    def fit(*callbacks):
        keras.utils.set_random_seed(1)
        model = Subclassed()
        model.compile("sgd", "mse")
        x, y = data()
        history = model.fit(
            x, y, 2, epochs=2, verbose=0, callbacks=list(callbacks)
        )
        return [*model.get_weights(), history.history["loss"]]

    monitor = kgg.GradientMonitor(verbose=0, through_time=True)
    for ours, theirs in zip(fit(monitor), fit(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    trace = monitor.trace
    names = [name.split("/", 1)[1] for name in trace.recurrent_layers.tolist()]
    assert names[:2] == ["stack/one", "stack/two"]
    assert "forward" in names[2]
    assert "backward" in names[3]
    for name in trace.recurrent_layers.tolist():
        steps, _, norms = trace.time_gradients(name)
        # TensorFlow builds the layers in the first.
        assert steps[-1] == 2
        assert (norms > 0).all()
        # They go through time in their own order: what is last has most.
        assert "both" not in name or (norms[:, -1] > norms[:, 0]).all()


def test_it_fails_alone_and_says_so_once(monkeypatch):
    def broken(*arguments, **more):
        raise ArithmeticError("broken on purpose")

    monkeypatch.setattr(TimeTap, "gather", broken)
    model = keras.Sequential(
        [keras.Input((STEPS, FEATURES)), L.GRU(2), L.Dense(1)]
    )
    with pytest.warns(GradGuardWarning, match="gradients through time") as told:
        monitor = watched(model, *data())
    assert len([w for w in told if w.category is GradGuardWarning]) == 1
    assert len(monitor.trace.steps) == 1
    assert len(monitor.trace.activation_steps) == 1
    assert not len(monitor.trace.recurrent_layers)


def test_some_layers_are_looked_at():
    model = keras.Sequential(
        [
            keras.Input((STEPS, FEATURES)),
            L.GRU(2, return_sequences=True, name="first"),
            L.GRU(2, name="second"),
            L.Dense(1),
        ]
    )
    trace = watched(model, *data(), layers=["!first"]).trace
    assert [name[-6:] for name in trace.recurrent_layers] == ["second"]


class OwnLoop(L.Layer):
    """Calls a cell by a loop of its own."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.cell = L.GRUCell(UNITS, name="cell")

    def call(self, x):
        state = keras.ops.zeros_like(x[:, 0, :1]) + keras.ops.zeros((UNITS,))
        for at in range(STEPS):
            _, (state,) = self.cell(x[:, at], [state])
        return state


@pytest.mark.once
def test_what_is_left_out_is_said():
    inputs = keras.Input((STEPS, FEATURES))
    both = L.Bidirectional(L.LSTM(2), name="both")(inputs)
    frames = L.Reshape((2, STEPS // 2, FEATURES))(inputs)
    inner = L.TimeDistributed(L.GRU(2, name="inner"), name="frames")(frames)
    own = OwnLoop(name="own")(inputs)
    joined = L.Concatenate()([both, L.Flatten()(inner), own])
    model = keras.Model(inputs, L.Dense(1)(joined))
    monitor = watched(model, *data())
    assert len(monitor.trace.recurrent_layers) == 2
    for report in (monitor.report(), kgg.check(model, *data())):
        (note,) = [n for n in report.notes if n.startswith("Through time th")]
        assert "inner (inside of another loop over time)" in note
        assert "cell (a cell that no `RNN` layer runs)" in note
        assert "both" not in note
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), L.GRU(2)])
    model.add(L.Dense(1))
    notes = watched(model, *data()).report().notes
    assert not [note for note in notes if note.startswith("Through time th")]
