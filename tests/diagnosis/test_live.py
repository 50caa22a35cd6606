"""What is said of findings while a run goes on, and when."""

import numpy as np
import pytest

from keras_gradguard import Finding
from keras_gradguard import Rule
from keras_gradguard import Trace
from keras_gradguard import diagnose
from keras_gradguard.diagnosis.live import Judge

pytestmark = pytest.mark.pure


class Shown(Rule):
    """Finds something that shows from one step to another."""

    def __init__(self, rule, told, until, first=0, effects=()):
        self.id, self.effects = rule, effects
        self.first, self.told, self.until = first, told, until

    def check(self, trace):
        last = int(trace.steps[-1]) if len(trace.steps) else -1
        if last < self.told:
            return []
        window = {"first_step": self.first, "last_step": self.told}
        return [
            Finding(
                rule=self.id,
                severity="critical",
                layers=[],
                first_step=self.first,
                last_step=max(self.told, min(last, self.until)),
                epoch=None,
                evidence={"window": window},
                message="Found.",
            )
        ]


def run(rules, length, activations=True, each=8):
    """Judge a growing trace as a monitor does.

    Returns the `Judge`, and at which step each status was told.
    """
    trace = Trace(["a"], ["a/kernel"], [0])
    judge, said = Judge(rules, 16, by_clock=False), []
    for start in range(0, length, each):
        steps = np.arange(start, start + each)
        trace.append(steps, np.ones((each, 1)))
        if activations:
            trace.append_activations(start, data={"samples": 8})
        if judge.is_due(start + each, int(steps[-1])):
            changed, fresh = judge.look(trace, start + each)
            said += [(start + each, f.rule, f.status) for f in changed]
            assert {f.key for f in fresh} <= {f.key for f in changed}
    changed, _ = judge.look(trace, length, is_last=True)
    said += [(length, f.rule, f.status) for f in changed]
    return judge, said, trace


def test_a_finding_is_confirmed_once_it_has_held_for_as_long_again():
    rules = [Shown("frozen_layer", told=39, until=9999)]
    judge, said, _ = run(rules, 400)
    # Told at the look of 64 records; 40 more than needed are 80.
    assert said == [
        (64, "frozen_layer", "raised"),
        (80, "frozen_layer", "confirmed"),
    ]
    assert judge.findings[0].status == "confirmed"


def test_a_finding_that_passes_is_never_confirmed_but_stands():
    judge, said, _ = run([Shown("frozen_layer", told=39, until=45)], 400)
    assert said == [(64, "frozen_layer", "raised")]
    assert [f.status for f in judge.findings] == ["raised"]
    assert [f.status for f in judge.history] == ["raised"]


def test_what_is_not_finite_is_confirmed_at_once():
    _, said, _ = run([Shown("nonfinite_gradient", told=3, until=3)], 64)
    assert said == [(16, "nonfinite_gradient", "confirmed")]


def test_a_symptom_waits_for_the_records_of_the_rules_of_causes():
    symptom = Shown("slow_convergence", told=20, until=9999)
    judge, said, _ = run([symptom], 400)
    assert said[0][0] >= 100
    assert {rule for _, rule, _ in said} == {"slow_convergence"}
    # Where nothing more will come, it is told at the end.
    judge, said, _ = run([symptom], 64)
    assert [step for step, _, _ in said] == [64]
    assert [f.rule for f in judge.findings] == ["slow_convergence"]


def test_a_symptom_whose_cause_comes_first_is_never_told():
    rules = [
        Shown("slow_convergence", told=20, until=9999),
        Shown(
            "frozen_layer", told=90, until=9999, effects=("slow_convergence",)
        ),
    ]
    judge, said, trace = run(rules, 400)
    assert {rule for _, rule, _ in said} == {"frozen_layer"}
    assert [f.rule for f in judge.findings] == ["frozen_layer"]
    (gone,) = [f for f in judge.history if f.status == "withdrawn"]
    assert (gone.rule, gone.cause) == ("slow_convergence", "frozen_layer")
    report = diagnose(trace, rules)
    assert "Withdrawn: slow_convergence since step 0; frozen_layer" in str(
        report
    )


def test_a_symptom_that_was_told_is_withdrawn_aloud_once():
    rules = [
        Shown("loss_plateau", told=20, until=9999),
        Shown("frozen_layer", told=300, until=9999, effects=("loss_plateau",)),
    ]
    judge, said, _ = run(rules, 1000)
    assert [s[1:] for s in said if s[1] == "loss_plateau"] == [
        ("loss_plateau", "raised"),
        ("loss_plateau", "withdrawn"),
    ] or [s[1:] for s in said if s[1] == "loss_plateau"] == [
        ("loss_plateau", "confirmed"),
        ("loss_plateau", "withdrawn"),
    ]
    assert [f.rule for f in judge.findings] == ["frozen_layer"]


def test_all_processes_look_at_the_same_steps():
    rules = [Shown("frozen_layer", told=39, until=9999, first=10)]
    assert run(rules, 800)[1] == run(rules, 800)[1]
