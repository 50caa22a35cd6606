"""Outputs that became NaN within a step, at which the backend ended the run."""

from keras_gradguard._text import names
from keras_gradguard.diagnosis.evidence.harm import began
from keras_gradguard.diagnosis.evidence.harm import dated
from keras_gradguard.diagnosis.evidence.recurrent import unbounded
from keras_gradguard.diagnosis.remedies.gradients import for_nonfinite


def refused(trace, tell):
    """Judge a run whose last outputs torch refused, since they were NaN.

    Args:
        trace: `Trace`.
        tell: Callable that makes a finding, as `Rule.at_start`.
    """
    ran, output, free = len(trace.steps), trace.run.output, unbounded(trace.run)
    step = int(trace.steps[-1]) if ran else began(trace)
    when = f"became NaN behind step {step}" if ran else "are NaN at once"
    text = (
        f"The outputs of {output.layer} {when}, and torch ended the run. Its "
        "binary crossentropy takes predictions from 0 to 1, and "
        f"{output.activation} gives no others but NaN."
    )
    if free:
        text += (
            f" Nothing bounds the state of {names(free)}, so it may grow "
            "beyond all numbers within the time steps of one batch."
        )
    else:
        text += " Look at the data of that batch, and at the size of the steps."
    clue = "state" if free else "batch"
    layers = [*free, *output.layers]
    found = tell(
        "critical",
        layers,
        {"kind": "refused", "origin": clue, "records": ran},
        text,
        for_nonfinite(
            trace.run, layers, clue, capsule=trace.run.capsule if ran else None
        ),
    )
    return dated(trace, found, step, step)
