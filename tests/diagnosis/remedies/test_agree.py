"""All remedies of one report agree, and their code is Python.

Those are judged that lead: what follows from them is told with them.
"""

import json
import pathlib
import random

import pytest

from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.remedies.expressions import CLIPS
from keras_gradguard.diagnosis.remedies.expressions import call
from keras_gradguard.diagnosis.remedies.fitting import fitted
from keras_gradguard.diagnosis.remedies.rates import RANGES
from keras_gradguard.findings.build import before_a_run
from keras_gradguard.findings.remedy import Remedy
from keras_gradguard.findings.remedy import edits_of
from keras_gradguard.trace.run_info import RunInfo

pytestmark = pytest.mark.pure

PINS = pathlib.Path(__file__).parents[2] / "pins"
REPORTS = [
    pytest.param(report, id=f"{kind}-{name}")
    for kind in ("diagnoses", "checks")
    for name, report in json.loads((PINS / f"{kind}.json").read_text()).items()
]


def contradictions(remedies, rate=None):
    """Return in words how remedies contradict each other, a list."""
    rates, sides, clips, scales, weighs = set(), set(), set(), set(), set()
    for remedy in remedies:
        code = remedy.code
        if "class_weight" in code or "sample_weight" in code:
            weighs.add("without class_weight" in code)
        for action, given in edits_of(remedy):
            if action in ("set_learning_rate", "warm_up"):
                to = given.get("value", given.get("to"))
                rates.add((to, given.get("factor")))
                factor = given.get("factor") or (to / rate if rate else 1)
                sides.add(factor > 1) if factor != 1 else None
            if action == "clip":
                clips.add("on")
            changed = given.get("arguments")
            if action == "change_optimizer" and set(changed or ()) & set(CLIPS):
                clips.add("off")
            if action in ("remove_layers", "rescale_inputs"):
                scales.add(action)
    told = {
        "several rates": rates,
        "a rate that rises and falls": sides,
        "a clip that goes and comes": clips,
        "another scale for what is to go": scales,
        "weights that go and come": weighs,
    }
    return [words for words, found in told.items() if len(found) > 1]


@pytest.mark.parametrize("report", REPORTS)
def test_what_is_said_of_known_programs_agrees(report):
    leading = [f for f in report["findings"] if f.get("cause") is None]
    remedies = [Remedy.from_dict(one) for f in leading for one in f["remedies"]]
    for remedy in remedies:
        compile(remedy.code, remedy.title, "exec")
    rate = report.get("learning_rate")
    assert contradictions(remedies, rate) == []


def advice(run, rate, draw):
    """Return a remedy of which a report may hold several."""
    facts = training.facts_with_rate(run)
    to = rate * 10 ** draw.uniform(-4, 4)
    kinds = [
        training.learning_rate(facts, "", to),
        training.scale_learning_rate(draw.choice([0.1, 10.0]), ""),
        training.lower_rate(run, 10, ""),
        training.warm_up("", rate, 10 * rate),
        training.clip("", "norm", threshold=1.0),
        training.set_optimizer_arguments("", "", clipnorm=None),
        training.adam(""),
        Remedy("", "", action="rescale_inputs", arguments={"scale": 0.1}),
        Remedy("", "", action="remove_layers", arguments={"layers": ["a/s"]}),
    ]
    if draw.random() < 0.3:
        return model.several(draw.sample(kinds, 2), "")
    return draw.choice(kinds)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adadelta", "Lion"])
@pytest.mark.parametrize("seed", range(5))
def test_any_findings_together_are_told_what_agrees(name, seed):
    draw = random.Random(seed)
    low, high, usual = RANGES[name]
    for _ in range(60):
        rate = usual * 10 ** draw.uniform(-3, 1)
        made = call(f"keras.optimizers.{name}", learning_rate=rate)
        known = {"name": name, "learning_rate": rate, "call": made}
        run = RunInfo.of(
            {"optimizer": known, "rescaling": ["a/s"], "model": "a"}
        )
        findings = [
            before_a_run(
                rule=rule,
                severity="warning",
                layers=[],
                evidence={},
                message="",
                remedies=[advice(run, rate, draw) for _ in range(3)],
            )
            for rule in ("exploding_gradient", "update_ratio", "clipping")
        ]
        told = [r for f in fitted(run, findings) for r in f.remedies]
        assert told
        assert contradictions(told, rate) == []
        for remedy in told:
            compile(remedy.code, remedy.title, "exec")
            for action, given in edits_of(remedy):
                to = given.get("value")
                if action != "set_learning_rate" or to is None:
                    continue
                assert low <= to <= high
                if low <= rate <= high:
                    assert rate / 10.5 < to < 10.5 * rate
