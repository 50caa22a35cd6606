"""The handbook says what the code does, and its programs show it."""

import importlib
import inspect
import pathlib
import warnings

import pytest

from keras_gradguard.diagnosis.rules import RULES
from scripts import handbook

IDS = [rule.id for rule in RULES]
PLACE = "keras_gradguard.diagnosis.rules."
# What each docstring says in numbers, and where the code has them. Windows of
# some rules are in blocks of ten records.
NUMBERS = {
    "clipping": {
        "of_keras": [
            "a twentieth of the gradient in {100 * OF_KERAS_SHARE:g} % of",
        ],
        "rule": [
            "of {ALWAYS[window]} updates in a row",
            "at least {_T[share_]:g} % were clipped",
            "of the first {NEVER[window]} updates",
        ],
    },
    "dead_relu": {
        "": [
            "is dead as a whole in {_ALL[measured]} measurements",
            "{_T[share_]:g} % of the units of two",
            "in {_MOST[measured]} measurements over {_MOST[span]} steps",
            "over {_ONE[span]} steps",
            "a batch of {_LARGE_BATCH} samples or more",
            "of {_SAMPLES} samples at least",
        ],
    },
    "exploding_gradient": {
        "at_once": ["the outputs are {AT_ONCE_SIGNAL:.0f} times as large"],
        "lasting": ["over {DEPTH[ratio]:.0f} times larger near the input"],
        "sudden": [
            "over {HUGE_UPDATE:g} times as large as the weights",
            "rise {RUNAWAY[each]:g}-fold each",
            "{BURST[growth]:g}-fold within the first {BURST[records]} rec",
        ],
    },
    "frozen_layer": {
        "no_gradient": [
            "in every layer in the first {OF_ALL[1]} records",
            "plan {100 * OF_PLAN:g} % is enough, and {OF_ALL[0]} records",
            "{100 * OF_PLAN:g} % of the plan, {OF_SOME[0]} to {OF_SOME[1]} r",
        ],
        "rule": [
            "less than 1e-8 of their norm in {MEASURED} measurements",
            "over {LONG} steps",
        ],
    },
    "loss_plateau": {
        "progress": [
            "not fallen by {_T[fall_]:g} %",
        ],
        "evidence.unmoved": [
            "and {_FLAT[fewest]} ({_FLAT[records]} where the plan",
            "after {BLIND[of_plan_]:g} % of the planned steps",
            "and {BLIND[records]} records",
        ],
    },
    "nonfinite_gradient": {"rule": ["only {SKIPPED_IN_A_ROW} skipped updates"]},
    "oscillating_loss": {
        "evidence.thrown": [
            "over {MOVED:g} of the weights",
            "stays {_ABOVE:g} times above its start",
            "{_RECORDS} records and {100 * _SHARE:g} % of the",
        ],
        "": [
            "by over {_T[change_]:g} % from one epoch",
            "by over {_SWINGS[up_]:g} % three times",
        ],
    },
    "output_mismatch": {
        "learnt": [
            "a class that {100 * RARE:g} % of the targets",
            "stalls after {PATIENCE} without",
        ],
    },
    "poor_initialization": {
        "thresholds": ["at a gain above {ADDS_UP:g}", "a gain above {WIDE:g}"],
    },
    "saturated_activation": {
        "": [
            "At least {100 * _SHARE:g} % of a layer's",
            "in {_MEASURED} measurements in a row, over {_SPAN} steps",
        ],
    },
    "slow_convergence": {},
    "unscaled_data": {
        "thresholds": [
            "mean square over {_T[inputs]:g},",
            "a mean {OFFSET:g} times as large",
            "that differ {FEATURE_RATIO:g}-fold",
            "targets of over {_T[targets]:g},",
            "over {FIRST_STEP_TARGET:g} where",
            "of under {SMALL_TARGET:g}",
        ],
    },
    "update_ratio": {
        "rule": [
            "in {MEASURED} measurements in a row",
            "is above {_T[high]:g} for",
            "less than {_T[reach]:g} of their size",
        ],
        "reach": [
            "limit is {REACH[hopeless]:g},",
            "after {REACH[of_plan_]:g} % of the plan",
        ],
    },
    "vanishing_gradient": {
        "thresholds": [
            "below 1/{1 / _T[mild]:.0f} for {10 * MILD[window]} records",
            "than {MILD[learned_]:g} % since the start",
            "below 1/{1 / _T[severe]:.0f} for {10 * SEVERE[window]} rec",
            "than {SEVERE[learned_]:g} %: critical",
            "below 1/{1 / CUT_OFF[ratio]:.0f} for {10 * CUT_OFF[window]} re",
            "below 1e-4 for {10 * BLIND[window]} records",
        ],
    },
}


def values(module, rule):
    """Constants of a module, thresholds of a rule as `_T`, percents as `x_`."""
    names = {}
    for name, value in {**vars(module), "_T": rule.thresholds}.items():
        if isinstance(value, dict):
            value = value | {
                f"{key}_": round(100 * number, 6)
                for key, number in value.items()
                if isinstance(number, float)
            }
        names[name] = value
    return names


def in_words(template, module, rule):
    """Fill a template with the constants of a module."""

    class Constants(dict):
        def __missing__(self, key):
            return key

    code = template.replace('"', '\\"')
    return eval(f'f"{code}"', {}, Constants(values(module, rule)))


def docstring(rule):
    return " ".join(inspect.cleandoc(rule.__doc__).split())


@pytest.mark.pure
@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_the_numbers_of_a_docstring_are_those_of_the_code(rule):
    for part, templates in NUMBERS[rule.id].items():
        name = PLACE + (
            "progress"
            if part == "progress"
            else f"{rule.id}.{part}".rstrip(".")
        )
        if part.startswith("evidence."):
            name = f"keras_gradguard.diagnosis.{part}"
        module = importlib.import_module(name)
        for template in templates:
            words = in_words(template, module, rule)
            assert words in docstring(rule), f"{words!r}, says {name}"


@pytest.mark.pure
@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_a_page_has_the_condition_of_the_code(rule):
    page = (handbook.PAGES / f"{rule.id}.md").read_text(encoding="utf-8")
    written = handbook.block(page, "condition")[2].strip()
    assert written == handbook.condition(rule), (
        "The condition has changed: python scripts/handbook.py conditions"
    )
    code = (handbook.PROGRAMS / f"{rule.id}.py").read_text(encoding="utf-8")
    assert code.strip() in handbook.block(page, "program")[2], (
        "The program has changed: python scripts/handbook.py"
    )


@pytest.mark.pure
def test_each_rule_has_a_page_a_program_and_a_small_picture():
    for folder, end in (
        (handbook.PAGES, "md"),
        (handbook.PROGRAMS, "py"),
        (handbook.PICTURES, "png"),
    ):
        names = {path.stem for path in folder.glob(f"*.{end}")}
        assert names - {"index"} == set(IDS), folder
    large = [
        path.name
        for path in handbook.PICTURES.iterdir()
        if path.stat().st_size > 60_000
    ]
    assert not large
    index = (handbook.PAGES / "index.md").read_text(encoding="utf-8")
    assert [name for name in IDS if f"({name}.md)" not in index] == []


@pytest.mark.once
@pytest.mark.parametrize("rule", IDS)
def test_the_program_of_a_page_gives_its_finding(rule):
    pytest.importorskip("sklearn")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Keras's own
        printed, monitor = handbook.ran(rule)
    page = pathlib.Path(handbook.PAGES / f"{rule}.md").read_text("utf-8")
    output = handbook.block(page, "program")[2].split("```text\n")[1]
    told = [finding.rule for finding in monitor.report().ranked]
    assert rule in told
    assert f"\n{rule}: " in f"\n{printed}"
    assert f"\n{rule}: " in f"\n{output}", "python scripts/handbook.py"
