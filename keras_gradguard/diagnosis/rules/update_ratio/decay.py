"""A weight decay that outweighs the task.

The judgements of a run return a `Finding`, or None.
"""

import math

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import AS_EXPLAINED
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import FADED
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import (
    OUTWEIGHED_USUAL,
)
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import SHARP_DECAY
from keras_gradguard.diagnosis.rules.update_ratio.weighing import faded_layers
from keras_gradguard.diagnosis.rules.update_ratio.weighing import outweighs


def decay_at_start(run):
    """Return evidence, text and remedy of a decay no weight lasts under."""
    part, decay = decay_of_a_step(run), run.optimizer.weight_decay
    if part < SHARP_DECAY:
        return None
    text = (
        f"The weight decay outweighs the task: each step takes "
        f"{number(100 * part)} % off the weights, whatever the data say. It is "
        f"{number(decay)}."
    )
    evidence = {
        "kind": "decay",
        "weight_decay": float(decay),
        "threshold": SHARP_DECAY,
    }
    return evidence, text, [_weaken_decay()]


def decay_at_once(trace, learning, steps, norm, few):
    """Judge a decay under which no weight lasts, without a look at the loss.

    By the first measurement at which half of the weights has to be gone, they
    are as small as the decay alone makes them.

    Args:
        trace: `Trace`.
        learning: `Learning` of the run.
        steps: Int array (K,). When weights were measured.
        norm: Float array (K, L). Their norms, by layer.
        few: Int. Records to wait for at least.
    """
    part = decay_of_a_step(trace.run)
    if part < SHARP_DECAY:
        return None
    run = steps - int(trace.steps[0])
    due = np.flatnonzero((run + 1 >= few) & (part * run >= np.log(2)))
    due = due[steps[due] <= trace.steps[-1]]
    if not len(due) or learning.good[max(0, learning.at(steps[due[0]]))]:
        return None
    at = int(due[0])
    with np.errstate(all="ignore"):
        left = norm[at].astype(np.float64) / norm[0]
    most = max(FADED, AS_EXPLAINED * math.exp(-min(700.0, part * run[at])))
    return _faded(trace, part, left, most, int(steps[at]))


def decay_fades(trace, left, stop):
    """Judge weights that shrank as their decay makes them."""
    part = decay_of_a_step(trace.run)
    run = stop - int(trace.steps[0])
    # Keras takes rate * decay off the weights at each step.
    if not part > 0 or part * run < math.log(2):
        return None
    return _faded(trace, part, left, FADED, stop)


def _faded(trace, part, left, most, stop):
    layers, least = faded_layers(trace, left, most)
    if not layers:
        return None
    decay = trace.run.optimizer.weight_decay
    text = (
        "The weight decay outweighs the task: each step takes "
        f"{number(100 * part)} % off the weights. It is {number(decay)} at a "
        f"learning rate of {number(part / decay)}. The weights of "
        f"{names(layers)} shrank to {number(100 * least)} % of their size, and "
        "nothing was learnt."
    )
    evidence = {
        "kind": "decay",
        "weight_decay": float(decay),
        "threshold": most,
    }
    return outweighs(trace, layers, stop, evidence, text, [_weaken_decay()])


def decay_of_a_step(run):
    """Return the share of the weights that each step takes off, or 0.

    Args:
        run: `RunInfo` of the run or the model.
    """
    decay, rate = run.optimizer.weight_decay, run.learning_rate
    if rate is None:
        rate = run.optimizer.learning_rate
    if rate is None or decay is None or not decay > 0:
        return 0.0
    return float(rate * decay)


def _weaken_decay():
    """Return the remedy of a decay that is too strong."""
    return training.set_optimizer_arguments(
        "Weaken the weight decay",
        "AdamW's default is 0.004.",
        weight_decay=OUTWEIGHED_USUAL["decay"],
    )
