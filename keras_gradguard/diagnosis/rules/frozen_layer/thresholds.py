"""The thresholds of the rule `frozen_layer`, all of them."""

from typing import Any

# Of the weights, by one update.
ADJUSTABLE = {"still": 1e-8}


# rule
ZERO_BLOCKS = 10
MEASURED = 5
LONG = 100


# features
# What frozen layers give varies by less than this share of its mean.
DULL = 1 / 30
# Features that vary by less by themselves, behind layers that were not trained.
FAINT = 0.03


# averages
# Averages that keep so much of their start are not those of the data.
KEPT = 0.05
# Validation that reaches this share of what training has learnt is no worse
# than that of any short run.
LEFT = 0.25
EPOCHS = 2


# no_gradient
# Records that have to show it, from the first on, by this share of the plan.
# Two factors at zero never wake up, nor does what has no gradient by its
# structure. A branch that starts at zero does once something moves by this.
OF_ALL, OF_SOME, OF_PLAN = (3, 10), (8, 100), 0.04
MOVED = 1e-5
# A small batch may hold nothing for a branch: so many records of it at least.
OF_SMALL_BATCHES = 16
# A gradient that fades over the layers arrives small before it is gone; one
# that is cut off arrives whole at the layer behind.
WHOLE = 1e-8
# A site that lets nothing pass, whatever the weights.
CLOSED = 0.999


# few_rows
# Two rows a batch: share of the plan, fewest and most steps until then, and
# what of the loss of a constant has to be gone.
TWO_ROWS: dict[str, Any] = {"wait": (0.25, 100, 500), "explained": 0.6}


# attention
# Of the gradient of the value, what query and key get where scores have no
# effect. So far the loss has to have fallen where they do have one.
SCORES, LITTLE = 1e-6, 0.05


# nothing_counts
# Probabilities of less leave a loss that is not 0.
SURE = 0.999


# Batches of one row whose loss and gradients are no more than that in so few
# and so many records, where offsets are no more than that at the first one.
ALONE: dict[str, Any] = {
    "records": (16, 100),
    "zero": 1e-6,
    "slope": 1e-5,
    "offset": 1e-4,
}


# rounded
# Half of the way from 1 to the next number that there is.
ROUNDS = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
# Keras's of Adam, where nothing is said.
USUAL_BETA = 0.999


# untracked
# Of the loss, what is gone at most; share of the plan, fewest and most steps to
# wait.
UNTRACKED: dict[str, Any] = {"fallen": 0.3, "wait": (0.1, 30, 300)}
