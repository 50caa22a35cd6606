"""What becomes of findings: raised, confirmed, resolved or withdrawn."""

import dataclasses

import numpy as np

from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.evidence.scores import guessed_so_far
from keras_gradguard.findings.causes import SYMPTOMS
from keras_gradguard.findings.causes import ranked
from keras_gradguard.findings.causes import trace_causes

# What a slow start shows, and a run may outgrow.
_OUTGROWN = (
    "loss_plateau",
    "slow_convergence",
    "vanishing_gradient",
    "poor_initialization",
)
_KINDS = (
    "rare_class",
    "penalty",
    "dropout",
    "first_steps",
    "unrelated",
    "averaged_away",
    "scores_cut_off",
    "class_weighs_nothing",
    "summed",
    "untracked",
)
# Critical ones among them that tell of a start as such.
_OF_SLOW_STARTS = ("vanishing_gradient", "poor_initialization")
# Correlation of outputs and targets of a run that has learnt.
_FOLLOWS = 0.6
# Share of the way from a constant prediction, or from chance, to the best.
_MOST = 0.5
# Measurements in a row at which the model has learnt.
_FOR_GOOD = 3
# They need no second look.
_AT_ONCE = ("nonfinite_gradient",)


def lived(trace, findings, effects):
    """Return the findings that stand, and all with their status.

    What a slow start shows is resolved once the model has learnt a good
    part, at three measurements in a row up to the last, or once most of it is
    learnt when the run is over. A symptom is, too, where the loss has come most
    of the way from a constant's by then. What is critical needs most of it
    learnt, by the loss and by outputs or a score. What follows from another
    finding and needs no telling is withdrawn. A finding is confirmed where it
    holds still after as many steps again as were needed to tell it; a gradient
    that is not finite needs no second look.

    Args:
        trace: `Trace` of the run.
        findings: List of `Finding`.
        effects: Dict from a rule id to the ids of what may follow from it.

    Returns:
        List of `Finding` that stand, and the list of all.
    """
    last = int(trace.steps[-1]) if len(trace.steps) else 0
    aged = [_aged(trace, finding, last) for finding in findings]
    gone = [f for f in aged if f.status == "resolved"]
    stand = trace_causes([f for f in aged if f.status != "resolved"], effects)
    told = {finding.key for finding in [*stand, *gone]}
    withdrawn = [withdraw(f, stand) for f in aged if f.key not in told]
    history = sorted([*stand, *gone, *withdrawn], key=lambda f: f.first_step)
    return stand, history


def withdraw(finding, stand):
    """Return a finding as withdrawn, with the cause that explains it.

    Args:
        finding: `Finding`.
        stand: List of `Finding`. Those that stand.
    """
    leads = ranked([f for f in stand if f.cause is None])
    why = leads[0].rule if leads else None
    return dataclasses.replace(finding, status="withdrawn", cause=why)


def confirmed_at(finding):
    """Return the step at which a finding that holds still is confirmed.

    Args:
        finding: `Finding`.
    """
    seen = told_at(finding)
    return seen + max(1, seen - finding.first_step + 1)


def _aged(trace, finding, last):
    seen = told_at(finding)
    step = _outgrown_at(trace, finding, seen)
    if step is not None:
        return dataclasses.replace(
            finding, status="resolved", resolved_step=step
        )
    # What was confirmed once needs no proof when its records are thinned out.
    sure = finding.rule in _AT_ONCE or finding.status == "confirmed"
    sure |= last >= confirmed_at(finding) and _holds(finding, seen)
    return dataclasses.replace(
        finding, status="confirmed" if sure else "raised", resolved_step=None
    )


def _holds(finding, seen):
    """Whether it showed in later records, too.

    Blocks and measurements lag behind the latest record, so half of the way
    is asked for.
    """
    need = confirmed_at(finding) - seen
    return finding.last_step - seen >= need / 2


def told_at(finding):
    """Return the step from which on a finding could be reported.

    Args:
        finding: `Finding`.
    """
    window = finding.evidence.get("window")
    step = window.get("last_step") if isinstance(window, dict) else None
    return int(step) if isinstance(step, int) else int(finding.first_step)


def _for_sure(learning):
    """Return where most was learnt, by the loss, and by outputs or a score."""
    with np.errstate(invalid="ignore"):
        room = 1 - learning.chance
        scored = learning.score - learning.chance > _MOST * room
        followed = learning.follows > _FOLLOWS
        return (learning.gain > _MOST) & (scored | followed)


def _most_of_the_way(learning):
    """Return where the loss has come most of the way from a constant's."""
    with np.errstate(invalid="ignore"):
        return (
            (learning.gain > _MOST)
            & (np.nan_to_num(learning.follows) > _FOLLOWS / 2)
            & ~learning.shrunk
            & ~learning.belied
        )


def _has_come_to_follow(trace, learning):
    """Return where the loss is as low as outputs that follow have it.

    Where validation stays at guessing it does not count.
    """
    with np.errstate(invalid="ignore"):
        follows = learning.follows > _FOLLOWS / 2
    by_heart = guessed_so_far(trace, learning.steps)
    return learning.at_ceiling & follows & ~by_heart


def _is_over(trace):
    """Whether a run has taken the steps that it was to take."""
    plan = planned_steps(trace)
    return plan is not None and trace.steps[-1] - trace.steps[0] + 1 >= plan


def _outgrown_at(trace, finding, seen):
    """Return the step from which on the model has learnt, or None."""
    slow = finding.rule in _OUTGROWN or finding.evidence.get("kind") == "reach"
    slow = slow and finding.severity == "warning"
    soon = finding.evidence.get("soon") is True
    grave = finding.rule in _OF_SLOW_STARTS and finding.severity == "critical"
    if not (slow or soon or grave or finding.evidence.get("kind") in _KINDS):
        return None
    learning = Learning.of(trace)
    good = learning.good
    later = np.flatnonzero(learning.steps > seen)
    enough = _FOR_GOOD
    if grave:
        # Long after a start the measurements are far apart.
        good = good & _for_sure(learning)
        enough = max(1, min(_FOR_GOOD, len(later)))
    elif not slow:
        # Of these the loss may fall as far without anything learnt.
        good = good & (np.nan_to_num(learning.follows) > _FOLLOWS)
        if finding.evidence.get("kind") == "unrelated":
            good = good | _has_come_to_follow(trace, learning)
        sure = bool(len(later)) and (good & _for_sure(learning))[-1]
        if not soon and sure and _is_over(trace):
            enough = 1  # no more are to come
    elif finding.rule in SYMPTOMS and len(later) and _is_over(trace):
        # Its loss is all that a symptom tells of.
        fell = _most_of_the_way(learning)
        if fell[-1]:
            good, enough = good | fell, 1
    if len(later) < enough or not good[later[-enough:]].all():
        return None
    bad = np.flatnonzero(~good[later])
    first = int(bad[-1]) + 1 if len(bad) else 0
    return int(learning.steps[later[first]])
