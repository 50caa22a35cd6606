"""When a run began, what its data are like, and when it fared badly."""

import dataclasses

import numpy as np

from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import first_loss
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.diagnosis.evidence.stretches import derived
from keras_gradguard.diagnosis.evidence.stretches import gone_records
from keras_gradguard.trace.facts import DataFacts
from keras_gradguard.trace.series import DATA_SERIES

# Records after which a run that goes well shows it: share of the plan, fewest
# and most.
_PATIENCE = 0.03, 12, 30
# Records after which outputs that follow the targets are no excuse for a loss
# that did not fall at all.
_LONG = 100
# A loss ten times that of a constant prediction, however it falls.
_FAR = -9.0
# Records of gradients that are all 0, and a probability that is none.
_AT_ONCE, _NOTHING, _SOME = (0.04, 3, 10), 1e-6, 0.1
_PROBABILITIES = ("softmax", "sigmoid")


def began(trace):
    """Return the step at which a run began, also before its first record."""
    for steps in (trace.steps, trace.update_steps):
        if len(steps):
            return int(steps[0])
    return 0


@derived
def facts_of(trace):
    """Return the `DataFacts` of the first measured batch.

    The first alone, so that a verdict does not change with the batches that
    follow.
    """
    if not len(Learning.of(trace)):
        return DataFacts()
    known = {field.name for field in dataclasses.fields(DataFacts)}
    first = {
        name: _number(trace.data(name)[0])
        for name in DATA_SERIES
        if name in known
    }
    fraction = _number(trace.data("target_fraction")[0])
    distance = _number(trace.data("target_row_sum")[0])
    target, output = trace.run.data.target_shape, trace.run.data.output_shape
    columns = width = None
    if target is not None and output:
        width = output[-1] if isinstance(output[-1], int) else None
        columns = 1
        if len(target) == len(output) and isinstance(target[-1], int):
            columns = target[-1]
    return DataFacts(
        **first,
        target_integer=None if fraction is None else fraction == 0,
        target_columns=columns,
        target_row_sum_is_one=None if distance is None else distance < 1e-3,
        output_columns=width,
    )


def not_learnt_until(trace, step):
    """Return the last step at which the model had not learnt a good part.

    Args:
        trace: The `Trace`.
        step: Int. A step at which it had not.
    """
    learning = Learning.of(trace)
    late = learning.steps[(learning.steps > step) & ~learning.good]
    return int(late[-1]) if len(late) else int(step)


@derived
def harmed_at(trace):
    """Return the step by which a run was seen to fare badly, or None.

    Its loss was not finite, or far above the first; or after 30 records it had
    learnt next to nothing, by the loss and by outputs that do not follow the
    targets; or after 100 the loss was still ten times that of a constant. Or
    all outputs were 0 or 1 exactly, and no gradient was left.
    """
    if not len(trace.steps):
        return None
    blocks = trace.blocks()
    progress, learning = Progress.of(trace), Learning.of(trace)
    gone = gone_records(trace) & ~trace.skipped
    found = [int(step) for step in trace.steps[gone][:1]]
    if progress.per_batch:
        start = first_loss(trace, progress)
        with np.errstate(over="ignore", invalid="ignore"):
            above = progress.loss - start > 9 * abs(start)
        found += [int(step) for step in blocks.last_step[above][:1]]
    found += _loss_gone(trace)
    if certain_at_once(trace):
        few = of_plan(trace, *_AT_ONCE)
        found.append(int(trace.steps[min(few, len(trace.steps)) - 1]))
    run = learning.steps - int(trace.steps[0])
    patience = of_plan(trace, *_PATIENCE)
    bad = (run >= patience) & learning.idle(share=0.1, follows=0.3)
    with np.errstate(invalid="ignore"):
        unmoved = learning.stalled & (learning.fallen < 0.02)
        scored = learning.score - learning.chance > 0.5 * (1 - learning.chance)
        far = (learning.gain < _FAR) & ~(learning.follows >= 0.3)
    bad |= (run >= _LONG) & (unmoved | far) & ~scored
    bad = np.flatnonzero(bad)
    if len(bad):
        found.append(int(learning.steps[bad[0]]))
    return min(found) if found else None


def certain_at_once(trace):
    """Whether no gradient is left since all outputs are 0 or 1 exactly.

    A softmax or sigmoid of huge numbers is; its loss has no slope there.
    """
    output = trace.run.output
    if output is None or output.activation not in _PROBABILITIES:
        return False
    few = of_plan(trace, *_AT_ONCE)
    norms = trace.get("grad_norm", by="variable")[:few]
    norms = norms[:, trace.has_gradient]
    if len(norms) < few or not norms.shape[1]:
        return False
    # One that got through may have thrown the weights still further off.
    if (norms != 0).any(axis=1).sum() > _SOME * few or (norms[0] != 0).any():
        return False
    if not len(trace.activation_steps):
        return False
    low, high = (float(trace.data(f"output_{e}")[0]) for e in ("min", "max"))
    return low < _NOTHING and high > 1 - _NOTHING


def wanting_at(trace):
    """Return the step by which a run stalled far from its goal, or None."""
    learning = Learning.of(trace)
    late = learning.steps - began(trace) >= _LONG
    wanting = np.flatnonzero(late & learning.stalled & ~learning.good)
    return int(learning.steps[wanting[0]]) if len(wanting) else None


def bad_at(trace):
    """Return the step by which a run fared badly, or else stalled, or None."""
    seen = harmed_at(trace)
    return wanting_at(trace) if seen is None else seen


def ended_at(trace):
    """Return the last step of a short run that learnt next to nothing, or None.

    One that has taken its planned steps and is too short for the others.
    """
    plan, learning = planned_steps(trace), Learning.of(trace)
    if plan is None or plan > _PATIENCE[2]:
        return None
    if not len(learning) or not len(trace.steps):
        return None
    last = int(trace.steps[-1])
    if last - int(trace.steps[0]) + 1 < plan or learning.good[-1]:
        return None
    return None if learning.fallen[-1] > 0.5 else last


def _loss_gone(trace):
    """Return [the step by which the loss was seen not to be finite], or []."""
    loss = trace.logs.get("loss")
    if loss is None:
        return []
    gone = ~np.isfinite(loss)
    # Not to be had, as in the logs of a loop of one's own, is not gone.
    if not (np.isfinite(loss).any() or len(loss) > 1):
        return []
    return [int(step) for step in trace.epoch_steps[gone][:1]]


def _number(value):
    return float(value) if np.isfinite(value) else None


def dated(trace, finding, first, seen):
    """Return a finding on the steps from `first` to `seen`."""
    return dataclasses.replace(
        finding,
        first_step=first,
        last_step=max([seen, *trace.steps[-1:].tolist()]),
        epoch=trace.epoch_of(first),
        evidence={
            **finding.evidence,
            "window": {"first_step": first, "last_step": seen},
        },
    )
