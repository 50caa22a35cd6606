"""A wrong argument gets an error that names it, and what is wanted."""

import keras
import numpy as np
import pytest
from hypothesis import given

import keras_gradguard as kgg
from keras_gradguard import _validation
from tests.hostile import arguments
from tests.hostile import budget
from tests.hostile import outcomes

# Judges no backend: once is enough.
pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def targets():
    return arguments.targets()


def check(case):
    outcome = arguments.outcome(
        case.target, case.argument, case.what, case.arguments
    )
    assert not outcome.startswith(outcomes.RAW), (case, outcome)


def test_all_that_works_works(targets):
    for target in targets:
        target.call(**target.works)


def test_each_argument_replaced(targets):
    for case in budget.share(list(arguments.every_case(targets)), 500):
        check(case)


def test_two_arguments_replaced(targets):
    given(arguments.drawn(targets))(budget.examples(150)(check))()


def test_each_public_callable_is_tried(targets):
    # Plain records, exceptions and bases keep what they are given.
    spared = {
        *("Finding", "Remedy", "Rule", "GradGuardFinding", "GradGuardWarning"),
        *("Clipper", "NormClipper", "Clipped", "Change", "Moments", "Pairing"),
        *("InitializationProblem", "LSUVResult", "names", "squared_relu"),
        *("PairedConv1D", "PairedConv3D", "Residual"),
    }
    tried = {target.name.rpartition(".")[2] for target in targets}
    for module in (kgg, kgg.clippers, kgg.presets, kgg.layers):
        for name in module.__all__:
            if callable(getattr(module, name)) and name not in spared:
                assert name in tried, f"{name} is not in arguments.py"


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (
            lambda: kgg.Trace(5, [], []),
            TypeError,
            r"Trace: `layers` must be a sequence of str. Received: layers=5 \(",
        ),
        (
            lambda: kgg.Trace("ab", [], []),
            TypeError,
            "`layers` must be a sequence of str",
        ),
        (
            lambda: kgg.diagnose(5),
            TypeError,
            "diagnose: `trace` must be a Trace, or the directory of a run",
        ),
        (
            lambda: kgg.AutoClip({}),
            ValueError,
            "AutoClip: `inner_optimizer` must be .* Received: inner_optimizer=",
        ),
        (
            lambda: kgg.clippers.Unitwise(exclude=0),
            TypeError,
            "`exclude` must be a list of regular expressions. Received: excl",
        ),
        (
            lambda: kgg.GradientMonitor(on_finding=np.arange(3)),
            TypeError,
            r"`on_finding` .* Received: on_finding=array\(\[0, 1, 2\]\) \(of",
        ),
        (
            lambda: kgg.presets.get("he_relu", strides=np.zeros(2)),
            TypeError,
            "presets.get: `strides` must be an integer >= 1",
        ),
    ],
)
def test_an_error_is_a_short_lesson(call, error, said):
    with pytest.raises(error, match=said):
        call()


@pytest.mark.parametrize("x", [5, [], {}, [[1, 2], [3]], "x", [None]])
@pytest.mark.parametrize("function", [kgg.check, kgg.heal])
def test_data_that_is_none(function, x):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises((TypeError, ValueError), match=r"`x`.*Received"):
        function(model, x=x, y=np.ones((2, 1)))


def test_a_long_value_is_cut():
    with pytest.raises(ValueError, match=r"'x{199}\.\.\. \(10002 char") as told:
        _validation.check_choice("A", "b", "x" * 10_000, ("c",))
    assert len(str(told.value)) < 300


def test_a_value_that_cannot_be_shown_is_told_by_type():
    class Odd:
        def __repr__(self):
            raise RuntimeError

    assert _validation.shown(Odd()) == "<Odd>"
    assert _validation.shown(10**5000) == "<int>"
    with pytest.raises(TypeError, match=r"Received: n=<Odd> \(of type Odd\)"):
        _validation.check_int("A", "n", Odd())


@pytest.mark.parametrize("number", [2**63, -(2**63), 10**400])
def test_numbers_that_no_array_holds(number):
    with pytest.raises(ValueError, match=r"must be an integer below 2\^62"):
        _validation.check_int("A", "n", number)
    if number == 10**400:
        with pytest.raises(ValueError, match="must be a number"):
            _validation.check_number("A", "n", number)
