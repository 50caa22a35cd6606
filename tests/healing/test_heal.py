"""Healing: what is sick gets better, what is well stays as it is."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies import training as changes_of_training
from keras_gradguard.diagnosis.rules.oscillating_loss import for_oscillating
from keras_gradguard.healing.attempt import share
from keras_gradguard.healing.skill import skill
from keras_gradguard.healing.skill import tasks_of
from keras_gradguard.healing.trials import Trials
from keras_gradguard.healing.trials import is_better
from keras_gradguard.models.graph import values_of_a_row
from keras_gradguard.trace.facts import OptimizerFacts
from tests import models
from tests.diagnosis import test_recurrent_stacks as recurrent_stacks

# Trains much; what a backend can change is tested with the edits.
pytestmark = pytest.mark.once


def data(rows=128):
    x = np.random.default_rng(0).normal(size=(rows, 4)).astype("float32")
    return x, (x[:, 0] + x[:, 1] > 0).astype("float32")


def classifier(*hidden, units=1, activation="sigmoid", optimizer=None):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            *hidden,
            layers.Dense(units, activation, name="out"),
        ],
        name="net",
    )
    model.compile(
        optimizer or keras.optimizers.Adam(0.02), "binary_crossentropy"
    )
    return model


def test_the_wrong_output_is_exchanged_and_the_model_learns():
    model = classifier(layers.Dense(8, "relu"), activation="softmax")
    before = models.to_numpy(model.variables)
    x, y = data()
    healed, report = kgg.heal(model, x=x, y=y, epochs=40)
    assert healed is not model
    assert healed.layers[-1].activation.__name__ == "sigmoid"
    assert report.healthy, report
    [attempt] = report.attempts
    assert attempt.rule == "output_mismatch"
    assert attempt.kept
    assert attempt.after > attempt.before + 0.2
    right = (healed.predict(x, verbose=0)[:, 0] > 0.5) == y
    assert right.mean() > 0.8
    for one, other in zip(
        before, models.to_numpy(model.variables), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 0
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert told["attempts"][0]["kept"] is True
    assert "Tried (skill: 1 is perfect" in str(report)
    assert "sigmoid" in str(report)


def test_large_targets_are_scaled():
    x, _ = data()
    y = 1000 * x[:, :1] + 3000
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(1)]
    )
    sgd = keras.optimizers.SGD(0.05, momentum=0.9)
    model.compile(sgd, "mse")
    healed, report = kgg.heal(model, x=x, y=y, epochs=40)
    assert [f.rule for f in report.findings] == []
    error = np.mean((healed.predict(x, verbose=0) - y) ** 2)
    assert error < 0.3 * y.var()


def test_causes_that_spoil_each_others_cure_are_cured_together():
    x, _ = data()
    y = 1e4 * (x[:, 0] + 2 * x[:, 1])
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, "tanh"),
            layers.Dense(1, "softmax", name="out"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    healed, report = kgg.heal(model, x=x * 1e4 + 5e3, y=y, epochs=20)
    attempt = report.attempts[0]
    assert attempt.kept
    for change in ("Normalize the inputs", "no activation", "the targets"):
        assert change in attempt.title
    assert report.healthy
    error = np.mean((healed.predict(x * 1e4 + 5e3, verbose=0)[:, 0] - y) ** 2)
    assert error < 0.3 * y.var()


def test_a_healthy_model_comes_back_as_it_is():
    model = classifier(layers.Dense(8, "relu"))
    x, y = data()
    healed, report = kgg.heal(model, x, y, epochs=10)
    assert healed is model
    assert report.healthy
    assert report.attempts == []
    assert "Healthy" in report.notes[0]
    again, report = kgg.heal(model, kgg.Report([]), x, y)
    assert again is model
    assert report.healthy


def test_a_report_without_data_is_taken_on_trust():
    model = classifier(layers.Dense(8, "relu"), activation="softmax")
    found = kgg.check(model, *data())
    healed, report = kgg.heal(model, found)
    assert healed.layers[-1].activation.__name__ == "sigmoid"
    assert report.healthy is None
    assert "nothing was verified" in report.not_judged[0]
    assert "not verified" in str(report)
    nothing = kgg.Finding("r", "warning", [], 0, 0, None, {}, "m")
    same, report = kgg.heal(model, kgg.Report([nothing]))
    assert same is model
    assert "no remedy" in report.notes[0]


def test_a_schedule_is_made_for_the_run_and_not_for_a_trial():
    slow = keras.optimizers.Adam(1e-5)
    model = classifier(layers.Dense(8, "relu"), optimizer=slow)
    x, y = data()
    falls = changes_of_training.schedule("", steps=7)
    facts = OptimizerFacts("Adam", 1e-5)
    remedy = changes.several(
        [changes_of_training.learning_rate(facts, "", 0.02, 1e4), falls], ""
    )
    finding = kgg.Finding(
        "own_rule", "critical", [], 0, 0, None, {}, "m", [remedy]
    )
    healed, _ = kgg.heal(
        model, kgg.Report([finding]), x, y, epochs=20, batch_size=16
    )
    rate = healed.optimizer.get_config()["learning_rate"]["config"]
    assert rate["decay_steps"] == 20 * 8
    assert rate["initial_learning_rate"] == pytest.approx(0.02)


def test_small_batches_are_told_to_average_and_take_smaller_steps():
    trace = kgg.Trace(
        ["a"],
        ["a/kernel"],
        [0],
        meta={
            "learning_rate": 0.1,
            "optimizer": {"class": "SGD"},
            "data": {"batch_size": 1},
        },
    )
    found = for_oscillating(trace, 0.2)
    assert found[0].action == "several"
    model = classifier(optimizer=keras.optimizers.SGD(0.1))
    optimizer = found[0].apply(model).optimizer
    assert optimizer.gradient_accumulation_steps == 32
    assert float(optimizer.learning_rate) == pytest.approx(0.01)
    # Tenfold at once and no further, though the steps are 200 times too large.
    rates = [r.arguments["value"] for r in found if "value" in r.arguments]
    assert rates == pytest.approx([0.01])
    assert found[-1].apply is None


def test_a_remedy_that_harms_is_not_kept():
    model = classifier(layers.Dense(8, "relu"))
    x, y = data()

    def harm(model):
        return classifier(
            layers.Dense(8, "relu"),
            optimizer=keras.optimizers.SGD(0.0),
        )

    def fail(model):
        raise ValueError("cannot be done")

    remedies = [
        kgg.Remedy("Fail", "", apply=fail),
        kgg.Remedy("Harm", "", apply=harm),
        kgg.Remedy("Words", ""),
    ]
    finding = kgg.Finding(
        "own_rule", "critical", [], 0, 0, None, {}, "m", remedies
    )
    healed, report = kgg.heal(
        model, kgg.Report([finding]), x, y, epochs=20, batch_size=16
    )
    assert healed is model
    assert [a.title for a in report.attempts][:2] == ["Fail", "Harm"]
    assert not any(a.kept for a in report.attempts)
    assert "cannot be done" in report.attempts[0].error
    assert report.findings == [finding]
    # Twice a plain training of 20 epochs, in pieces of 4.
    assert sum(a.epochs for a in report.attempts) + 4 <= 40


def test_healing_is_repeatable_under_a_seed():
    def once():
        keras.utils.set_random_seed(5)
        model = classifier(layers.Dense(8, "relu"), activation="softmax")
        healed, report = kgg.heal(model, x=data()[0], y=data()[1], epochs=10)
        return healed.get_weights(), report.to_dict()

    one, other = once(), once()
    for a, b in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert one[1] == other[1]


@pytest.mark.parametrize("sequences", [True, False])
def test_the_work_of_a_recurrent_layer_is_that_of_all_its_steps(sequences):
    model = keras.Sequential(
        [
            keras.Input((6, 3)),
            layers.LSTM(4, return_sequences=sequences),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    flat = 6 * 4 if sequences else 4
    assert values_of_a_row(model) == 6 * 4 + flat + 2
    free = keras.Sequential([keras.Input((None, 3)), layers.LSTM(4)])
    assert values_of_a_row(free) is None


def test_what_comes_back_trains_as_any_other_model():
    model = classifier(layers.Dense(8, "tanh"), activation="softmax")
    x, y = data()
    healed, _ = kgg.heal(model, x, y, epochs=10, verbose=0)
    assert healed is not model
    twin = keras.models.clone_model(healed)
    twin.set_weights(healed.get_weights())
    before = healed.optimizer
    twin.compile(type(before).from_config(before.get_config()), healed.loss)
    twin.optimizer.build(twin.trainable_variables)
    for new, old in zip(
        twin.optimizer.variables, before.variables, strict=True
    ):
        new.assign(np.array(keras.ops.convert_to_numpy(old)))
    for each in (healed, twin):
        each.fit(x, y, epochs=2, shuffle=False, verbose=0)
    for one, other in zip(
        healed.get_weights(), twin.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_skill_is_read_off_predictions():
    x, y = data()
    one = classifier(activation="softmax")
    tasks = tasks_of(one, y)
    assert tasks == [True]
    assert skill(one, x, y, tasks) < 0.1  # says 1 for each
    exact = classifier()
    exact.layers[-1].set_weights(
        [np.array([[50.0], [50], [0], [0]]), np.zeros(1)]
    )
    assert skill(exact, x, y, tasks) > 0.9
    two = keras.Sequential([keras.Input((4,)), layers.Dense(2, "softmax")])
    two.compile("sgd", "sparse_categorical_crossentropy")
    two.layers[-1].set_weights([np.zeros((4, 2)), np.zeros(2)])
    assert abs(skill(two, x, y, [True])) < 0.1
    numbers = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    numbers.compile("sgd", "mse")
    target = x[:, :1] * 7 + 3
    assert tasks_of(numbers, target) == [False]
    numbers.layers[-1].set_weights(
        [np.array([[7.0], [0], [0], [0]]), np.array([3.0])]
    )
    assert skill(numbers, x, target, [False]) == pytest.approx(1)
    numbers.layers[-1].set_weights(
        [np.zeros((4, 1)), target.mean(keepdims=True)[0]]
    )
    assert skill(numbers, x, target, [False]) == pytest.approx(0, abs=1e-5)


def test_what_is_worth_keeping():
    inf, nan = float("inf"), float("nan")
    assert is_better(0.3, 0.1, gone=True)
    assert is_better(0.8, 0.8, gone=True)
    assert is_better(0.1, -inf, gone=True)
    assert is_better(nan, nan, gone=True)
    assert not is_better(0.1, 0.1, gone=True)
    assert not is_better(0.2, 0.1, gone=False)
    assert is_better(0.4, 0.1, gone=False)
    assert not is_better(-inf, -inf, gone=True)
    assert not is_better(0.6, 0.8, gone=True)


def test_arguments_are_checked():
    model = classifier()
    x, y = data()
    with pytest.raises(TypeError, match="`model` must be a Keras model"):
        kgg.heal(3, x=x, y=y)
    with pytest.raises(TypeError, match="`report` must be a Report"):
        kgg.heal(model, x, y, [])
    with pytest.raises(TypeError, match="as often as need be"):
        kgg.heal(model, x=iter([(x, y)]))
    with pytest.raises(ValueError, match="`report` or `x` must be given"):
        kgg.heal(model)
    with pytest.raises(ValueError, match="epochs=0"):
        kgg.heal(model, x=x, y=y, epochs=0)
    bare = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    with pytest.raises(ValueError, match="must be compiled"):
        kgg.heal(bare, x=x, y=y)
    subclassed = models.Subclassed()
    with pytest.raises(TypeError, match="Sequential or functional"):
        kgg.heal(subclassed, kgg.Report([]))


def test_each_training_is_told_as_it_ends(capsys):
    model = classifier(layers.Dense(8, "relu"), activation="softmax")
    x, y = data()
    _, report = kgg.heal(model, x, y, epochs=10)
    first, as_it_is, *tried = capsys.readouterr().out.splitlines()
    assert first.startswith("heal: training copies")
    assert as_it_is.startswith("  as it is: skill ")
    assert len(tried) == len(report.attempts) >= 1
    for line, attempt in zip(tried, report.attempts, strict=True):
        assert attempt.title in line
        assert f"skill {attempt.after:.2f}" in line
        assert line.endswith("kept") == (not attempt.error)
        assert f"skill {attempt.after:.2f} (before" in str(attempt)


def test_silence_can_be_had(capsys):
    model = classifier(layers.Dense(8, "relu"))
    x, y = data()
    kgg.heal(model, x, y, epochs=5, verbose=0)
    assert capsys.readouterr().out == ""


def test_the_former_order_of_arguments_still_works():
    model = classifier(layers.Dense(8, "relu"))
    x, y = data()
    report = kgg.check(model, x, y)
    for arguments in [(report, x, y), (None, x, y)]:
        healed, _ = kgg.heal(model, *arguments, epochs=5, verbose=0)
        assert healed is model


@pytest.mark.parametrize("rows", [20, 32, 50, 130, 1000])
def test_trials_train_on_batches_of_one_size_and_leave_little_out(rows):
    model = classifier()
    trials = Trials(model, *data(rows), lambda _: 32)
    seen = []

    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)

    trials.length = 1
    trials._fit(model, [Count()])
    (x, _), size = trials._data, trials._rows
    assert size <= 32
    assert len(seen) * size == len(x) or len(x) == rows <= 32
    assert len(x) > 0.95 * rows


def wrong_side(y_true, y_pred):
    wrong = (y_pred > 0.5) != (y_true > 0.5)
    return keras.ops.cast(wrong, "float32")


def test_a_loss_of_ones_own_without_slope_makes_room_for_that_of_keras():
    model = classifier(layers.Dense(16, "relu"))
    model.compile(keras.optimizers.Adam(0.02), wrong_side)
    x, y = data()
    healed, report = kgg.heal(model, x, y[:, None], epochs=40, verbose=0)
    assert healed.loss == "binary_crossentropy"
    assert report.healthy, report
    assert ((healed.predict(x, verbose=0)[:, 0] > 0.5) == y).mean() > 0.8


def test_counts_under_a_loss_for_yes_and_no_are_numbers_and_stay_so():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(320, 4)).astype("float32")
    y = rng.poisson(np.exp(2.5 + 0.5 * x[:, :1])).astype("float32")
    model = classifier(layers.Dense(16, "relu"))
    healed, report = kgg.heal(model, x, y, epochs=60, verbose=0)
    # What was advised for classes instead is not put on top.
    assert [a.rule for a in report.attempts if a.kept] == ["output_mismatch"]
    assert healed.output_shape == (None, 1)
    assert report.healthy, report
    guess = healed.predict(x, verbose=0)
    assert np.corrcoef(guess[:, 0], y[:, 0])[0, 1] > 0.6


def test_a_fault_that_shows_late_is_sought_as_long_as_a_run_takes(capsys):
    rng = np.random.default_rng(8)
    x = rng.normal(size=(600, 12, 3)).astype("float32")
    y = (x[:, :, 0].sum(1) > 0).astype("float32")
    strong = keras.regularizers.L1L2(0.02, 0.1)
    held = {"kernel_regularizer": strong}
    model = keras.Sequential(
        [
            keras.Input((12, 3)),
            layers.LSTM(16, recurrent_regularizer=strong, **held),
            layers.Dense(1, "sigmoid", **held),
        ]
    )
    model.compile(keras.optimizers.Adam(5e-3), "binary_crossentropy")
    healed, report = kgg.heal(model, x, y, epochs=15)
    assert "it learns little, so once more" in capsys.readouterr().out
    assert [a.title for a in report.attempts if a.kept] == [
        "Weaken the penalty"
    ]
    healed.fit(x, y, epochs=12, verbose=0)
    assert ((healed.predict(x, verbose=0)[:, 0] > 0.5) == y).mean() > 0.8


class Apart(keras.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, *args, **kwargs):
        return keras.ops.mean(keras.ops.square(y_pred - y))


def test_what_only_the_user_can_change_is_said():
    x, _ = data(320)
    start = keras.Input((4,))
    hidden = layers.Dense(16, "relu")(start)
    model = Apart(start, layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(0.01))
    healed, report = kgg.heal(model, x, x[:, 0], epochs=20, verbose=0)
    assert healed is model
    (left,) = [note for note in report.notes if note.startswith("Left to you")]
    assert "`y = y[..., None]`" in left


def one_sided():
    start = keras.initializers.RandomUniform(0, 1, seed=0)
    hidden = [
        layers.Dense(8, "tanh", kernel_initializer=start, name=f"h{at}")
        for at in range(5)
    ]
    return classifier(*hidden, optimizer=keras.optimizers.SGD(0.01, 0.9))


def test_what_is_true_of_the_model_as_it_came_alone_is_not_repeated():
    x, _ = data(512)
    y = (np.square(x).sum(axis=1) > 3.4).astype("float32")
    model = one_sided()
    before = kgg.check(model, x, y)
    assert any(note.startswith("h0: nearly all") for note in before.notes)
    healed, report = kgg.heal(model, x, y, epochs=30, verbose=0)
    assert healed is not model
    assert report.healthy, report
    assert not [note for note in report.notes if note.startswith("h0")]


class Batches(keras.utils.PyDataset):
    """The same rows batch by batch, so that their work is not known."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x) // 32

    def __getitem__(self, index):
        at = slice(32 * index, 32 * index + 32)
        return self.x[at], self.y[at]


@pytest.mark.parametrize("long", [False, True])
def test_a_cure_that_does_no_harm_is_kept_and_gone_on_from(long, capsys):
    x, y = recurrent_stacks.waves()
    model = recurrent_stacks.stack(
        layers.LSTM, 4, optimizer=keras.optimizers.SGD(0.01)
    )
    given = (Batches(x, y),) if long else (x, y)
    _, report = kgg.heal(model, *given, epochs=10)
    first = report.attempts[0]
    assert first.title.startswith("Use tanh in memory_0")
    assert first.kept
    tried = [attempt.rule for attempt in report.attempts]
    # Where to compile takes longer than to train, that is all.
    assert ("slow_convergence" in tried) == long
    said = capsys.readouterr().out
    not_at_once = f"{first.title}: skill {share(first.after)}, not kept" in said
    assert (f"{first.title}: kept after all" in said) == not_at_once
    assert first.title in report.notes[0]
