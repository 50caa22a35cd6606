"""Two networks that train each other, of which one has won.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.logged import losses_of_sides
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import AHEAD
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import EPOCHS
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import GROWN
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import OF_EPOCHS
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import WON
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.findings.remedy import Remedy


def one_side_won(trace):
    """Judge whether one side of an adversarial pair has won.

    By the logs of the epochs: one loss is next to nothing, the other has
    doubled and climbs, for three epochs and a tenth of the epochs so far. Or
    one is below 0.01 and falls in each of three epochs, while the other climbs.

    References:
        - [Arjovsky and Bottou, 2017](https://arxiv.org/abs/1701.04862), on what
          a generator gets from a perfect discriminator.
        - [Heusel et al., 2017](https://arxiv.org/abs/1706.08500), on a rate for
          each side.
    """
    losses = losses_of_sides(trace)
    if losses is None or not len(trace.steps):
        return None
    for winner, loser in (list(losses), list(losses)[::-1]):
        found = _won(trace, winner, losses[winner], loser, losses[loser])
        if found is not None:
            return found
    return None


def _won(trace, winner, low, loser, high):
    # A critic's score is no loss: it may lie below 0.
    if not (np.isfinite(low).all() and (low >= 0).all() and low[0] > 0):
        return None
    if not np.isfinite(high).all():
        return None
    limit = min(WON["share"] * low[0], WON["loss"])
    bad = (low < limit) & (high > GROWN * abs(high[0]))
    bad |= _goes_on(low, high)
    for at in np.flatnonzero(bad):
        count = max(EPOCHS, int(np.ceil(OF_EPOCHS * (at + 1))))
        begin = at + 1 - count
        if begin < 0 or not bad[begin : at + 1].all():
            continue
        if high[at] <= high[begin]:
            continue
        return _finding(trace, winner, low, loser, high, begin, at, bad)
    return None


def _goes_on(low, high):
    """Return (E,): one side has all but won, and goes on from epoch to epoch.

    What swings to and fro may find its balance again.
    """
    ahead = low < min(WON["share"] * low[0], AHEAD["loss"])
    ahead &= high > AHEAD["grown"] * abs(high[0])
    ahead[1:] &= (np.diff(low) < 0) & (np.diff(high) > 0)
    return ahead


def _finding(trace, winner, low, loser, high, begin, at, bad):
    # An epoch begins where the one before it ends.
    first = int(trace.epoch_steps[begin - 1]) + 1 if begin else 0
    first = max(first, int(trace.steps[0]))
    text = (
        f"The {winner} has won: its loss went from {number(float(low[0]))} to "
        f"{number(float(low[at]))}, that of the {loser} from "
        f"{number(float(high[0]))} to {number(float(high[at]))}. What the "
        f"{loser} gets from it no longer tells it what to change."
    )
    other = loser[0]
    fixes = [
        Remedy(
            f"Lower the learning rate of the {winner}",
            f"Then the {loser} can follow.",
            f"model.{winner[0]}_optimizer.learning_rate = "
            f"0.1 * model.{winner[0]}_optimizer.learning_rate",
        ),
        Remedy(
            f"Raise the learning rate of the {loser}",
            "Each side may have a rate of its own.",
            f"model.{other}_optimizer.learning_rate = "
            f"3 * model.{other}_optimizer.learning_rate",
        ),
    ]
    return in_a_run(
        trace,
        rule="update_ratio",
        severity="critical",
        layers=[],
        first_step=first,
        last_step=int(trace.epoch_steps[np.flatnonzero(bad)[-1]]),
        evidence={
            "kind": "one_side",
            "loss_first": float(low[0]),
            "loss": float(low[at]),
            "other_loss_first": float(high[0]),
            "other_loss": float(high[at]),
            "threshold": WON["loss"],
            "window": {
                "first_step": first,
                "last_step": int(trace.epoch_steps[at]),
            },
        },
        message=text,
        remedies=fixes,
    )
