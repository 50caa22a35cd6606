"""Every message in plain English: of one layer and of many, of 0, 1 and 2."""

import itertools
import types

import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard._text import count
from keras_gradguard._text import names
from keras_gradguard.diagnosis.rules import RULES
from keras_gradguard.diagnosis.rules.dead_relu import DeadReLU
from keras_gradguard.diagnosis.rules.frozen_layer import FrozenLayer
from keras_gradguard.diagnosis.rules.nonfinite_gradient import NonfiniteGradient
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import (
    judge_pairing,
)
from keras_gradguard.diagnosis.rules.output_mismatch.targets import (
    judge_targets,
)
from keras_gradguard.diagnosis.rules.poor_initialization import (
    PoorInitialization,
)
from keras_gradguard.diagnosis.rules.saturated_activation import (
    SaturatedActivation,
)
from keras_gradguard.diagnosis.rules.unscaled_data.inputs import judge_inputs
from keras_gradguard.diagnosis.rules.unscaled_data.targets import (
    judge_target_scale,
)
from keras_gradguard.diagnosis.rules.update_ratio.rule import (
    judge_learning_rate,
)
from keras_gradguard.diagnosis.rules.vanishing_gradient import VanishingGradient
from keras_gradguard.diagnosis.rules.vanishing_gradient import for_vanishing
from keras_gradguard.findings.start import GradientStart
from keras_gradguard.findings.start import LayerStart
from keras_gradguard.findings.start import Start
from keras_gradguard.healing.attempt import Attempt
from keras_gradguard.trace.facts import DataFacts
from keras_gradguard.trace.facts import OptimizerFacts
from keras_gradguard.trace.facts import Output
from keras_gradguard.trace.run_info import RunInfo
from tests.diagnosis.synthetic import make_trace
from tests.diagnosis.synthetic import steady
from tests.grammar import faults
from tests.pins import stored

pytestmark = pytest.mark.pure

MANY = [1, 2, 3, 8]


def check(findings):
    """Assert that something was found, and that all of it reads well."""
    assert findings
    for finding in findings:
        assert not faults(finding.message), finding.message
        for remedy in finding.remedies:
            assert not _of_remedy(remedy), remedy


def _of_remedy(remedy):
    """Return what is wrong with a remedy; its reason may be a long one."""
    found = faults(f"{remedy.title}.") + faults(remedy.why)
    return [fault for fault in found if "first sentence" not in fault]


def paths(number):
    return [f"net/h{i}" for i in range(number)]


def test_the_runs_that_are_pinned(tmp_path):
    said = stored.diagnoses(tmp_path)
    assert len({f["rule"] for d in said.values() for f in d["findings"]}) > 8
    for diagnosis in said.values():
        for finding in diagnosis["findings"]:
            assert not faults(finding["message"]), finding["message"]


@pytest.mark.parametrize("number", MANY)
@pytest.mark.parametrize("zero", [False, True])
def test_layers_that_get_no_gradient(number, zero):
    profile = np.concatenate([np.full(number, 0 if zero else 1e-6), [1, 1, 1]])
    trace = make_trace(steady(profile), np.full(200, 0.7))
    check(VanishingGradient().check(trace))
    loss = np.nan * np.ones(200)
    trace = make_trace(steady(profile, 200), loss)
    check(VanishingGradient().check(trace))


@pytest.mark.parametrize("kinds", [["tanh"], ["sigmoid", "tanh"], ["relu"]])
def test_remedies_agree_with_the_activations(kinds):
    layers = {p: {"activation": a} for p, a in zip("ab", kinds, strict=False)}
    fixes = for_vanishing(RunInfo(layers=layers), list(layers))
    assert not [f for fix in fixes for f in _of_remedy(fix)]


@pytest.mark.parametrize("number", MANY)
def test_frozen_and_exploding_layers(number):
    layers = number + 3
    grads = steady(np.ones(layers))
    grads[:, 1 : number + 1] = 0
    late = grads.copy()
    late[:20] = 1
    check(FrozenLayer().check(make_trace(late, np.full(200, 0.7))))
    check(FrozenLayer().check(make_trace(grads, np.full(200, 0.7))))
    nothing = make_trace(np.zeros((200, layers)), np.full(200, 0.7))
    check(FrozenLayer().check(nothing))
    ratio = np.full((200, layers), 1e-3)
    ratio[:, :number] = 0
    still = make_trace(steady(np.ones(layers)), np.ones(200), ratio=ratio)
    check(FrozenLayer().check(still))
    profile = np.concatenate([np.full(number, 1e5), [1, 1, 1]])
    trace = make_trace(steady(profile), np.full(200, 0.7))
    check(kgg.diagnose(trace, ["exploding_gradient"]).findings)


@pytest.mark.parametrize("number", MANY)
@pytest.mark.parametrize("at", [0, 1, 2, 120])
def test_gradients_that_are_not_finite(number, at):
    grads = steady(np.ones(number + 1))
    for bad in (slice(None), slice(0, number)):
        broken = grads.copy()
        broken[at:, bad] = np.nan
        loss = np.linspace(0.7, 0.1, 200)
        check(kgg.diagnose(make_trace(broken, loss)).findings)
        loss[at:] = np.nan
        check(kgg.diagnose(make_trace(broken, loss)).findings)
    skipped = np.arange(200) >= at
    trace = make_trace(broken, loss, skipped=skipped)
    check(NonfiniteGradient().check(trace))
    grown = grads * 1.3 ** np.arange(200)[:, None]
    grown[min(at + 20, 199) :] = np.inf
    check(kgg.diagnose(make_trace(grown, loss)).findings)


@pytest.mark.parametrize("values", [1, 2, 1000])
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("both", [False, True])
def test_data_that_are_not_finite(values, rows, both):
    bad = {"x": {"values": values, "rows": rows}}
    if both:
        bad["y"] = bad["x"]
    findings = NonfiniteGradient().check_start(Start(RunInfo(), nonfinite=bad))
    check(findings)
    verb = "is" if values == 1 and not both else "are"
    assert f" {verb} NaN or infinite" in findings[0].message


@pytest.mark.parametrize("number", MANY)
def test_before_training(number):
    zeros = np.zeros((32, 20))
    dead = [LayerStart(p, "relu", zeros, 1) for p in paths(number)]
    check(DeadReLU().check_start(Start(RunInfo(), layers=dead)))
    few = np.zeros((1000, 20))
    few[:, 0] = 1
    most = [LayerStart(p, "relu", few, 1) for p in paths(number)]
    check(DeadReLU().check_start(Start(RunInfo(), layers=most)))
    flat = [LayerStart(p, "tanh", zeros + 1, 1) for p in paths(number)]
    check(SaturatedActivation().check_start(Start(RunInfo(), layers=flat)))
    beyond = {p: (9, 5) for p in paths(number)}
    check(NonfiniteGradient().check_start(Start(RunInfo(), beyond=beyond)))
    for low in (0.0, 1e-9, np.nan):
        norms = np.concatenate([np.full(number, low), [1.0, 1.0, 1.0]])
        own = [*paths(number), "net/x", "net/y", "net/z"]
        start = Start(
            RunInfo(), gradient=GradientStart(0.7, own, norms, [(1, 1, 1)])
        )
        told = [f for rule in RULES for f in rule().check_start(start)]
        check(told)
    norms = np.array([1e8, *np.ones(number), 1.0, 1.0])
    own = ["net/a", *paths(number), "net/y", "net/z"]
    start = Start(
        RunInfo(), gradient=GradientStart(0.7, own, norms, [(1, 1, 1)])
    )
    check([f for rule in RULES for f in rule().check_start(start)])
    problems = [
        # As `presets.InitializationProblem`, which needs Keras.
        types.SimpleNamespace(
            layer=p,
            layers=(p,),
            kind="constant",
            measured_std=0.0,
            expected_std=1.0,
            preset=None,
            message=f"{p}: all weights are 0.",
        )
        for p in paths(number)
    ]
    check(PoorInitialization().check_start(Start(RunInfo(), weights=problems)))


ACTIVATIONS = (
    *("linear", "relu", "sigmoid", "softmax", "tanh", "softplus", "elu"),
    "hard_sigmoid",
)
LOSSES = (
    *("binary_crossentropy", "categorical_crossentropy"),
    *("sparse_categorical_crossentropy", "mean_squared_error", "poisson"),
    *("kl_divergence", "mean_squared_logarithmic_error", "hinge"),
)
TARGETS = (
    DataFacts(target_min=0, target_max=1, target_integer=True),
    DataFacts(target_min=-1, target_max=1, target_integer=True),
    DataFacts(target_min=0, target_max=9, target_integer=True),
    DataFacts(target_min=1, target_max=3, target_integer=True),
    DataFacts(target_min=0.5, target_max=2.5, target_integer=False),
    DataFacts(target_min=-90, target_max=400, target_integer=False),
)


def test_outputs_losses_and_targets():
    seen = {}
    for activation, loss, units, logits in itertools.product(
        ACTIVATIONS, LOSSES, (1, 2, 3), (False, True)
    ):
        output = Output("net/out", "Dense", units, activation, loss, logits)
        found = [*judge_pairing(output)]
        for data, columns, one in itertools.product(
            TARGETS, (None, 1, 2, 3), (False, True)
        ):
            facts = DataFacts(
                **{
                    name: getattr(data, name)
                    for name in ("target_min", "target_max", "target_integer")
                },
                target_mean=(data.target_min + data.target_max) / 2,
                target_std=1.0,
                target_columns=columns,
                target_row_sum_is_one=one,
                output_columns=units,
            )
            found += judge_targets(output, facts)
            found += judge_target_scale(
                output, facts, OptimizerFacts("SGD", 0.1)
            )
        seen |= {finding.message: finding for finding in found}
    check(seen.values())
    kinds = {finding.evidence["kind"] for finding in seen.values()}
    assert len(kinds) > 14


def test_inputs_and_rates():
    found = []
    for low, high, std in itertools.product(
        (0.0, -5000.0, 1e-6), (255.0, 2e-6, 9e5), (1e-7, 1.0, 80.0, 3e5)
    ):
        facts = DataFacts(
            input_min=low,
            input_max=high,
            input_mean=(low + high) / 2,
            input_std=std,
            feature_scale_min=std / 1000,
            feature_scale_max=std,
        )
        found += judge_inputs(facts)
    rates = (0.0, 1e-12, 1.0, 300.0)
    for name, rate in itertools.product(("Adam", "SGD", "RMSprop"), rates):
        found += judge_learning_rate(OptimizerFacts(name, rate, 0.9))
    check({finding.message: finding for finding in found}.values())
    assert len(found) > 12


def test_attempts_of_heal():
    for epochs in (1, 2, 8):
        text = str(Attempt("r", "Do it", True, -2.5e-5, 0.7, [], epochs))
        assert "e-5" not in text
        assert "-0.00" not in text
        assert ("1 epoch:" in text) == (epochs == 1)
        assert "skill 0.70 (before 0.00), found nothing." in text


@pytest.mark.parametrize("number", range(8))
def test_counts_and_names(number):
    assert not faults(f"There are {count(number, 'value')} now.")
    assert "1 more layers" not in names(paths(number))
