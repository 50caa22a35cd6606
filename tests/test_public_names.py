"""The names that users and the contract rely on."""

import inspect

import pytest

import keras_gradguard as kgg

REQUIRED = inspect.Parameter.empty
PUBLIC = (
    "Finding",
    "GradGuardFinding",
    "GradGuardWarning",
    "GradientMonitor",
    "Remedy",
    "Report",
    "Rule",
    "Trace",
    "check",
    "diagnose",
    "heal",
)
SIGNATURES = {
    "GradientMonitor": {
        "log_dir": None,
        "update_freq": 1,
        "rules": "default",
        "on_finding": "warn",
        "verbose": 1,
        "histogram_freq": 0,
    },
    "diagnose": {"trace": REQUIRED, "rules": "default"},
    "check": {
        "model": REQUIRED,
        "x": REQUIRED,
        "y": None,
        "batch_size": 32,
    },
    "heal": {
        "model": REQUIRED,
        "report": None,
        "x": None,
        "y": None,
        "epochs": None,
        "batch_size": None,
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
    "vanishing_gradient",
    "exploding_gradient",
    "nonfinite_gradient",
    "frozen_layer",
    "update_ratio",
}


@pytest.mark.parametrize("name", sorted({*PUBLIC, *kgg.__all__}))
def test_each_public_name_can_be_had(name):
    assert getattr(kgg, name) is not None
    assert name in dir(kgg)


def test_all_is_what_is_exported():
    assert set(PUBLIC) <= set(kgg.__all__)
    assert len(kgg.__all__) == len(set(kgg.__all__))
    lazy = {*kgg._EXPORTS, *kgg._SUBMODULES, "__version__"}
    assert set(kgg.__all__) == lazy
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

    assert {rule.id for rule in resolve_rules("default")} >= RULES


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_documented(name):
    assert inspect.getdoc(getattr(kgg, name))
