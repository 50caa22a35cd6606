"""Rules on a loss that stays where it began, or falls too slowly."""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import not_learnt_until
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.diagnosis.evidence.stretches import columns
from keras_gradguard.diagnosis.evidence.stretches import judged_layers
from keras_gradguard.diagnosis.evidence.stretches import median_known
from keras_gradguard.diagnosis.evidence.unmoved import BLIND
from keras_gradguard.diagnosis.evidence.unmoved import Unmoved
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies import training as changes_of_training
from keras_gradguard.diagnosis.remedies.rates import AT_ONCE
from keras_gradguard.diagnosis.remedies.rates import RANGES
from keras_gradguard.diagnosis.remedies.training import change_rate
from keras_gradguard.diagnosis.remedies.training import with_normalization
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.findings.build import in_a_run

_REACH = {
    "hopeless": 0.015,
    "of_plan": 0.02,
    "steps": 20,
    "planned": 200,
}


class LossPlateau(Rule):
    """Finds a loss that stays where it began.

    * The loss has not fallen by 5 %, or no lower than that of a constant, and
      the outputs do not follow the targets. This is reported after half of
      the planned steps, and 500 (2000 where the plan is not known). Healthy
      deep tanh nets sit at their start for a quarter of the time, and healthy
      narrow ones for some hundred steps, so nothing is said before.
    * Sooner, after 5 % of the planned steps and 100 records, where the outputs
      were the same for every input from the start.

    Where the loss still falls, if too slowly, `slow_convergence` tells it.
    """

    id = "loss_plateau"
    # Of the first loss: what has to be gone after half of the plan.
    thresholds = {"fall": 0.05}  # noqa: RUF012

    def check(self, trace):
        """See `Rule.check`."""
        return _unmoved(trace, self)


class SlowConvergence(Rule):
    """Finds a run whose steps cannot take it there in the planned time.

    * All planned updates, if they went in one direction, would move the
      weights by less than 0.15 of their size. The limit is 0.015, if the
      steps have grown since the start, as with momentum. This is reported
      after 2 % of the plan, unless the steps grow, as in a warm-up, or the
      run has learnt all the same, as in fine-tuning.
    * At the time of `loss_plateau` the loss is where that rule has it, but
      falls still.

    References:
        - [Zhang et al., AUTOTRAINER, ICSE 2021](https://github.com/shiningrain/AUTOTRAINER)
    """

    id = "slow_convergence"
    # As of `loss_plateau`; and of the weights, by all planned steps together.
    thresholds = {"fall": 0.05, "reach": 0.15}  # noqa: RUF012
    effects = (
        "update_ratio",
        "loss_plateau",
    )

    def check(self, trace):
        """See `Rule.check`."""
        return _short_of_reach(trace, self.limit("reach")) or _unmoved(
            trace, self
        )


def _short_of_reach(trace, far):
    plan = planned_steps(trace)
    blocks = trace.blocks()
    if plan is None or plan < _REACH["planned"] or not len(blocks):
        return []
    steps, ratio = trace.measured("update_ratio")
    done = int(np.searchsorted(steps, blocks.last_step[-1], "right"))
    steps = steps[:done]
    ratio = columns(ratio[:done], judged_layers(trace)).astype(np.float64)
    known = np.isfinite(ratio).any(axis=1) if ratio.shape[1] else []
    steps, ratio = steps[known], ratio[known]
    if len(steps) < 5:
        return []
    middle = median_known(ratio)
    with np.errstate(over="ignore"):
        reach = np.maximum.accumulate(middle) * plan
    learning = Learning.of(trace)
    start = int(trace.steps[0])
    wait = max(_REACH["steps"], _REACH["of_plan"] * plan)
    for at in np.flatnonzero((reach < far) & (middle > 0)):
        if at < 4 or steps[at] - start < wait:
            continue
        seen = learning.at(steps[at])
        if seen < 0 or _may_reach(steps - start, middle, reach, at):
            continue
        if learning.good[seen] or not learning.little(0.3)[seen]:
            continue
        stop = int(steps[at])
        evidence = {
            "update_ratio": float(np.mean(middle[: at + 1])),
            "reach": float(reach[at]),
            "planned_steps": plan,
            "threshold": far,
            "window": {"first_step": start, "last_step": stop},
        }
        text = (
            "The learning rate is too small: one update changes the weights "
            f"by {number(middle[at])} of their size. All {plan:,} planned "
            f"steps in one direction would move them by {number(reach[at])} of "
            "their size, which is too little to learn."
        )
        fixes = for_slow(trace, 3.0 / reach[at])
        still = (reach < far) & (steps >= stop)
        until = min(int(steps[still][-1]), not_learnt_until(trace, stop))
        return [
            _unlearnt(trace, "slow_convergence", until, evidence, text, fixes)
        ]
    return []


def _may_reach(run, middle, reach, at):
    """Whether steps that have grown since the start may grow far enough.

    They do in a warm-up, in the first tens of steps with momentum, and where a
    net sits on a plateau at its start.
    """
    if middle[at] <= 1.5 * middle[0]:
        return False
    half = int(np.searchsorted(run, run[at] / 2, "right")) - 1
    grows = middle[at] > 1.5 * middle[half]
    return grows or reach[at] > _REACH["hopeless"]


def _unmoved(trace, rule):
    """Return the finding of a loss near its start, if it is of that rule."""
    blocks = trace.blocks()
    progress = Progress.of(trace)
    learning = Learning.of(trace)
    if not progress.known or not len(learning):
        return []
    start = int(trace.steps[0])
    unmoved = Unmoved.of(trace, rule.limit("fall"))
    flat, blind = unmoved.flat, unmoved.blind
    hits = np.flatnonzero(flat | blind)
    if not len(hits):
        return []
    at = int(hits[0])
    stop = int(learning.steps[at])
    last = int(np.searchsorted(blocks.last_step, stop, "right")) - 1
    falling = not blind[at] and _falls(progress.loss[: last + 1])
    if (rule.id == "slow_convergence") != falling:
        return []
    fallen = float(learning.fallen[at])
    follows = float(learning.follows[at])
    evidence = {
        "loss_first": progress.first,
        "loss": float(progress.loss[last]),
        "fallen": fallen,
        "output_correlation": follows,
        "threshold": BLIND["share"] if blind[at] else rule.limit("fall"),
        "window": {"first_step": start, "last_step": stop},
    }
    text = (
        f"After {stop - start:,} steps the loss is "
        f"{number(progress.loss[last], 4)}, "
        f"against {number(progress.first, 4)} at the start"
    )
    if blind[at]:
        text += ". The outputs are the same for every input."
        fixes = for_plateau(trace)
    elif falling:
        text += ": it falls, but far too slowly."
        fixes = for_slow(trace, 10.0)
    else:
        text += ": nothing was learnt."
        fixes = for_plateau(trace)
    until = int(learning.steps[hits[-1]])
    return [_unlearnt(trace, rule.id, until, evidence, text, fixes)]


def _unlearnt(trace, rule, until, evidence, text, fixes):
    start = int(trace.steps[0])
    return in_a_run(
        trace,
        rule=rule,
        severity="warning",
        layers=[],
        first_step=start,
        last_step=until,
        evidence=evidence,
        message=text,
        remedies=fixes,
    )


def _falls(loss):
    """Whether the loss falls from fifth to fifth, if only a little."""
    loss = loss[np.isfinite(loss)]
    if len(loss) < 10:
        return False
    parts = [part.mean() for part in np.array_split(loss, 5)]
    return bool((np.diff(parts) < 0).sum() >= 4)


def for_slow(trace, factor, at_once=AT_ONCE):
    """Return remedies for a run that learns too slowly.

    Args:
        trace: The `Trace`.
        factor: Float. How much larger the steps should be.
        at_once: Float. The largest factor of the learning rate.
    """
    factor = float(max(factor, 3.0))
    why = "The weights then move as far as training usually takes."
    faster = change_rate(trace, factor, why, at_once)
    found = [faster]
    if trace.run.optimizer.name != "Adam":
        adam = changes_of_training.adam("It finds a step size for each weight.")
        found += [adam, with_normalization(adam)]
        usual = RANGES.get(trace.run.optimizer.name, (0, 0, 0.0))[2]
        if usual > AT_ONCE * (trace.run.learning_rate or usual):
            # As of Adadelta's default: ten times as much is not enough.
            found = [adam, faster, *found[2:]]
    else:
        found.append(with_normalization(faster))
    found.append(
        changes.words(
            "Train longer",
            "At this pace the planned epochs are too few.",
            f"model.fit(x, y, epochs={10 * (trace.run.epochs_planned or 10)})",
        )
    )
    return found


def for_plateau(trace):
    """Return remedies for a loss that stays where it began."""
    faster = change_rate(trace, 3.0, "Larger steps leave a plateau sooner.")
    found = []
    if trace.run.optimizer.name != "Adam":
        why = "It leaves plateaus on which plain SGD hardly moves."
        adam = changes_of_training.adam(why)
        found += [adam, with_normalization(adam)]
    else:
        found.append(with_normalization(faster))
    return [
        *found,
        faster,
        changes.words(
            "Fit a few samples first",
            "If a model cannot learn 16 samples by heart, something in it is "
            "connected wrongly, or its targets do not belong to its inputs.",
            "model.fit(x[:16], y[:16], epochs=500)",
        ),
    ]
