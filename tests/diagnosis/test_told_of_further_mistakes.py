"""Mistakes that an eleventh set of programs showed, and neighbours."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg
from tests.diagnosis.test_causes_of_reports import fitted
from tests.diagnosis.test_told_of_first_mistakes import columns
from tests.diagnosis.test_told_of_first_mistakes import first
from tests.diagnosis.test_told_of_first_mistakes import ready

# Rules are judged, on runs that differ by their draws from backend to backend.
pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


class Clip(layers.Layer):
    """Keeps answers between two limits."""

    def __init__(self, low, high):
        super().__init__()
        self.low, self.high = low, high

    def call(self, x):
        return ops.clip(x, self.low, self.high)


# No gradient at all, beside targets that are large


@pytest.mark.parametrize(("low", "high"), [(8, 22), (100, 400)])
@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_a_clip_that_starts_outside_is_told_before_large_targets(
    low, high, loss
):
    x, y = columns()
    y = (low + high) / 2 + (high - low) / 8 * y
    stack = [layers.Dense(16, "relu"), layers.Dense(1), Clip(low, high)]
    report = fitted(ready((10,), *stack, loss=loss), x, y)
    assert first(report) == ("frozen_layer", "no_dependence")
    assert "unscaled_data" not in [f.rule for f in report.ranked]


def test_large_targets_are_told_where_a_gradient_comes():
    x, y = columns()
    model = ready((10,), layers.Dense(16, "relu"), layers.Dense(1))
    report = fitted(model, x, 1000 + 2000 * y, epochs=8)
    assert first(report) == ("unscaled_data", "targets")


# Steps that half precision swallows, or that are next to none


def halves(optimizer, kind="bfloat16", units=16):
    how = {"dtype": kind}
    stack = [
        keras.Input((10,), dtype=kind),
        layers.Dense(units, "relu", **how),
        layers.Dense(units, "relu", **how),
        layers.Dense(1, **how),
    ]
    model = keras.Sequential(stack)
    model.compile(optimizer, "mse")
    return model


@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [
        (keras.optimizers.Adam, 1e-3),
        (keras.optimizers.AdamW, 1e-2),
        (keras.optimizers.Adam, 1e-4),
    ],
)
def test_steps_that_are_lost_to_rounding_are_told_as_that(optimizer, rate):
    x, y = columns()
    report = fitted(halves(optimizer(rate)), x, y, epochs=12)
    told = [f for f in report.ranked if f.evidence.get("kind") == "rounded"]
    assert first(report) == ("frozen_layer", "rounded")
    assert "bfloat16" in told[0].message
    assert "mixed_bfloat16" in told[0].remedies[0].code


@pytest.mark.parametrize(
    ("optimizer", "lost"),
    [
        (keras.optimizers.Adam(0.01), True),
        (keras.optimizers.AdamW(0.01), True),
        (keras.optimizers.Adam(0.01, beta_2=0.95), False),
        (keras.optimizers.SGD(0.01), False),
    ],
)
def test_check_tells_of_adam_that_takes_no_step(optimizer, lost):
    x, y = columns()
    model = halves(optimizer)
    told = kgg.check(model, x, y)
    kinds = [(f.rule, f.evidence.get("kind")) for f in told.findings]
    assert kinds == [("frozen_layer", "rounded")] * lost
    before = np.array(model.get_weights()[0], "float32")
    model.fit(x, y, epochs=1, verbose=0)
    after = np.array(model.get_weights()[0], "float32")
    assert np.array_equal(before, after) is lost


def test_a_rate_of_zero_in_half_precision_is_no_rounding():
    x, y = columns()
    report = fitted(halves(keras.optimizers.SGD(0.0)), x, y, epochs=12)
    assert all(f.evidence.get("kind") != "rounded" for f in report.ranked)
    assert report.healthy is False


@pytest.mark.parametrize(
    "optimizer",
    [keras.optimizers.Adam, keras.optimizers.AdamW, keras.optimizers.RMSprop],
)
def test_a_short_plan_is_told_of_steps_that_are_next_to_none(optimizer):
    x, y = columns()
    stack = [layers.Dense(16, "relu"), layers.Dense(1)]
    model = ready((10,), *stack, optimizer=optimizer(1e-7))
    report = fitted(model, x, y, epochs=8)
    assert first(report) == ("update_ratio", "reach")


@pytest.mark.parametrize("rate", [1e-5, 3e-5])
def test_a_short_plan_of_fine_tuning_is_left_alone(rate):
    x, y = columns()
    stack = [layers.Dense(16, "relu"), layers.Dense(1)]
    model = ready((10,), *stack, optimizer=keras.optimizers.Adam(0.01))
    model.fit(x, y, epochs=30, verbose=0)
    model.optimizer.learning_rate = rate
    assert fitted(model, x, y, epochs=8).findings == []


# Weights that a constraint makes large


def held(activation, least, most, units=16, depth=2):
    how = {"kernel_constraint": keras.constraints.MinMaxNorm(least, most)}
    stack = [layers.Dense(units, activation, **how) for _ in range(depth)]
    return ready((10,), *stack, layers.Dense(1))


@pytest.mark.parametrize(
    ("activation", "least"), [("sigmoid", 60), ("tanh", 30), ("softsign", 200)]
)
def test_weights_that_a_constraint_makes_large_are_told(activation, least):
    x, y = columns()
    model = held(activation, least, 2 * least)
    checked = kgg.check(model, x, y)
    assert first(checked) == ("update_ratio", "constraint")
    report = fitted(model, x, y, epochs=12)
    assert first(report) == ("update_ratio", "constraint")
    assert report.ranked[0].evidence["grown"] > 5


@pytest.mark.parametrize("least", [0.0, 0.5])
def test_a_norm_that_is_held_near_one_is_left_alone(least):
    x, y = columns()
    model = held("tanh", least, 4.0)
    assert kgg.check(model, x, y).findings == []
    report = fitted(model, x, y, epochs=30)
    assert all(f.evidence.get("kind") != "constraint" for f in report.ranked)


# A frozen body that reads other numbers than those it was trained with


def headed(factor, activation, x, y, wide=16):
    body = keras.Sequential(
        [
            keras.Input((10,)),
            layers.Dense(wide, activation),
            layers.Dense(8, activation),
        ]
    )
    taught = keras.Sequential([body, layers.Dense(1)])
    taught.compile(keras.optimizers.Adam(0.01), "mse")
    taught.fit(x, y, epochs=15, verbose=0)
    body.trainable = False
    model = keras.Sequential([body, layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.005), "mse")
    return fitted(model, factor * x, y, epochs=10)


@pytest.mark.parametrize(
    ("factor", "activation"),
    [(255, "tanh"), (1000, "sigmoid"), (60, "tanh")],
)
def test_a_frozen_body_that_reads_other_numbers_is_told(factor, activation):
    report = headed(factor, activation, *columns())
    assert first(report) == ("unscaled_data", "frozen_ends")
    assert report.ranked[0].layers == ["sequential/dense"]


@pytest.mark.parametrize("factor", [1, 1.5])
def test_a_frozen_body_that_reads_what_it_knows_is_left_alone(factor):
    report = headed(factor, "tanh", *columns())
    assert all(f.rule != "unscaled_data" for f in report.ranked)


# A divergence of numbers that are no shares


def teacher():
    x, y = columns()
    logits = np.concatenate([4 * y, -4 * y, x[:, :1]], axis=1)
    logits = logits - logits.mean(axis=1, keepdims=True)
    shares = np.exp(logits)
    return x, logits, shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("activation", ["softmax", None])
@pytest.mark.parametrize("given", ["logits", "logarithms"])
def test_a_divergence_of_what_comes_before_the_softmax_is_told(
    given, activation
):
    x, logits, shares = teacher()
    y = logits if given == "logits" else np.log(shares)
    stack = layers.Dense(16, "relu"), layers.Dense(3, activation)
    model = ready(x.shape[1:], *stack, loss="kl_divergence")
    titles = {
        "logits": "Put the targets through a softmax",
        "logarithms": "Take the exponential of the targets",
    }
    for report in kgg.check(model, x, y), fitted(model, x, y, epochs=3):
        kind = "output_mismatch", "targets_outside_probabilities"
        assert first(report) == kind
        told = [remedy.title for remedy in report.ranked[0].remedies]
        if activation is None:
            assert told == ["Use the loss mean_squared_error"]
        else:
            assert told[0] == titles[given]
            assert told[1].endswith("Use the loss mean_squared_error")


def test_a_divergence_of_shares_is_healthy():
    x, _, shares = teacher()
    stack = layers.Dense(16, "relu"), layers.Dense(3, "softmax")
    model = ready(x.shape[1:], *stack, loss="kl_divergence")
    assert not kgg.check(model, x, shares).findings
    report = fitted(model, x, shares, epochs=15)
    assert report.healthy, report.verdict


# A loss of one's own that asks for something else


def spread_of_outputs(wanted, given):
    return ops.mean(ops.square(given - ops.mean(given)))


def mean_of_targets(wanted, given):
    return ops.mean(ops.square(ops.mean(wanted) - given))


def likeness(wanted, given):
    wanted, given = wanted - ops.mean(wanted), given - ops.mean(given)
    sizes = ops.sum(ops.square(wanted)) * ops.sum(ops.square(given))
    return 1 + ops.sum(wanted * given) / (ops.sqrt(sizes) + 1e-6)


def difference_turned_round(wanted, given):
    return ops.mean(ops.square(wanted + given))


def of_own(loss, y=None, epochs=25):
    x, numbers = columns()
    numbers = 3 * x[:, :1] - x[:, 1:2] if y is None else y
    stack = layers.Dense(32, "relu"), layers.Dense(1)
    model = ready(x.shape[1:], *stack, loss=loss)
    notes = kgg.check(model, x, numbers).notes
    report = fitted(model, x, numbers, epochs=epochs)
    for remedy in report.ranked[0].remedies[1:] if report.ranked else ():
        exec(remedy.code, {"model": model, "x": x, "y": numbers})
    return report, " ".join(notes)


@pytest.mark.parametrize(
    ("loss", "blind"),
    [
        (spread_of_outputs, True),
        (mean_of_targets, True),
        (likeness, False),
        (difference_turned_round, False),
    ],
)
def test_a_loss_of_ones_own_that_leads_elsewhere_is_told(loss, blind):
    report, notes = of_own(loss)
    assert first(report) == ("output_mismatch", "leads_elsewhere")
    told = report.ranked[0]
    how = "shrink to a constant" if blind else "go against the targets"
    assert how in told.message
    assert loss.__name__ in told.message
    assert ("which target is whose" in notes) is blind
    assert "mean_squared_error" in told.remedies[0].title


def test_losses_of_ones_own_that_read_the_targets_are_healthy():
    def scaled(wanted, given):
        return ops.mean(ops.square(wanted / 100 - given))

    def unlike(wanted, given):
        return 2 - likeness(wanted, given)

    x, _ = columns()
    y = 300 * x[:, :1] - 100 * x[:, 1:2]
    for loss in (scaled, unlike):
        report, notes = of_own(loss, y, epochs=40)
        assert not report.findings, report.verdict
        assert "which target is whose" not in notes


# A state that nothing bounds, between two measurements


@pytest.mark.parametrize(
    "kind", [layers.GRU, layers.LSTM], ids=lambda kind: kind.__name__
)
def test_gates_without_a_bound_are_told_where_the_loss_is_gone(kind):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 40, 3)).astype("float32")
    y = x[:, -5:, :1].sum(axis=1)
    gated = kind(32, "relu", recurrent_activation="relu", name="gated")
    model = ready((40, 3), gated, layers.Dense(1))
    model.optimizer.learning_rate = 0.02
    told = fitted(model, x, y, epochs=10).ranked[0]
    assert told.rule in ("nonfinite_gradient", "exploding_gradient")
    assert "gated" in told.message
    assert "bound" in told.message
    assert "gates" in told.remedies[0].title
    mended = told.remedies[0].apply(model).get_layer("gated")
    assert mended.recurrent_activation is keras.activations.sigmoid
    assert mended.activation is keras.activations.tanh


# Several classes, all but one of which are rare


def spots(count=160):
    """Return pictures with a spot of two kinds in some, and what is where."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.3, (count, 12, 12, 1)).astype("float32")
    y = np.zeros((count, 12, 12), "int64")
    for at in range(0, count, 2):
        row, column, kind = rng.integers(1, 11, 3)
        kind = 1 + kind % 2
        x[at, row, column] += (1.5, -1.5)[kind - 1]
        y[at, row, column] = kind
    return x, y


def of_spots(x, y):
    how = {"padding": "same", "activation": "relu"}
    stack = layers.Conv2D(8, 3, **how), layers.Conv2D(3, 1)
    model = ready(
        x.shape[1:],
        *stack,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        optimizer=keras.optimizers.SGD(0.05),
    )
    return model, x, y


def of_rows(turned=False):
    x, _ = columns(1200)
    y = np.where(x[:, 0] > 2.2, 1 + (x[:, 1] > 0), 0)
    model = ready(x.shape[1:], layers.Dense(16, "relu"), layers.Dense(3))
    model.compile(
        keras.optimizers.SGD(0.005),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model, x, (2 - y if turned else y)


@pytest.mark.parametrize(
    ("program", "common"),
    [
        (lambda: of_spots(*spots()), 0),
        (of_rows, 0),
        (lambda: of_rows(turned=True), 2),
    ],
    ids=["places", "rows", "turned"],
)
def test_classes_that_are_rare_among_several_are_told(program, common):
    model, x, y = program()
    report = fitted(model, x, y, epochs=14, batch_size=16)
    assert first(report) == ("output_mismatch", "rare_class")
    told = report.ranked[0]
    assert f"other than {common}, and the model gives {common}" in told.message
    rare = y != common
    assert told.evidence["share"] >= 0.8 * rare.mean()
    names = {"model": program()[0], "x": x, "y": y}
    exec(told.remedies[0].code, names)
    before, after = (
        (np.argmax(net.predict(x, verbose=0), -1) == y)[rare].mean()
        for net in (model, names["model"])
    )
    assert after > before + 0.1, (before, after)
