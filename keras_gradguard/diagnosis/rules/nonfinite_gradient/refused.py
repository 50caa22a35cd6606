"""Outputs that became NaN within a step, at which the backend ended the run."""

from keras_gradguard._text import names
from keras_gradguard.diagnosis.evidence.recurrent import unbounded
from keras_gradguard.diagnosis.remedies.gradients import for_nonfinite


def refused(trace, tell, where):
    """Judge a run that a loss ended, since it was given NaN.

    Args:
        trace: `Trace`.
        tell: Callable that makes a finding, as `Rule.at_start`.
        where: Str. What ended, in words.
    """
    ran, output, free = len(trace.steps), trace.run.output, unbounded(trace.run)
    text = (
        f"An error ended {where}: outputs were NaN, and the loss refuses them. "
    )
    if free:
        text += (
            f"Nothing bounds the state of {names(free)}, so it may grow "
            "beyond all numbers within the time steps of one batch."
        )
    else:
        text += (
            "No gradient was NaN before. So the batch has NaN in it, or a "
            "layer takes a logarithm, root or quotient that it must not. Or "
            "the last step was far too large."
        )
    clue = "state" if free else "batch"
    layers = [*free, *output.layers]
    return tell(
        "critical",
        layers,
        {"kind": "refused", "origin": clue, "records": ran},
        text,
        for_nonfinite(
            trace.run, layers, clue, capsule=trace.run.capsule if ran else None
        ),
    )
