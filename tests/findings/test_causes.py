"""One finding follows from another, and never in a circle."""

import dataclasses
import itertools

import pytest

from keras_gradguard import Finding
from keras_gradguard.diagnosis.rules import RULES
from keras_gradguard.diagnosis.rules import effects_of
from keras_gradguard.findings import causes

pytestmark = pytest.mark.pure

NAMES = [*causes.ORDER, *causes._KINDS, *causes._LAST, causes._RARE]
EFFECTS = effects_of([rule() for rule in RULES])


def finding(name, step, severity="warning"):
    rule, evidence = name, {}
    if name == "loss_function":
        rule = "nonfinite_gradient"
        evidence = {"kind": "NaN", "origin": "loss"}
    elif name not in causes.ORDER:
        rule, evidence = "output_mismatch", {"kind": name}
    return Finding(rule, severity, [], step, step, None, evidence, name, [])


@pytest.mark.parametrize("steps", itertools.product((0, 5), repeat=2))
def test_of_any_two_findings_one_leads(steps):
    for names in itertools.combinations(NAMES, 2):
        told = causes.trace_causes(list(map(finding, names, steps)), EFFECTS)
        leads = {f.rule for f in told if f.cause is None}
        assert leads, names
        assert {f.cause for f in told if f.cause} <= leads, names


def test_a_loss_that_is_nan_from_the_first_step_leads():
    told = [finding("exploding_gradient", 39), finding("loss_function", 0)]
    effect, cause = causes.trace_causes(told, EFFECTS)
    assert (cause.cause, effect.cause) == (None, "nonfinite_gradient")


def test_a_gradient_that_ran_away_first_leads_to_a_loss_that_is_nan():
    told = [finding("exploding_gradient", 0), finding("nonfinite_gradient", 3)]
    cause, effect = causes.trace_causes(told, EFFECTS)
    assert (cause.cause, effect.cause) == (None, "exploding_gradient")


def test_a_clip_that_takes_what_one_kind_of_batch_says_leads():
    clip = dataclasses.replace(finding("uneven", 60), rule="clipping")
    rare = finding("rare_class", 300, "critical")
    told = causes.trace_causes([finding("lost", 430), rare, clip], EFFECTS)
    assert [f.cause for f in told] == ["clipping", "clipping", None]
    assert causes.ranked(told)[0].rule == "clipping"
    # Without it, a rare class leads as other faults of the outputs do.
    told = causes.trace_causes([rare, finding("dead_relu", 0)], EFFECTS)
    assert [f.cause for f in told] == [None, "output_mismatch"]
