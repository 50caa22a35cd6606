"""A weight decay that outweighs the task.

The judgements of a run return a `Finding`, or None.
"""

import math

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies import training
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


def decay_at_once(trace, left, stop):
    """Judge a decay under which no weight lasts, without a look at the loss."""
    if decay_of_a_step(trace.run) < SHARP_DECAY:
        return None
    return decay_fades(trace, left, stop)


def decay_fades(trace, left, stop):
    """Judge weights that shrank as their decay makes them."""
    decay, rate = trace.run.optimizer.weight_decay, trace.run.learning_rate
    if rate is None or decay is None or not decay > 0:
        return None
    run = stop - int(trace.steps[0])
    # Keras takes rate * decay off the weights at each step.
    explained = math.exp(-min(700.0, rate * decay * run))
    layers, least = faded_layers(trace, left)
    if explained > 0.5 or not layers:
        return None
    text = (
        "The weight decay outweighs the task: each step takes "
        f"{number(100 * rate * decay)} % off the weights. It is "
        f"{number(decay)} at a learning rate of {number(rate)}. The weights of "
        f"{names(layers)} shrank to {number(100 * least)} % of their size, and "
        "nothing was learnt."
    )
    evidence = {
        "kind": "decay",
        "weight_decay": float(decay),
        "threshold": FADED,
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
