"""Layers that leave next to nothing, since each has one number only, or two.

A number less its own mean is 0, so what comes out of a normalization over one
is its offset. Of two numbers one becomes 1 and the other -1. As a share of
itself a number is 1, which is what a softmax over one gives.
"""

from keras_gradguard._text import names
from keras_gradguard.diagnosis.evidence.alone import normalizations
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.soon import alike_at
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies.code import compile_with
from keras_gradguard.diagnosis.remedies.expressions import expression
from keras_gradguard.findings.build import in_a_run

EVIDENCE = {"kind": "one_number", "numbers": 1, "threshold": 1}


def words(layers, numbers=1):
    """Return what is wrong with such layers.

    Args:
        layers: List of str. Their paths.
        numbers: Int. How many each has: 1 or 2.
    """
    if numbers == 2:
        return (
            f"{names(layers)}: layer normalization over two numbers. Less "
            "their mean and over their deviation, one becomes 1 and the other "
            "-1, however far they are apart. All that is left is which of them "
            "is larger."
        )
    return (
        f"{names(layers)}: normalization over one number. A number less "
        "its own mean is 0, so the same comes out for every input, and "
        "nothing of the inputs is left."
    )


def words_of_softmax(layers):
    """Return what is wrong with a softmax over one number.

    Args:
        layers: List of str. The paths of such.
    """
    return (
        f"{names(layers)}: softmax over one number. It gives 1, whatever the "
        "number is, so the scores have no effect, and the layers that compute "
        "them get no gradient. The axis is the last one, and the scores of a "
        "row lie along another."
    )


def for_softmax(run, layers):
    """Return what to do about a softmax over one number.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. The paths of such.
    """
    kinds: dict = {}
    for path in layers:
        known = run.alone.get(path) or {}
        plain = known.get("class") == "Softmax"
        kinds.setdefault(plain, []).append(known.get("name") or path)
    lines = []
    if False in kinds:
        lines += [
            "def over_steps(scores):",
            "    return keras.ops.softmax(scores, axis=1)",
            "",
            "",
        ]
    lines += [
        "def within(layer):",
        '    for inner in getattr(layer, "layers", ()):',
        "        yield inner",
        "        yield from within(inner)",
        "",
        "",
        "for layer in within(model):",
    ]
    for plain, found in kinds.items():
        change = "axis = 1" if plain else "activation = over_steps"
        lines += [
            f"    if layer.name in {expression(found)}:",
            f"        layer.{change}",
        ]
    return [
        changes.words(
            "Let the softmax run over axis 1",
            "Axis 1 counts the steps or places of a row, whose scores add up "
            "to 1 then.",
            "\n".join([*lines, compile_with(run)]),
        )
    ]


def remedies(layers):
    """Return what to do about a normalization of so few numbers.

    Args:
        layers: List of str. Their paths.
    """
    return [
        changes.leave_out(
            layers,
            "Bring the series to mean 0 and deviation 1 before, all of it by "
            "the same two numbers.",
        )
    ]


def in_run(trace):
    """Judge whether such a layer takes the inputs from a run.

    Args:
        trace: `Trace` of the run, with at least one record.

    Returns:
        `Finding` or None. Where the outputs differ all the same, or the run
        learns, other layers carry the inputs.
    """
    layers, numbers = normalizations(trace.run), 1
    found = [harmed_at(trace), alike_at(trace)]
    if not layers:
        # Two leave a sign, so the outputs differ all the same.
        layers, numbers = normalizations(trace.run, 2), 2
        found = found[:1]
    if not layers:
        return None
    seen = [step for step in found if step is not None]
    if not seen:
        return None
    first = int(trace.steps[0])
    return in_a_run(
        trace,
        rule="frozen_layer",
        severity="critical",
        layers=layers,
        first_step=first,
        last_step=max(min(seen), int(trace.steps[-1])),
        evidence={
            **EVIDENCE,
            "numbers": numbers,
            "threshold": numbers,
            "window": {"first_step": first, "last_step": min(seen)},
        },
        message=words(layers, numbers),
        remedies=remedies(layers),
    )
