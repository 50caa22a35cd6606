"""The names that users and the contract rely on."""

import inspect

import pytest

import keras_gradguard as kgg

pytestmark = pytest.mark.once

REQUIRED = inspect.Parameter.empty
PUBLIC = (
    "AutoClip",
    "DeadReLUDetector",
    "Finding",
    "GradGuardFinding",
    "GradGuardWarning",
    "GradientMonitor",
    "Remedy",
    "Report",
    "RollBack",
    "Rule",
    "Trace",
    "batch_checksum",
    "check",
    "compare",
    "diagnose",
    "heal",
    "replay",
    "replace_layers",
    "stop_hopeless",
    "watch",
    "without_batches",
)
MODULES = ("clippers", "layers", "presets")
SIGNATURES = {
    "replace_layers": {"model": REQUIRED, "layers": REQUIRED},
    "watch": {
        "model": REQUIRED,
        "optimizer": None,
        "monitor_arguments": REQUIRED,
    },
    "GradientMonitor": {
        "log_dir": None,
        "update_freq": 1,
        "rules": "default",
        "on_finding": "warn",
        "verbose": 1,
        "histogram_freq": 0,
        "log_metrics": False,
        "layers": None,
        "through_time": False,
        "capsule": None,
        "capsule_freq": 50,
    },
    "AutoClip": {
        "inner_optimizer": REQUIRED,
        "clipper": None,
        "nonfinite": "skip",
        "name": None,
        "skip_above": None,
        "warn_after": 10,
        "clipper_arguments": REQUIRED,
    },
    "DeadReLUDetector": {
        "method": "auto",
        "threshold": 0.0,
        "patience": 1,
        "revive": False,
        "verbose": 1,
        "dormant_threshold": None,
        "seed": None,
        "log_dir": None,
        "layers": None,
    },
    "RollBack": {
        "factor": 0.5,
        "max_rollbacks": 3,
        "save_freq": 100,
        "verbose": 1,
    },
    "stop_hopeless": {"trial": None},
    "without_batches": {
        "data": REQUIRED,
        "batches": REQUIRED,
        "batch_size": None,
    },
    "diagnose": {"trace": REQUIRED, "rules": "default"},
    "compare": {"a": REQUIRED, "b": REQUIRED, "factor": 10.0},
    "check": {
        "model": REQUIRED,
        "x": REQUIRED,
        "y": None,
        "batch_size": 32,
    },
    "heal": {
        "model": REQUIRED,
        "x": None,
        "y": None,
        "report": None,
        "epochs": None,
        "batch_size": None,
        "verbose": 1,
    },
}
MEMBERS = {
    "GradientMonitor": ("report", "plot"),
    "Trace": (
        "steps",
        "get",
        "global_grad_norm",
        "clipped_grad_norm",
        "logs",
        "save",
        "load",
        "to_dict",
    ),
    "Report": ("healthy", "to_dict", "save", "__str__"),
}
RULES = {
    "clipping",
    "dead_relu",
    "exploding_gradient",
    "frozen_layer",
    "loss_plateau",
    "nonfinite_gradient",
    "oscillating_loss",
    "output_mismatch",
    "poor_initialization",
    "saturated_activation",
    "slow_convergence",
    "unscaled_data",
    "update_ratio",
    "vanishing_gradient",
}


@pytest.mark.parametrize("name", [*PUBLIC, *MODULES])
def test_each_public_name_can_be_had(name):
    assert getattr(kgg, name) is not None
    assert name in dir(kgg)


def test_all_is_what_is_exported():
    assert sorted(kgg.__all__) == sorted([*PUBLIC, *MODULES, "__version__"])
    star = {}
    exec("from keras_gradguard import *", star)
    assert set(kgg.__all__) <= set(star)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'GradientMonitr'"):
        kgg.GradientMonitr  # noqa: B018


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_signatures_are_those_of_the_contract(name):
    parameters = inspect.signature(getattr(kgg, name)).parameters
    defaults = {key: value.default for key, value in parameters.items()}
    assert defaults == SIGNATURES[name]
    assert list(defaults) == list(SIGNATURES[name])


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_members_are_those_of_the_contract(name):
    for member in MEMBERS[name]:
        assert hasattr(getattr(kgg, name), member)


def test_objects_have_the_attributes_of_the_contract():
    monitor = kgg.GradientMonitor()
    assert isinstance(monitor.trace, kgg.Trace)
    assert monitor.findings == []
    trace = kgg.Trace(["a"], ["a/kernel"], [0])
    assert list(trace.layers) == ["a"]
    assert list(trace.variables) == ["a/kernel"]
    assert kgg.diagnose(trace).findings == []
    finding = kgg.Finding("r", "warning", [], 0, 1, None, {}, "m")
    for name in ("epoch", "evidence", "message", "remedies", "last_step"):
        assert hasattr(finding, name)
    remedy = kgg.Remedy("title", "why", "code")
    assert (remedy.title, remedy.why, remedy.code) == ("title", "why", "code")


def test_the_rules_of_the_contract_exist():
    from keras_gradguard.diagnosis import resolve_rules

    assert {rule.id for rule in resolve_rules("default")} == RULES


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_documented(name):
    assert inspect.getdoc(getattr(kgg, name))
