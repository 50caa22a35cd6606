"""The code of remedies, as it is written for what is known of a run."""

import numpy as np
import pytest

from keras_gradguard import Trace
from keras_gradguard.diagnosis.evidence.rates import risen_by
from keras_gradguard.diagnosis.remedies import code
from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.remedies.expressions import broken
from keras_gradguard.diagnosis.remedies.expressions import call
from keras_gradguard.diagnosis.remedies.expressions import with_changes
from keras_gradguard.diagnosis.remedies.fitting import fitted
from keras_gradguard.diagnosis.remedies.paste import written
from keras_gradguard.findings.build import before_a_run
from keras_gradguard.trace.facts import OptimizerFacts
from keras_gradguard.trace.facts import Output
from keras_gradguard.trace.run_info import RunInfo

pytestmark = pytest.mark.pure

SGD = call("keras.optimizers.SGD", learning_rate=0.1, momentum=0.9)
TWO = [{"layer": "net/price", "loss": "mse"}, {"layer": "net/kind"}]


def run_of(optimizer=SGD, **more):
    known = {"name": "SGD", "learning_rate": 0.1, "call": optimizer}
    return RunInfo.of({"optimizer": known, **more})


def code_of(run, *remedies, layers=()):
    """Return the code of the remedies of one finding, as a run is told it."""
    finding = before_a_run(
        rule="clipping",
        severity="warning",
        layers=list(layers),
        evidence={},
        message="",
        remedies=list(remedies),
    )
    return [remedy.code for remedy in fitted(run, [finding])[0].remedies]


def test_an_optimizer_keeps_what_wraps_it():
    scaled = call("keras.optimizers.LossScaleOptimizer", inner_optimizer=SGD)
    (text,) = code_of(run_of(scaled), training.accumulate(4, ""))
    assert "LossScaleOptimizer(" in text
    assert "momentum=0.9" in text
    assert text.index("LossScale") < text.index("gradient_accumulation_steps")
    # AutoClip goes inside of it, and takes the place of a clip of Keras.
    own = with_changes(scaled, {"clipnorm": 5.0})
    (text,) = code_of(run_of(own), training.clip("", threshold=1.0))
    assert text.index("LossScale") < text.index("AutoClip") < text.index("SGD(")
    assert "clipnorm" not in text


def test_what_clips_already_is_not_told_to_clip():
    clipped = call("kgg.AutoClip", inner_optimizer=SGD)
    lower = training.scale_learning_rate(0.1, "")
    told = training.clip("", threshold=1.0), lower, model.several([lower], "")
    (rate, several) = code_of(run_of(clipped), *told)
    assert "learning_rate" in rate
    assert "learning_rate" in several


def test_one_report_names_one_learning_rate():
    facts = run_of().optimizer
    told = [training.learning_rate(facts, "", to) for to in (0.05, 0.02, 0.05)]
    up = training.learning_rate(facts, "", 0.5)
    texts = code_of(run_of(), *told, up, model.several([up], ""))
    assert texts == ["model.optimizer.learning_rate = 0.05"] * 2


@pytest.mark.parametrize(
    ("compiled", "first", "last"),
    [
        ({}, "every, y = y, y[0]", "y = [*every[:0], y, *every[1:]]"),
        (
            {"loss": {"entries": {"price": "mse", "kind": "mse"}}},
            'every, y = y, y["price"]',
            'y = {**every, "price": y}',
        ),
    ],
)
def test_targets_of_one_output_of_several(compiled, first, last):
    run = run_of(outputs=TWO, compiled=compiled)
    scale = model.scale_targets("", 5.0, 2.0)
    (text,) = code_of(run, scale, layers=["net/price"])
    lines = text.split("\n")
    assert (lines[0], lines[-1]) == (f"{first}  # the targets of price", last)
    y = [np.arange(4.0), np.arange(4)]
    names = {"y": {"price": y[0], "kind": y[1]} if compiled else y}
    exec(text, names)
    after = names["y"]
    scaled = after["price"] if compiled else after[0]
    assert np.isclose(scaled.std(), 1)
    assert (after["kind"] if compiled else after[1]) is y[1]


def test_several_inputs_are_scaled_each_on_its_own():
    remedy = model.normalize_inputs("", 1.0, 2.0)
    (one,) = code_of(run_of(), remedy)
    (many,) = code_of(run_of(inputs=2), remedy)
    assert "x.mean(axis=0)" in one
    assert "keras.tree.map_structure(unit_scale, x)" in many


def test_a_change_reaches_the_cell_that_a_layer_runs():
    cell = call("keras.layers.SimpleRNNCell", units=4, activation="relu")
    told = call("keras.layers.RNN", cell=cell, name="loop")
    new = with_changes(told, {"activation": "tanh"})
    assert "activation" not in new["arguments"]
    assert new["arguments"]["cell"]["arguments"]["activation"] == "tanh"
    both = with_changes(
        {**told, "arguments": {"cell": [cell, cell]}}, {"units": 8}
    )
    units = [c["arguments"]["units"] for c in both["arguments"]["cell"]]
    assert units == [8, 8]


def test_layers_of_own_code_are_changed_where_they_are():
    info = {"class": "Dense", "call": call("keras.layers.Dense", units=2)}
    run = run_of(
        model_kind="functional",
        layer_info={"block/up": info, "head": info},
        own_code={"layers": {"block": []}},
    )
    weaker = call("keras.regularizers.L2", l2=1e-4)
    text = code.change_layers(
        run,
        {
            "block/up": {"kernel_regularizer": weaker},
            "head": {"bias_initializer": "zeros"},
        },
    )
    assert '["block/up/kernel"]' in text
    assert "regularizer = keras.regularizers.L2(l2=0.0001)" in text
    assert 'bias_initializer="zeros"' in text
    assert "replace_layers" in text


def test_long_calls_are_broken_at_every_depth():
    inner = call(
        "keras.optimizers.schedules.CosineDecay",
        initial_learning_rate=0.003,
        decay_steps=400,
        warmup_target=0.1,
    )
    told = call(
        "keras.optimizers.Adam", learning_rate=inner, weight_decay=0.00123
    )
    text = broken(told, "optimizer = ")
    assert max(map(len, text.split("\n"))) <= 79
    assert compile(text, "<code>", "exec")


def trace_with(schedule):
    known = {"name": "SGD", "schedule": schedule}
    return Trace(
        ["a"],
        ["a/kernel"],
        [0],
        has_gradient=np.ones(1, bool),
        meta={"optimizer": known},
    )


@pytest.mark.parametrize(
    ("schedule", "step", "usual"),
    [
        # It jumps, and grows from epoch to epoch.
        ([[0, 0.01], [100, 0.01], [181, 5.0], [191, 0.01]], 183, 0.01),
        ([[0, 0.01], [100, 0.02], [200, 0.04], [300, 0.4]], 310, 0.02),
        ([[0, 0.01], [100, 0.01], [181, 5.0], [191, 0.01]], 220, 0.01),
        # It comes later, warms up, falls.
        ([[0, 0.01], [100, 0.01], [181, 5.0], [191, 0.01]], 150, None),
        ([[at, 0.1 * 0.9**at] for at in range(100)], 99, None),
        ([[at, 1e-5 * at] for at in range(100)], 99, None),
        ([[0, 0.01]], 50, None),
    ],
)
def test_a_rate_that_rose_is_known_from_the_steps_before(schedule, step, usual):
    assert risen_by(trace_with(schedule), step) == usual


@pytest.mark.parametrize(
    ("name", "rate", "wanted", "goal"),
    [
        ("Adam", 1e-6, 3e-4, 3e-4),
        ("Adam", 1e-6, 1.0, 1e-3),
        ("SGD", 1e-5, 0.2, 1e-2),
        ("Adam", 1e-4, 1.0, None),
        ("Adam", 1e-9, 1.0, None),
    ],
)
def test_a_rate_far_too_low_rises_and_never_tenfold_at_once(
    name, rate, wanted, goal
):
    facts = OptimizerFacts(name, rate)
    told = training.learning_rate(facts, "", wanted, plan=800)
    if goal is None:
        assert told.action == "set_learning_rate"
        return
    arguments = {"rate": 10 * rate, "to": goal, "steps": 80}
    assert told.action == "warm_up"
    assert told.arguments == pytest.approx(arguments)
    once = training.learning_rate(facts, "", wanted, at_once=1e4)
    assert once.action == "set_learning_rate"


def test_classes_that_one_batch_lacks_get_a_unit():
    run = RunInfo(
        outputs=[
            Output("net/out", "Dense", 1, "sigmoid", "binary_crossentropy")
        ]
    )
    told = model.output(
        run.outputs[0],
        "",
        units=4,
        activation="softmax",
        loss="sparse_categorical_crossentropy",
    )
    assert "max(4, int(np.max(y)) + 1)" in written(run, told).code


@pytest.mark.parametrize(
    ("rate", "title"),
    [
        # A rate is read as float32, whose tenfold is a little less.
        (np.float32(1e-4), "Raise the learning rate to 0.001"),
        (1e-6, "Let the learning rate rise from 1e-5 to 0.001 in 45 steps"),
    ],
)
def test_a_rate_rises_by_and_by_where_tenfold_is_not_enough(rate, title):
    facts = OptimizerFacts(name="Adam", learning_rate=float(rate))
    remedy = training.learning_rate(facts, "Why.", 1e-3, plan=450)
    assert remedy.title == title
