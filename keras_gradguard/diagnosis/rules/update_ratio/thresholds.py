"""The thresholds of the rule `update_ratio`, all of them."""

from typing import Any

# Of the weights, by one update; by all planned ones together.
ADJUSTABLE = {"high": 0.1, "low": 1e-6, "reach": 0.15}
# Optimizers whose steps have a size of their own.
ADAPTIVE = ("Adam", "AdamW", "Nadam", "Adamax", "RMSprop", "Lion", "Adafactor")


# rule
MEASURED = 5
# A first step that replaces this share of the weights, in the median layer,
# and one that needs ten million to change them.
REPLACED, RULE_LOST = 1.0, 1e-7


# first_steps
# Of the weights, by the first updates together, where the outputs become the
# same for every input.
MOVED = 0.2
# Half of the weights, after which nothing is learnt.
HALF = 0.5
# Outputs that differed by so much at first, and by this share of it now.
DIFFERED, LEFT = 0.02, 0.05
FIRST_STEPS_PATIENCE = 30
# By so much of the plan where half of the weights are gone.
SAME_AT_ONCE = 0.015, 5, 30


# averaged
# Averages that hold less than this share of what the steps since changed, by
# this share of the plan, and at least and at most so many steps.
AVERAGED = 0.05
AVERAGED_AT = 0.04, 16, 100
# Keras's, where nothing is said.
USUAL_MOMENTUM = 0.99


# half
# The smallest normal number of float16. An epsilon below it is next to nothing
# there, and so is the square of a gradient below 1/128.
SMALLEST = 2.0**-14
HALF_USUAL = 1e-3
# A loss so many times the first was thrown there.
THROWN = 1.5


# one_side
# The loss of the side that has won: of the first, and by itself. A pair whose
# discriminator came down to 0.01 found its balance again.
WON = {"share": 0.1, "loss": 2e-3}
# Or it is below this and falls still, while the other one's climbs from epoch
# to epoch and is so many times its first.
AHEAD = {"loss": 0.01, "grown": 1.5}
# That of the other one: of the first.
GROWN = 2.0
EPOCHS, OF_EPOCHS = 3, 0.1


# outweighed, and what it may be: penalty, decay, added_loss
# Records after which a run that goes well shows it.
OUTWEIGHED_PATIENCE = 30
# Weights, or outputs, of this share of their first size have faded.
FADED = 0.35
# A penalty below this share of the first loss does not rule it.
SHARE = 0.3
# Where the loss falls still: records, and share of the plan, after which the
# loss of the data lies within this of a constant prediction's, or the outputs
# vary by less than this.
OUTWEIGHED_LONG, OF_PLAN, AS_CONSTANT, SAME = 100, 0.2, 0.95, 0.02
# What is so strong that it is reported at once: a decay that takes this share
# off the weights at each step, a penalty so many times the loss of a constant
# whose gradient is this part of the whole. By this share of the plan, and at
# least and at most so many records. The weights of a layer that is of use have
# a norm of 1 at least, and the sum of their sizes is so many times that.
SHARP_DECAY, TENFOLD, ALONE = 0.01, 10.0, (0.9, 1.1)
# Of what such a decay leaves of weights that nothing else moves.
AS_EXPLAINED = 1.25
AT_ONCE_RECORDS = 0.015, 5, 16
SUM_OF_SIZES = 3.0
# An added loss of so many times the rest at first and after these records.
ADDED, ADDED_WAIT = (8.0, 4.0), (0.04, 16, 64)
# Of the first loss, beyond what outputs and targets can make.
SURELY_ADDED = 0.1
# A penalty of which so little is left has had its way.
GONE = 0.1
# Outputs that vary by less than this share of the targets are near a constant;
# by less than that where the loss alone would be one of a run that learns.
CONSTANT, SHARP = 0.3, 0.1
# Of what they varied by before.
LESS = 0.8
# Penalties that leave a network free to learn, and decays of AdamW's kind.
OUTWEIGHED_USUAL = {"penalty": 1e-4, "decay": 4e-3}


# over_time
# A rate of this share of its largest has ended; by this share of the plan is
# too early.
ENDED = 0.02
EARLY = 0.35
AT_ONCE = 0.1
OVER_TIME_PATIENCE = 30
# A rate that ends within so many steps, and this share of the plan, leaves no
# time to learn: reported by so much of the plan behind that.
SUDDEN: dict[str, Any] = {"steps": 60, "of_plan": 0.1, "wait": (0.025, 4, 16)}
# One that a schedule ends within so many steps leaves none, whatever the loss
# does: reported by so much of the plan, before it ends.
HOPELESS: dict[str, Any] = {"steps": 40, "wait": (0.015, 4, 16)}
# What a run had learnt, and what is left of it where it is lost.
LEARNT, OVER_TIME_LOST = 0.5, 0.1
# Or it lies so far above the first.
OVER_TIME_THROWN = 1.0
BLOCKS = 5


# reach
REACH = {
    "hopeless": 0.015,
    "sure": 0.0015,
    "of_plan": 0.02,
    "steps": 16,
    "sure_steps": 10,
    "planned": 200,
    "few_planned": 100,
}


# outvoted
# Of the sum of the losses; what the loss of the output and that of the others
# has fallen by; epochs, and share of the plan, until then.
OUTVOTED: dict[str, Any] = {
    "share": 1e-3,
    "fallen": 0.02,
    "others": 0.2,
    "epochs": 2,
    "of_plan": 0.1,
}


# dropped
# Share that is dropped, and one that needs no run; of the first loss, what has
# to be gone; what is put in its place; share of the plan, fewest and most steps
# until then, and for what is so heavy that it needs no run.
DROPPED: dict[str, Any] = {
    "rate": 0.8,
    "hopeless": 0.9,
    "fallen": 0.1,
    "usual": 0.3,
    "wait": (0.15, 100, 500),
    "soon": (0.03, 16, 100),
}


# constrained
# Of the weights' norm behind the first step, by so many steps; of the first
# loss; share of the plan, fewest and most steps until then. And the norms of a
# unit's weights that no configuration should ask for, at most and at least;
# how many times the weights have grown, where so many outputs are flat.
HELD: dict[str, Any] = {
    "norm": 0.1,
    "high": 10.0,
    "left": 0.2,
    "grown": 5.0,
    "flat": 0.8,
    "above_zero": 0.9,
    "steps": 2,
    "fallen": 0.1,
    "wait": (0.05, 20, 100),
}

# Weights of samples that average so little by the first records, where all
# planned steps together would move the weights by less than this, and the loss
# fell by less; share of the plan, fewest and most steps to wait.
LIGHT: dict[str, Any] = {
    "mean": 0.02,
    "records": 5,
    "reach": 0.1,
    "fallen": 0.3,
    "wait": (0.02, 16, 100),
}

# A loss that is the sum of so many values, where the first updates moved the
# weights by so much of their size. And by so much that they are others, where
# after so many steps less than this was learnt.
SUMMED: dict[str, Any] = {
    "many": 8,
    "moved": 0.1,
    "anew": 1.0,
    "wait": 30,
    "learnt": 0.3,
}


# rates
# What momentum may make of the rate of RMSprop, where its epsilon is no larger;
# recipes of image nets raise both. And a momentum that is usual.
OF_RMSPROP, SMALL_EPSILON, USUAL = 1.0, 1e-5, 0.9


# uncleared
# Of the first norm, that of a sum of gradients is so many times; share of the
# plan, fewest and most records until then.
UNCLEARED: dict[str, Any] = {"grown": 1.3, "wait": (0.02, 5, 10)}
