"""Rules on a loss that stays where it began, or falls too slowly."""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.reference import behind
from keras_gradguard.diagnosis.evidence.reference import hardly_in_words
from keras_gradguard.diagnosis.evidence.reference import in_words
from keras_gradguard.diagnosis.evidence.reference import of_reference
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.diagnosis.evidence.unmoved import BLIND
from keras_gradguard.diagnosis.evidence.unmoved import Unmoved
from keras_gradguard.diagnosis.evidence.way import way_gone
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies import training as changes_of_training
from keras_gradguard.diagnosis.remedies.training import change_rate
from keras_gradguard.diagnosis.remedies.training import with_normalization
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.findings.build import in_a_run

# A loss as near as that to a constant's, and weights that went so far.
NEAR_A_CONSTANT, WENT = 0.1, 0.1


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
    """Finds a loss that falls, but far too slowly for the planned time.

    * At the time of `loss_plateau` the loss is where that rule has it, but
      falls still. Steps that are too small for the plan are told by
      `update_ratio`.
    * After half of the plan, and 100 steps, the run knows less than half of
      what trivial learners get out of rows of the same batches. So say its
      loss, its outputs and what scores are logged. At its pace the loss would
      not get there in as long again.

    The learners are ridge regression, one and five nearest neighbours and a
    Gaussian kernel. Each row is told by the others. They have to get 30 % of
    what there is, less three standard errors.

    References:
        - [Zhang et al., AUTOTRAINER, ICSE 2021](https://github.com/shiningrain/AUTOTRAINER)
    """

    id = "slow_convergence"
    # As of `loss_plateau`.
    thresholds = {"fall": 0.05}  # noqa: RUF012
    effects = ("loss_plateau",)

    def check(self, trace):
        """See `Rule.check`."""
        return _unmoved(trace, self)


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
    hits = np.flatnonzero(flat | blind | (far := behind(trace)))
    if not len(hits):
        return []
    at = int(hits[0])
    stop = int(learning.steps[at])
    last = int(np.searchsorted(blocks.last_step, stop, "right")) - 1
    moves = _falls(progress.loss[: last + 1])
    falling = not blind[at] and (moves or not (flat | blind)[at])
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
    if far[hits].any():
        evidence |= of_reference(trace)
    if blind[at]:
        text += ". The outputs are the same for every input."
        fixes = for_plateau(trace)
    elif not flat[at]:
        text += ": the network knows far less than its data tell."
        fixes = changes_of_training.for_slow(trace, 10.0)
    elif nothing := _nothing_to_have(trace, learning, at):
        text += f". That is what a constant has, {nothing}. {_NO_ANSWER}"
        fixes = [look_at_rows(), *for_plateau(trace)[-1:]]
    elif falling:
        text += ": it falls, but far too slowly."
        fixes = changes_of_training.for_slow(trace, 10.0)
    else:
        text += ": nothing was learnt."
        fixes = for_plateau(trace)
    if far[hits].any():
        text += f" {in_words(trace)}: the inputs hold the answer. {_FAULT}"
    until = int(learning.steps[hits[-1]])
    return [_unlearnt(trace, rule.id, until, evidence, text, fixes)]


def _nothing_to_have(trace, learning, at):
    """Return a clause where weights went far and there is nothing to gain."""
    moved = way_gone(trace)[2][-1:]
    far = bool(len(moved)) and moved[0] > WENT
    at_constant = abs(learning.gain[at]) < NEAR_A_CONSTANT
    return hardly_in_words(trace) if far and at_constant else ""


_NO_ANSWER = "The inputs may not tell the targets."
_FAULT = "The fault lies in the network or in its training."


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


def look_at_rows():
    """Return the remedy for inputs that may not tell the targets."""
    return changes.words(
        "Look at rows of x beside those of y",
        "Where they belong together, you can see for a few rows why the "
        "target is what it is.",
        "for row in range(5):\n    print(y[row], x[row].ravel()[:12])",
    )


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
