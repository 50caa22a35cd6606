"""Layers that leave next to nothing, since each has one number only, or two.

A number less its own mean is 0, so what comes out of a layer normalization is
its offset. Of two numbers one becomes 1 and the other -1.
"""

from keras_gradguard._text import names
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.soon import alike_at
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.findings.build import in_a_run

EVIDENCE = {"kind": "one_number", "numbers": 1, "threshold": 1}


def of_one_number(run, numbers=1):
    """Return the paths of layer normalizations over so few numbers each.

    Args:
        run: `RunInfo` of the run or the model.
        numbers: Int. How many: 1 or 2.
    """
    found = []
    for path, info in run.layers.items():
        shapes = info.get("shapes")
        if info.get("class") != "LayerNormalization" or not shapes:
            continue
        if all(list(shape) == [numbers] for shape in shapes.values()):
            found.append(str(path))
    return found


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
        f"{names(layers)}: layer normalization over one number. A number less "
        "its own mean is 0, so the same comes out for every input, and "
        "nothing of the inputs is left."
    )


def remedies(layers):
    """Return what to do about it.

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
    layers, numbers = of_one_number(trace.run), 1
    found = [harmed_at(trace), alike_at(trace)]
    if not layers:
        # Two leave a sign, so the outputs differ all the same.
        layers, numbers = of_one_number(trace.run, 2), 2
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
