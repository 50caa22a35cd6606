"""Layers that make the same of every input, since each has one number only.

A number less its own mean is 0, so what comes out of a layer normalization is
its offset.
"""

from keras_gradguard._text import names
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.soon import alike_at
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.findings.build import in_a_run

EVIDENCE = {"kind": "one_number", "numbers": 1, "threshold": 1}


def of_one_number(run):
    """Return the paths of layer normalizations over one number each.

    Args:
        run: `RunInfo` of the run or the model.
    """
    found = []
    for path, info in run.layers.items():
        shapes = info.get("shapes")
        if info.get("class") != "LayerNormalization" or not shapes:
            continue
        if all(list(shape) == [1] for shape in shapes.values()):
            found.append(str(path))
    return found


def words(layers):
    """Return what is wrong with such layers.

    Args:
        layers: List of str. Their paths.
    """
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
    layers = of_one_number(trace.run)
    if not layers:
        return None
    found = (harmed_at(trace), alike_at(trace))
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
            "window": {"first_step": first, "last_step": min(seen)},
        },
        message=words(layers),
        remedies=remedies(layers),
    )
