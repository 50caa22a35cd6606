"""Fits that a backend ends with an error: the monitor says why."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg

RNG = np.random.default_rng(0)
X = RNG.normal(size=(320, 6)).astype("float32")
CLASSES = (X[:, 0] > 0).astype("int32") + (X[:, 1] > 0)


def built(last, loss):
    keras.utils.set_random_seed(1)
    last = layers.Dense(*last, name="out")
    stack = [keras.Input((6,)), layers.Dense(16, "relu"), last]
    model = keras.Sequential(stack)
    model.compile(keras.optimizers.Adam(0.01), loss)
    return model


def judged(last, y, loss):
    monitor = kgg.GradientMonitor(verbose=0)
    error = None
    try:
        built(last, loss).fit(X, y, verbose=0, callbacks=[monitor])
    except Exception as left:
        error = left
    return monitor.report(), error


def pasted(report, last, y, loss):
    # Anew: on TensorFlow the optimizer of a fit that ended so is of no use,
    # watched or not.
    names = {"model": built(last, loss), "x": X, "y": y}
    exec(report.ranked[0].remedies[0].code, names)
    model = names["model"]
    model.fit(X, names["y"], epochs=15, verbose=0)
    return model, names["y"]


def wrong_class(y_true, y_pred):
    answer = ops.cast(ops.argmax(y_pred, -1), "int32")
    wanted = ops.cast(ops.reshape(y_true, (-1,)), "int32")
    return ops.cast(ops.not_equal(answer, wanted), "float32")


def stopped(y_true, y_pred):
    return ops.mean(ops.square(y_true - ops.stop_gradient(y_pred)), -1)


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="it trains on, at zero"
)
@pytest.mark.parametrize("loss", [wrong_class, stopped])
def test_a_loss_without_slope_is_told_where_the_backend_stops(loss):
    y = CLASSES if loss is wrong_class else X[:, :3]
    last = (3, "softmax" if loss is wrong_class else None)
    report, error = judged(last, y, loss)
    assert error is not None
    assert report.healthy is False
    (finding,) = report.ranked
    assert finding.evidence["kind"] == "no_dependence"
    assert "first step" in finding.message
    model, _ = pasted(report, last, y, loss)
    guess = model.predict(X, verbose=0)
    if loss is wrong_class:
        assert (guess.argmax(1) == CLASSES).mean() > 0.8
    else:
        assert np.square(guess - y).mean() < 0.5 * y.var()


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="the others train on"
)
def test_targets_that_torch_refuses_are_told():
    last = (1, "sigmoid")
    y = (3 * X[:, :1] + 10).astype("float32")
    report, error = judged(last, y, "binary_crossentropy")
    assert error is not None
    assert report.healthy is False
    (finding,) = report.ranked
    assert finding.evidence["kind"] == "targets_outside_probabilities"
    model, y = pasted(report, last, y, "binary_crossentropy")
    guess = model.predict(X, verbose=0)
    assert np.corrcoef(guess[:, 0], y[:, 0])[0, 1] > 0.8


@pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="JAX trains on, with NaN; TensorFlow does not say it at once",
)
def test_a_label_beyond_the_units_is_told_and_the_advice_makes_it_learn():
    last, loss = (3, "softmax"), "sparse_categorical_crossentropy"
    report, error = judged(last, CLASSES + 1, loss)
    assert error is not None
    (finding,) = report.ranked
    assert finding.evidence["kind"] == "too_few_units"
    assert "label 3: it has 3 units" in finding.message
    for remedy in finding.remedies:
        names = {"model": built(last, loss), "x": X, "y": CLASSES + 1}
        exec(remedy.code, names)
        names["model"].fit(X, names["y"], epochs=15, verbose=0)
        guess = names["model"].predict(X, verbose=0).argmax(1)
        assert (guess == names["y"]).mean() > 0.8


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="it gives NaN or zeros"
)
def test_an_index_beyond_the_table_is_told_and_the_advice_runs():
    def looks_up():
        keras.utils.set_random_seed(1)
        table = layers.Embedding(20, 4, name="table")
        stack = [keras.Input((3,)), table, layers.Flatten(), layers.Dense(1)]
        model = keras.Sequential(stack)
        model.compile("adam", "mse")
        return model

    x = RNG.integers(0, 31, (320, 3))
    monitor = kgg.GradientMonitor(verbose=0)
    with pytest.raises(IndexError):
        looks_up().fit(x, X[:, 0], verbose=0, callbacks=[monitor])
    (finding,) = monitor.report().ranked
    assert finding.evidence["kind"] == "index"
    assert "table (rows 0 to 19)" in finding.message
    for remedy in finding.remedies:
        names = {"model": looks_up(), "x": x, "y": X[:, 0]}
        exec(remedy.code, names)
        history = names["model"].fit(names["x"], names["y"], verbose=0)
        assert np.isfinite(history.history["loss"]).all()


def test_another_error_is_told_as_it_is():
    last = (1,)
    report, error = judged(last, np.array(["a"] * 320), "mse")
    assert error is not None
    assert report.ranked == []
    assert report.healthy is None


# Where torch refuses a loss in the midst of a run, and TensorFlow two of them.
LATER = ["label", "share", "gap", "index"]


def ends_later(what):
    """Return a report of a fit whose fifth batch has a fault, or not."""
    keras.utils.set_random_seed(1)
    x, y, loss = X.copy(), (X[:, :1] > 0).astype("float32"), "binary"
    stack = [keras.Input((6,)), layers.Dense(8, "relu")]
    last = layers.Dense(1, "sigmoid", name="out")
    if what == "label":
        y, loss, last = (
            CLASSES.copy(),
            "sparse_categorical",
            layers.Dense(3, "softmax", name="out"),
        )
        y[140] = 3
    elif what == "share":
        y[140] = 1.5
    elif what == "gap":
        x[140, 2] = np.nan
    elif what == "index":
        x = RNG.integers(0, 20, (320, 6))
        x[140, 0] = 23
        table = layers.Embedding(20, 4, name="table")
        stack = [keras.Input((6,)), table, layers.Flatten()]
    model = keras.Sequential([*stack, last])
    model.compile("adam", f"{loss}_crossentropy")
    monitor = kgg.GradientMonitor(verbose=0)
    error = None
    try:
        model.fit(x, y, shuffle=False, verbose=0, callbacks=[monitor])
    except Exception as left:
        error = left
    return monitor.report(), error


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="it trains on, with NaN"
)
@pytest.mark.parametrize("what", LATER)
def test_what_a_loss_refuses_in_the_midst_of_a_run_is_told(what):
    if keras.backend.backend() == "tensorflow" and what in ("share", "gap"):
        pytest.skip("it trains on")
    report, error = ends_later(what)
    assert error is not None
    assert len(report.trace.steps) == 4
    assert report.healthy is False
    (finding,) = report.ranked
    rule, kind, words = {
        "label": ("output_mismatch", "too_few_units", "label 3"),
        "share": ("output_mismatch", "targets_outside_probabilities", "some"),
        "gap": ("nonfinite_gradient", "refused", "outputs were NaN"),
        "index": ("nonfinite_gradient", "index", "rows 0 to 19"),
    }[what]
    assert (finding.rule, finding.evidence["kind"]) == (rule, kind)
    assert words in finding.message
    assert "the run after step 3" in finding.message


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="it trains on, with NaN"
)
def test_what_ended_a_run_is_kept_with_its_trace(tmp_path):
    report, _ = ends_later("label")
    report.trace.save(tmp_path / "run.npz")
    again = kgg.diagnose(kgg.Trace.load(tmp_path / "run.npz"))
    assert [f.message for f in again.ranked] == [
        f.message for f in report.ranked
    ]


def test_a_run_that_nothing_ends_keeps_no_reason():
    report, error = ends_later("nothing")
    assert error is None
    assert "ended_by" not in report.trace.meta
