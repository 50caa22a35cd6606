"""What is plain in the first steps is told in them, and nothing else is."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg
from tests.diagnosis.test_causes_of_a_course import kinds
from tests.diagnosis.test_causes_of_a_course import net
from tests.diagnosis.test_causes_of_a_course import watched
from tests.diagnosis.test_causes_of_a_course import waves

# Of the 240 steps that the fits here have, and when the looks are.
EARLY = 17
_rates = keras.optimizers.schedules


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


def told_at(report, rule):
    (told,) = [f for f in report.ranked if f.rule == rule]
    return told.evidence["window"]["last_step"]


class First(keras.callbacks.Callback):
    """Notes how many batches a monitor needed to find anything."""

    def __init__(self, monitor):
        super().__init__()
        self.monitor, self.batches, self.first = monitor, 0, None

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        if self.first is None and self.monitor.findings:
            self.first = self.batches


@pytest.mark.once
def test_what_shows_at_once_is_said_within_a_twentieth_of_the_plan():
    # Forty batches: no look at 16 records, as of a long run.
    model = net()
    model.compile("adam", lambda t, p: ops.mean(ops.sqrt(-ops.square(t - p))))
    x, y = waves(128)
    monitor = kgg.GradientMonitor(verbose=0)
    first = First(monitor)
    model.fit(x, y, epochs=10, verbose=0, callbacks=[monitor, first])
    assert first.batches == 40
    assert first.first == 2, "a twentieth"
    assert [f.rule for f in monitor.findings] == ["nonfinite_gradient"]


@pytest.mark.once
def test_a_clip_that_leaves_next_to_nothing_is_told_early():
    sgd = keras.optimizers.SGD(0.05, clipnorm=1e-6)
    report = watched(net(), *waves(), optimizer=sgd)
    assert kinds(report) == [("clipping", "clipnorm")]
    assert told_at(report, "clipping") <= EARLY
    sgd = keras.optimizers.SGD(0.05, clipnorm=1.0)
    report = watched(net(), *waves(), optimizer=sgd)
    assert "clipping" not in [f.rule for f in report.history]


@pytest.mark.once
@pytest.mark.parametrize("way", ["penalty", "decay", "added"])
def test_what_outweighs_the_task_a_hundredfold_is_told_early(way):
    def fit(strength):
        optimizer, model = keras.optimizers.Adam(3e-3), net()
        if way == "penalty":
            model = net(penalty=keras.regularizers.L2(strength))
        elif way == "decay":
            optimizer = keras.optimizers.AdamW(3e-3, weight_decay=strength)
        else:
            silent = layers.ActivityRegularization(l2=strength)
            model = keras.Sequential(
                [*net().layers[:-1], silent, layers.Dense(1)]
            )
        return watched(model, *waves(), optimizer=optimizer)

    report = fit({"penalty": 2.0, "decay": 100.0, "added": 100.0}[way])
    assert [rule for rule, _ in kinds(report)] == ["update_ratio"]
    assert told_at(report, "update_ratio") <= EARLY
    assert fit(1e-4).history == []


@pytest.mark.once
def test_check_tells_a_decay_that_no_weight_outlasts():
    for decay, told in ((100.0, [("update_ratio", "decay")]), (0.01, [])):
        model = net()
        model.compile(keras.optimizers.AdamW(3e-3, weight_decay=decay), "mse")
        assert kinds(kgg.check(model, *waves())) == told


@pytest.mark.once
def test_inputs_that_all_look_alike_are_told_early():
    x, y = waves()
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(24, "tanh"), layers.Dense(1)]
    )
    report = watched(model, 4000 + x, y)
    assert kinds(report)[0] == ("unscaled_data", "large")
    assert told_at(report, "unscaled_data") <= EARLY


@pytest.mark.once
def test_a_rate_that_ends_at_once_is_told_early_and_a_warm_up_is_not():
    rate = _rates.ExponentialDecay(1e-3, 1, 0.7)
    adam = keras.optimizers.Adam(rate)
    report = watched(net(), *waves(), optimizer=adam)
    assert kinds(report) == [("update_ratio", "schedule")]
    # By the eleventh step it is a fiftieth.
    assert told_at(report, "update_ratio") <= 24
    rate = _rates.CosineDecay(0.0, 200, warmup_target=1e-2, warmup_steps=40)
    adam = keras.optimizers.Adam(rate)
    report = watched(net(), *waves(), optimizer=adam)
    assert "schedule" not in [kind for _, kind in kinds(report)]


@pytest.mark.once
def test_a_warm_up_that_takes_longer_than_the_run_is_told():
    rate = _rates.PolynomialDecay(0.0, 1_000_000, 1e-2)
    sgd = keras.optimizers.SGD(rate)
    report = watched(net(), *waves(), optimizer=sgd)
    assert kinds(report) == [("update_ratio", "schedule")]
    assert "takes longer than the run" in report.ranked[0].message
    assert told_at(report, "update_ratio") <= EARLY


@pytest.mark.once
def test_one_unit_that_all_has_to_pass_is_told_early():
    x, y = waves()
    y = np.digitize(y[:, 0], [-0.7, 0.0, 0.7]).astype("int32")
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(24, "relu"),
            layers.Dense(1, "relu"),
            layers.Dense(4, "softmax"),
        ]
    )
    sgd = keras.optimizers.SGD(0.01)
    loss = "sparse_categorical_crossentropy"
    report = watched(model, x, y, optimizer=sgd, loss=loss)
    assert kinds(report) == [("poor_initialization", "one_unit")]
    assert told_at(report, "poor_initialization") <= 2 * EARLY


@pytest.mark.once
def test_first_steps_that_leave_nothing_are_told_and_others_not():
    def report_at(rate):
        x, y = waves()
        hidden = [layers.Dense(24, "tanh") for _ in range(6)]
        model = keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(1)])
        model.add(layers.Activation("sigmoid"))
        return watched(
            model,
            x,
            (y > 0).astype("float32"),
            optimizer=keras.optimizers.Adam(rate),
            loss="binary_crossentropy",
        )

    learns = report_at(0.02)
    assert learns.trace.logs["loss"][-1] < 0.5
    assert learns.findings == []
    assert report_at(0.8).ranked[0].rule == "update_ratio"


def two_heads(counts):
    inputs = keras.Input((4,))
    h = layers.Dense(24, "relu")(inputs)
    price = layers.Dense(1, name="price")(h)
    rooms = layers.Dense(1, "sigmoid", name="rooms")(h)
    model = keras.Model(inputs, {"price": price, "rooms": rooms})
    x, y = waves()
    rooms = np.round(4 + 2 * y) if counts else (y > 0).astype("float32")
    losses = {"price": "mse", "rooms": "binary_crossentropy"}
    return watched(model, x, {"price": y, "rooms": rooms}, loss=losses)


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="torch refuses such targets"
)
def test_a_head_whose_targets_take_the_loss_below_zero_is_told():
    report = two_heads(counts=True)
    assert kinds(report) == [("output_mismatch", "no_floor")]
    (told,) = report.ranked
    assert [path.split("/")[-1] for path in told.layers] == ["rooms"]
    exec(told.remedies[0].code, {"keras": keras, "y": np.zeros(2)})
    assert "output_mismatch" not in [f.rule for f in two_heads(False).history]


def test_a_loss_that_is_nan_stands_beside_inputs_that_are_large():
    x, y = waves()

    def entropy(t, p):
        share = ops.softmax(p)
        return -ops.mean(ops.one_hot(t[:, 0], 4) * ops.log(share))

    y = np.digitize(y, [-0.7, 0.0, 0.7]).astype("int32")
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(24, "relu"), layers.Dense(4)]
    )
    report = watched(model, 3000 * x, y, epochs=2, loss=entropy)
    assert [rule for rule, _ in kinds(report)] == [
        "unscaled_data",
        "nonfinite_gradient",
    ]


class Alone(keras.Model):
    """A loss of its own without a floor, or with one."""

    def __init__(self, floor):
        super().__init__()
        self.hidden = layers.Dense(24, "relu")
        self.last = layers.Dense(1)
        self.floor = floor

    def call(self, x):
        return self.last(self.hidden(x))

    def compute_loss(
        self,
        x=None,
        y=None,
        y_pred=None,
        sample_weight=None,
        training=True,
    ):
        del x, sample_weight, training
        if self.floor:
            return ops.mean(ops.square(y - y_pred)) - 5.0
        return -ops.mean((2 * y - 1) * y_pred)


@pytest.mark.once
def test_a_loss_that_falls_faster_and_faster_has_no_floor():
    x, y = waves()
    y = (y > 0).astype("float32")
    reports = []
    for floor in (False, True):
        model = Alone(floor)
        model(x[:1])
        optimizer = keras.optimizers.Adam(3e-3)
        reports.append(watched(model, x, y, optimizer=optimizer))
    assert kinds(reports[0]) == [("output_mismatch", "no_floor")]
    assert told_at(reports[0], "output_mismatch") <= 140
    assert "output_mismatch" not in [f.rule for f in reports[1].history]
