"""Training against validation, and generator against discriminator."""

import numpy as np
import pytest

from keras_gradguard import Trace
from keras_gradguard import diagnose

pytestmark = pytest.mark.pure

EPOCHS, STEPS = 10, 8


def trace_of(logs, epochs=EPOCHS, momentum=0.99, planned=None, width=10):
    """A run of a BatchNormalization whose loss falls, with these logs."""
    names = ["dense", "norm", "output"]
    info = {name: {"class": "Dense", "name": name} for name in names}
    info["norm"] = {
        "class": "BatchNormalization",
        "name": "norm",
        "momentum": momentum,
    }
    output = {"layer": "output", "kind": "Dense", "units": width}
    trace = Trace(
        names,
        [f"{name}/kernel" for name in names],
        range(3),
        meta={
            "epochs_planned": planned or epochs,
            "steps_per_epoch": STEPS,
            "layer_info": info,
            "outputs": [{**output, "activation": "softmax"}],
            "data": {"output_shape": [None, width]},
        },
    )
    total = epochs * STEPS
    loss = 2.3 * np.exp(-np.arange(total) / 12)
    rng = np.random.default_rng(0)
    trace.append(
        np.arange(total),
        np.exp(0.3 * rng.normal(size=(total, 3))),
        extra={"loss": loss},
    )
    for step in range(0, total, 4):
        data = {"output_correlation": 0.9, "output_spread": 0.3}
        data |= {"samples": 32, "output_mean": 0.1, "target_std": 2.9}
        trace.append_activations(step, data=data)
    for epoch in range(epochs):
        row = {name: series[epoch] for name, series in logs.items()}
        row["loss"] = float(loss[epoch * STEPS : (epoch + 1) * STEPS].mean())
        trace.append_epoch(epoch, (epoch + 1) * STEPS - 1, row)
    return trace


def found(trace, rule, kind):
    told = [f for f in diagnose(trace).findings if f.rule == rule]
    return [f for f in told if f.evidence.get("kind") == kind]


RISES = np.linspace(0.3, 0.98, EPOCHS)


FOREIGN = ("output_mismatch", "foreign_labels")
AVERAGES = ("frozen_layer", "averages")


def test_validation_below_chance_holds_other_labels():
    logs = {"accuracy": RISES, "val_accuracy": np.full(EPOCHS, 0.01)}
    (told,) = found(trace_of(logs, momentum=None), *FOREIGN)
    assert "Training is sound, validation is not" in told.message
    assert "guessing gets 0.1" in told.message
    assert "order" in told.remedies[0].code


@pytest.mark.parametrize("held_out", [0.1, 0.5, np.nan])
def test_who_overfits_down_to_chance_has_the_same_labels(held_out):
    logs = {"accuracy": RISES, "val_accuracy": np.full(EPOCHS, held_out)}
    assert not found(trace_of(logs, momentum=None), *FOREIGN)


def test_averages_that_few_updates_have_moved():
    logs = {"accuracy": RISES, "val_accuracy": np.full(EPOCHS, 0.12)}
    (told,) = found(trace_of(logs), *AVERAGES)
    assert told.layers == ["norm"]
    # After the second epoch in which training is good and validation is not.
    good = np.flatnonzero(RISES - 0.1 > 0.45)[1]
    updates = (good + 1) * STEPS
    assert told.evidence["kept"] == pytest.approx(0.99**updates)
    assert f"{updates} updates" in told.message


@pytest.mark.parametrize(
    "how",
    [
        {"momentum": 0.8},  # follows within the run
        {"planned": 1000},  # a long run, which will outgrow it
        {"momentum": None},  # there is no such layer
    ],
)
def test_averages_that_catch_up_are_silent(how):
    logs = {"accuracy": RISES, "val_accuracy": np.full(EPOCHS, 0.12)}
    assert not found(trace_of(logs, **how), *AVERAGES)


@pytest.mark.parametrize("epochs", [0, 1])
def test_the_first_epochs_tell_nothing_yet(epochs):
    logs = {"accuracy": RISES, "val_accuracy": np.full(EPOCHS, 0.01)}
    trace = trace_of(logs, epochs=epochs, planned=EPOCHS)
    assert not found(trace, *AVERAGES)
    assert not found(trace, *FOREIGN)


def test_validation_that_lags_a_little_is_silent():
    logs = {"accuracy": RISES, "val_accuracy": 0.6 * RISES}
    assert not found(trace_of(logs), *AVERAGES)


def adversarial(low, high, names=("d_loss", "g_loss")):
    trace = Trace(["d", "g"], ["d/kernel", "g/kernel"], [0, 1])
    rng = np.random.default_rng(0)
    total = STEPS * len(low)
    norms = np.exp(0.3 * rng.normal(size=(total, 2)))
    trace.append(np.arange(total), norms)
    for epoch, row in enumerate(zip(low, high, strict=True)):
        logs = dict(zip(names, row, strict=True))
        trace.append_epoch(epoch, (epoch + 1) * STEPS - 1, logs)
    return trace


WON = ("update_ratio", "one_side")
FADES = 0.6 * np.exp(-np.arange(20) / 2)
CLIMBS = 0.7 + np.arange(20) * 0.5


@pytest.mark.parametrize(
    "names",
    [
        ("d_loss", "g_loss"),
        ("discriminator_loss", "generator_loss"),
        ("loss_D", "loss_G"),
        ("disc_loss", "gen_loss"),
    ],
)
def test_one_side_has_won(names):
    (told,) = found(adversarial(FADES, CLIMBS, names), *WON)
    assert "The discriminator has won: its loss went from 0.6" in told.message
    assert told.severity == "critical"
    (told,) = found(adversarial(FADES, CLIMBS, names[::-1]), *WON)
    assert "The generator has won" in told.message


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (FADES, np.full(20, 0.7)),  # the other does not lose
        (np.full(20, 0.6), CLIMBS),  # nobody has won
        (np.fmax(FADES, 0.01), CLIMBS),  # far ahead, but not for good
        (FADES - 0.3, CLIMBS),  # a critic's score, which is no loss
        (0.6 + 0 * FADES, 0.7 + 0.1 * np.sin(np.arange(20))),  # in balance
    ],
)
def test_two_sides_in_balance_are_silent(low, high):
    assert not found(adversarial(low, high), *WON)


def test_averages_that_nobody_validates_are_not_called_healthy():
    logs = {"accuracy": np.linspace(0.3, 0.98, 20)}
    seen = {**logs, "val_loss": np.full(20, 0.1)}
    stale = diagnose(trace_of(logs, epochs=20, momentum=0.999))
    assert stale.healthy is None
    (why,) = stale.not_judged
    assert "averages of norm that keep 85 % of their start" in why
    for logged, momentum in ((logs, 0.99), (seen, 0.999), (logs, None)):
        report = diagnose(trace_of(logged, epochs=20, momentum=momentum))
        assert report.healthy is True
