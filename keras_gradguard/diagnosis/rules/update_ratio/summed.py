"""Plain steps that are too large, since the loss is a sum over the batch.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.batch import summed_over
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.harm import not_learnt_until
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import still_short
from keras_gradguard.diagnosis.evidence.thrown import moved_first
from keras_gradguard.diagnosis.remedies import code
from keras_gradguard.diagnosis.remedies.expressions import call
from keras_gradguard.diagnosis.remedies.expressions import is_call
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SUMMED
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.findings.remedy import Remedy

# What a step that is too large is told as otherwise.
_TOO_LARGE = ("first_steps", "lost")


def summed(trace, others):
    """Judge whether the sum over a batch makes plain steps too large.

    The gradient of a sum is that of the mean times the number of values, and
    so is a step of plain gradient descent. A step of Adam does not depend on
    the size of gradients.

    Args:
        trace: `Trace` of the run.
        others: List of `Finding`, what else is told of its updates.
    """
    optimizer, count = trace.run.optimizer, summed_over(trace)
    if not optimizer.plain or optimizer.clipped or not count >= SUMMED["many"]:
        return None
    known = [
        finding.evidence["window"]["last_step"]
        for finding in others
        if finding.evidence.get("kind") in _TOO_LARGE
    ]
    if not known and (harmed := harmed_at(trace)) is not None:
        known = [harmed]
    # Where a step made the loss overflow, no more than that one was measured.
    rate, moved = optimizer.learning_rate, moved_first(trace)
    if not known and moved >= SUMMED["anew"]:
        known = _short(trace)
    if not known or moved < SUMMED["moved"] or not rate:
        return None
    seen = min(known)
    start = int(trace.steps[0])
    return in_a_run(
        trace,
        rule="update_ratio",
        severity="critical",
        layers=[],
        first_step=start,
        last_step=not_learnt_until(trace, seen),
        evidence={
            "kind": "summed",
            "values": count,
            "threshold": SUMMED["many"],
            "window": {"first_step": start, "last_step": seen},
        },
        message=(
            "The loss is the sum over a batch, by reduction='sum', and not "
            f"the mean. It has {count:,.0f} values, so the gradient is "
            "that many times as large, and so is each step of "
            f"{optimizer.name}. A learning rate of {number(rate)} does what "
            f"{number(rate * count)} does with a mean."
        ),
        remedies=[
            Remedy(
                "Take the mean of the loss",
                "That is what Keras does where no reduction is given. Then "
                "the step does not depend on the size of the batch.",
                _mean(trace.run),
            )
        ],
    )


def _short(trace):
    """Return the steps at which little is learnt from weights set anew."""
    short = still_short(trace, SUMMED["learnt"], SUMMED["wait"])
    return Learning.of(trace).steps[short].tolist()


def _mean(run):
    loss = run.compiled.get("loss")
    if is_call(loss):
        kept = dict(loss["arguments"])
        kept.pop("reduction", None)
        return code.compile_with(run, loss=call(loss["call"], **kept))
    return "model.loss.reduction = 'sum_over_batch_size'\n" + (
        code.compile_with(run)
    )
