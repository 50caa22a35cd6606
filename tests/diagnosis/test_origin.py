"""Where NaN came from, told on a real run of each kind."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg


def numbers(rows=64):
    x = np.random.default_rng(0).normal(size=(rows, 4)).astype("float32")
    return x, x[:, :1] + 0.5 * x[:, 1:2]


def watched(model, x, y, loss):
    keras.utils.set_random_seed(0)
    model.compile("adam", loss)
    monitor = kgg.GradientMonitor(verbose=0)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[monitor])
    return monitor.report()


def dense(*stack):
    return keras.Sequential([keras.Input((4,)), *stack])


def test_a_loss_function_that_is_not_finite_is_not_blamed_on_the_data():
    def underflows(t, p):
        gap = 1e4 * ops.square(t - p)
        return -ops.log(ops.exp(-gap) + ops.exp(-2 * gap))

    model = dense(layers.Dense(8, "tanh"), layers.Dense(1))
    model.compile("adam", underflows)
    before = kgg.check(model, *numbers()).ranked[0]
    assert before.evidence["origin"] == "loss"
    assert "The outputs are finite. The loss function" in before.message
    assert any("logsumexp" in remedy.code for remedy in before.remedies)
    report = watched(model, *numbers(), underflows)
    finding = report.ranked[0]
    assert finding.rule == "nonfinite_gradient"
    assert finding.evidence["origin"] == "loss"
    assert "the outputs are finite, the loss is" in finding.message
    assert any("logsumexp" in remedy.code for remedy in finding.remedies)
    assert all("data" not in remedy.title for remedy in finding.remedies)


def test_a_slope_that_is_not_finite_where_the_loss_is():
    def rooted(t, p):
        gap = ops.sum(ops.square(t - p), axis=-1)
        return ops.sqrt(ops.where(t[:, 0] > 0, gap, 0 * gap))

    model = dense(layers.Dense(8, "tanh"), layers.Dense(1))
    model.compile("adam", rooted)
    before = kgg.check(model, *numbers()).ranked[0]
    assert before.evidence["origin"] == "slope"
    assert "its slope is not" in before.message
    report = watched(model, *numbers(), rooted)
    finding = report.ranked[0]
    assert finding.evidence["origin"] == "slope"
    assert "its slope is not" in finding.message


@pytest.mark.parametrize("own", [True, False])
def test_a_step_that_was_not_measured_names_what_is_left(own, tmp_path):
    def underflows(t, p):
        # XLA takes the logarithm of one exponential for what it is.
        gap = ops.square(t - p)
        return -ops.log(ops.exp(-gap) + ops.exp(-2 * gap))

    x, y = numbers(32 * 8)
    # The sixth batch of the first epoch; activations are read at the third.
    y[5 * 32] = 1e3 if own else np.nan
    model = dense(layers.Dense(8, "tanh"), layers.Dense(1))
    keras.utils.set_random_seed(0)
    model.compile("adam", underflows if own else "mse")
    monitor = kgg.GradientMonitor(verbose=0)
    model.fit(x, y, shuffle=False, verbose=0, callbacks=[monitor])
    finding = monitor.report().ranked[0]
    assert finding.first_step == 5
    assert finding.evidence["origin"] == "batch"
    assert "in order at step" in finding.message
    titles = [remedy.title for remedy in finding.remedies]
    data = "Look for NaN and infinity in the data"
    assert data in titles
    assert (titles[0] == data) is not own
    capsule = "Run it again with a capsule, which names the batch"
    code = finding.remedies[titles.index(capsule)].code
    assert "python -m keras_gradguard replay runs/capsule" in code
    if not own:
        # Where one was kept, it is told of in the place of that.
        model = dense(layers.Dense(8, "tanh"), layers.Dense(1))
        model.compile("adam", "mse")
        monitor = kgg.GradientMonitor(verbose=0, capsule=tmp_path)
        model.fit(x, y, shuffle=False, verbose=0, callbacks=[monitor])
        finding = monitor.report().ranked[0]
        assert capsule not in [remedy.title for remedy in finding.remedies]


def test_data_that_are_not_finite_are_told_as_such():
    x, y = numbers()
    y[5] = np.nan
    model = dense(layers.Dense(8, "tanh"), layers.Dense(1))
    finding = watched(model, x, y, "mse").ranked[0]
    assert finding.evidence["origin"] in ("data", "weights")
    if finding.first_step == 0:
        assert "the targets are not finite" in finding.message
    if finding.evidence["origin"] == "data":
        names = {"x": x, "y": y}
        exec(finding.remedies[0].code, names)
        assert np.isfinite(names["y"]).all()
        assert len(names["x"]) == len(names["y"]) == len(y) - 1


def test_an_index_without_a_row_is_told_with_the_table():
    random = np.random.default_rng(0)
    words = random.integers(0, 20, (128, 6))
    y = (words == 3).any(1).astype("float32")
    words[5::40, 0] = 20

    def model():
        return keras.Sequential(
            [
                keras.Input((6,), dtype="int32"),
                layers.Embedding(20, 8, name="table"),
                layers.Flatten(),
                layers.Dense(1, "sigmoid"),
            ]
        )

    first = model()
    first.compile("adam", "binary_crossentropy")
    told = [kgg.check(first, words, y).ranked[0]]
    # The others raise an error while they train.
    if keras.backend.backend() == "jax":
        lived = watched(model(), words, y, "binary_crossentropy")
        told.append(lived.ranked[0])
    for finding in told:
        assert finding.rule == "nonfinite_gradient"
        assert "looks up the index 20" in finding.message
        assert "rows 0 to 19" in finding.message
        assert finding.layers[0].endswith("table")
    words[words == 20] = 0
    report = watched(model(), words, y, "binary_crossentropy")
    assert report.findings == []
