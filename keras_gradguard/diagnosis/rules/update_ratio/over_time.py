"""A learning rate that ends too early, and a run that loses what it had.

Each judgement takes a `Trace` and returns a `Finding`, or None.
"""

import dataclasses

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.evidence.rates import rates_of
from keras_gradguard.diagnosis.evidence.rates import risen_by
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import AT_ONCE
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import BLOCKS
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import EARLY
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import ENDED
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import HOPELESS
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import LEARNT
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import (
    OVER_TIME_LOST,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import (
    OVER_TIME_PATIENCE,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import (
    OVER_TIME_THROWN,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SUDDEN
from keras_gradguard.findings.build import in_a_run


def ended_early(trace):
    """Judge whether a schedule took the rate away before anything was learnt.

    Told once the loss stalls behind that step and little was learnt.
    """
    learning = Learning.of(trace)
    plan = planned_steps(trace)
    if not len(learning) or not len(trace.steps):
        return None
    start = int(trace.steps[0])
    steps, rates = rates_of(trace)
    with np.errstate(invalid="ignore"):
        low = rates <= ENDED * np.fmax.accumulate(rates) if len(rates) else []
        if len(rates) and trace.run.optimizer.schedule:
            # What comes is known, too: one that warms up has not begun.
            coming = np.fmax.accumulate(rates[::-1])[::-1]
            low &= coming <= ENDED * np.nanmax(rates)
    ended = np.flatnonzero(low)
    if not len(ended):
        return None
    end = _end_of(steps, rates, int(ended[0]))
    if plan is not None and end - start > EARLY * plan:
        return None
    few = _hopeless_at(trace, end)
    if few is not None:
        return _ended(trace, rates, ended, end, few)
    run = learning.steps - end
    wait = max(OVER_TIME_PATIENCE, 0 if plan is not None else end - start)
    sudden = plan is not None and end - start <= min(
        SUDDEN["steps"], SUDDEN["of_plan"] * plan
    )
    if sudden:
        wait = of_plan(trace, *SUDDEN["wait"])
    with np.errstate(invalid="ignore"):
        little = (learning.fallen < 0.5) | (learning.gain < 0.5)
    with np.errstate(invalid="ignore"):
        learnt = learning.good | learning.at_ceiling
        if plan is not None and end - start < AT_ONCE * plan:
            # No run is through so soon, whatever it has learnt till then.
            learnt = (learning.fallen > 0.9) | (learning.score > 0.9)
    late = (run >= wait) & (learning.stalled | sudden)
    if sudden:
        late = run >= wait
        if int(trace.steps[-1]) - end >= wait and not _came_down(trace, end):
            # What was measured last by then shows it, once that is over.
            late[np.flatnonzero(run < wait)[-1:]] = True
        # In so few steps nothing is learnt, whatever the loss tells so far.
        little |= np.isnan(learning.fallen)
    seen = np.flatnonzero(late & little & ~learnt)
    if not len(seen):
        return None
    stop = int(learning.steps[seen[0]])
    if sudden:
        stop = max(stop, int(np.ceil(end + wait)))
    return _ended(trace, rates, ended, end, stop)


def _hopeless_at(trace, end):
    """Return the step by which a schedule is told that ends in a few steps.

    What it will be is known, and in so few steps no net learns.

    Args:
        trace: `Trace`.
        end: Int. The step at which it ends.

    Returns:
        Int, or None where the loss has to tell whether that is too early.
    """
    plan, start = planned_steps(trace), int(trace.steps[0])
    few = of_plan(trace, *HOPELESS["wait"])
    if plan is None or not trace.run.optimizer.schedule or start > 0:
        return None
    short = end - start <= min(HOPELESS["steps"], SUDDEN["of_plan"] * plan)
    if not short or len(trace.steps) < few:
        return None
    return int(trace.steps[few - 1])


def _ended(trace, rates, ended, end, stop):
    plan = planned_steps(trace)
    # It may be told before it ends.
    first = min(end, stop)
    highest, left = float(np.nanmax(rates)), float(rates[ended[0]])
    if not trace.run.optimizer.schedule:
        # A callback may have lowered it before it was logged first.
        highest = max(highest, trace.run.learning_rate or 0.0)
    part = f" of {plan:,} planned" if plan is not None else ""
    text = (
        f"The learning rate ends too early: it is {number(left)} from step "
        f"{end}{part} on. It began at {number(highest)}. "
    )
    if stop <= end:
        text += "The weights will hardly move from then on."
    else:
        text += (
            "The weights hardly move since then, and the loss stalls far from "
            "its goal."
        )
    constant = training.learning_rate(
        dataclasses.replace(trace.run.optimizer, learning_rate=highest),
        "Then the weights move for as long as the run takes.",
        highest,
    )
    constant = dataclasses.replace(
        constant, title="Keep the learning rate constant"
    )
    fixes = [constant]
    if not trace.run.optimizer.schedule:
        fixes = [training.without_callback(trace, "lowers", highest)]
    elif plan is not None:
        why = "It counts steps, which are batches and not epochs."
        whole = dataclasses.replace(
            training.schedule(why, plan, highest),
            title="Let the schedule last for the whole run",
        )
        fixes = [whole, constant]
    evidence = {
        "kind": "schedule",
        "learning_rate": left,
        "largest_rate": highest,
        "threshold": ENDED,
        "window": {"first_step": first, "last_step": stop},
    }
    return _finding(trace, "warning", first, evidence, text, fixes)


def _came_down(trace, step):
    """Whether the loss of the records had fallen to a tenth by a step."""
    loss = trace.extra.get("loss")
    if loss is None:
        return True
    before = loss[: int(np.searchsorted(trace.steps, step, "right"))]
    part = max(1, len(before) // 4)
    with np.errstate(all="ignore"):
        first, last = np.mean(before[:part]), np.mean(before[-part:])
        return not bool(first - last < 0.9 * abs(first))


def _end_of(steps, rates, at):
    """Return the step by which a rate has ended, between two that are known."""
    limit = ENDED * float(np.nanmax(rates[: at + 1]))
    before, now = (float(rates[i]) for i in (max(0, at - 1), at))
    if at < 1 or not before > limit >= now > 0:
        return int(steps[at])
    # Most schedules fall by a factor at each step.
    part = np.log(before / limit) / np.log(before / now)
    return int(np.ceil(steps[at - 1] + part * (steps[at] - steps[at - 1])))


def never_begins(trace):
    """Judge whether a warm-up takes longer than the run.

    By its planned end the rate is a fiftieth of what it would become.
    """
    plan, schedule = planned_steps(trace), trace.run.optimizer.schedule
    few = of_plan(trace, *SUDDEN["wait"])
    learning = Learning.of(trace)
    if plan is None or not schedule or len(trace.steps) < few:
        return None
    steps, rates = rates_of(trace)
    start, stop = int(trace.steps[0]), int(trace.steps[few - 1])
    if not np.isfinite(rates).all() or int(steps[0]) != start:
        return None
    reached = float(np.interp(start + plan, steps, rates))
    reached = max(reached, float(rates[steps <= start + plan].max()))
    highest = float(rates.max())
    if not reached < ENDED * highest or len(learning) < 1:
        return None
    seen = learning.steps[(learning.steps >= stop) & ~learning.good]
    if not len(seen):
        return None
    text = (
        f"The warm-up takes longer than the run: after all {plan:,} planned "
        f"steps the learning rate is {number(reached)}, on its way to "
        f"{number(highest)}. The schedule counts steps, which are batches."
    )
    whole = dataclasses.replace(
        training.schedule("It then falls again by its end.", plan, highest),
        title="Let the schedule last for the whole run",
    )
    evidence = {
        "kind": "schedule",
        "learning_rate": reached,
        "largest_rate": highest,
        "threshold": ENDED,
        "window": {"first_step": start, "last_step": int(seen[0])},
    }
    return _finding(trace, "warning", start, evidence, text, [whole])


@dataclasses.dataclass(frozen=True)
class Lost:
    """Where a run lost what it had learnt.

    Attributes:
        since: Int. First step at which the loss lies by the first again.
        stop: Int. Step by which that was plain.
        first: Float. The loss at the start.
        best: Float. The lowest before it.
        late: Float. That of late.
    """

    since: int
    stop: int
    first: float
    best: float
    late: float


def lost(trace):
    """Return where a run lost what it had learnt for good, a `Lost` or None.

    The loss had fallen to half of the first and lies by it again, for fifty
    records, without falling. Or it is twice the first, where the gradient is
    smaller than it was: one that grew tells of a divergence.
    """
    blocks, progress = trace.blocks(), Progress.of(trace)
    if len(blocks) < 3 * BLOCKS or not progress.per_batch:
        return None
    loss = progress.loss
    with np.errstate(invalid="ignore", over="ignore"):
        best = np.fmin.accumulate(loss)
        first = progress.first
        had = first - best >= LEARNT * abs(first)
        gone = first - loss <= OVER_TIME_LOST * abs(first)
        bad = had & gone & (loss > best + LEARNT * abs(first))
        thrown = loss > first + OVER_TIME_THROWN * abs(first)
        # A gradient of 0 has no logarithm.
        bad |= thrown & ~(blocks.global_log >= blocks.global_log[0])
    if not np.isfinite(first) or not bad.any():
        return None
    window = np.convolve(bad, np.ones(BLOCKS, int))[: len(bad)] >= BLOCKS
    stalled = progress.stalled(2 * BLOCKS, 0.05)
    hits = np.flatnonzero(window & stalled)
    if not len(hits):
        return None
    last = int(hits[0])
    begin = last
    while begin and bad[begin - 1]:
        begin -= 1
    return Lost(
        since=int(blocks.first_step[begin]),
        stop=int(blocks.last_step[last]),
        first=float(first),
        best=float(best[begin]),
        late=float(loss[last]),
    )


def lost_again(trace):
    """Judge whether a run lost what it had learnt, for good. See `lost`."""
    told = lost(trace)
    if told is None:
        return None
    text = (
        f"What was learnt is lost: since step {told.since} the loss is "
        f"{number(told.late)}. It had gone from {number(told.first)} to "
        f"{number(told.best)}. A step was too large."
    )
    _, rates = rates_of(trace)
    rising = len(rates) and np.nanmax(rates) > 3 * rates[0]
    if rising:
        text += (
            f" The learning rate rises from {number(float(rates[0]))} to "
            f"{number(float(np.nanmax(rates)))}."
        )
    fixes = [
        training.lower_rate(
            trace.run, 10, "Smaller steps do not throw away what was learnt."
        )
    ]
    if rising and not trace.run.optimizer.schedule:
        rate = float(min(rates[0], trace.run.learning_rate or rates[0]))
        fixes = [training.without_callback(trace, "raises", rate)]
    elif rising and (before := risen_by(trace, told.since)) is not None:
        fixes = [training.keep_rate(trace, before)]
    evidence = {
        "kind": "lost",
        "loss_first": told.first,
        "loss_best": told.best,
        "loss": told.late,
        "threshold": OVER_TIME_LOST,
        "window": {"first_step": told.since, "last_step": told.stop},
    }
    return _finding(trace, "critical", told.since, evidence, text, fixes)


def _finding(trace, severity, first, evidence, text, fixes):
    return in_a_run(
        trace,
        rule="update_ratio",
        severity=severity,
        layers=[],
        first_step=first,
        last_step=max(first, int(trace.steps[-1])),
        evidence=evidence,
        message=text,
        remedies=fixes,
    )
