"""The thresholds of the rule `output_mismatch`, all of them."""

from typing import Any

# rule
# Standard deviations within which most targets lie.
MANY = 1.5


# class_targets
# Rounding, label smoothing and the like.
EPSILON = 1e-3
# From here on a network has far to go until it gives such numbers.
LARGE = 10.0
# So many under a loss for yes and no may be classes; of more, one batch seldom
# has all, and most are counts.
FEW_CLASSES = 10
# Whole numbers beyond are counts more often than classes.
MANY_CLASSES = 20
# Epochs in a row with an accuracy below this, of classes told by their numbers.
NUMBERED = {"epochs": 3, "accuracy": 0.6}


# learnt
PATIENCE = 100
# Shapes that do not fit show early: share of the plan, fewest and most steps.
BROADCAST = 0.05, 40, 100
# And outputs that vary by less than this share of what they did.
SHRINKS = 0.5
# A class that so few targets belong to hardly counts in the loss.
RARE = 0.03
# Steps, and share of the plan, by which accuracy that stays shows it.
RARE_SOON = 40, 0.2
# Where samples are weighted one so rare ought to be seen.
WEIGHED = 0.2
# Accuracies that differ by this share of what is missing to 1 are the same.
SAME = 0.02
# What accuracy misses may be the share of the rare class, where it is more than
# that of what the measured batches held.
SAME_SHARE = 0.5
# Share of the loss of a constant by which one that learnt lies lower.
GAIN = 0.1
# A loss that fell by so many times its first size, and outputs that grew so
# far beyond the targets, have no floor.
BOTTOMLESS, BEYOND = 30.0, 4.0
# Or fell by so many times while outputs vary so much more than the targets, and
# do not follow them. And by so many that so few steps are enough.
AWAY: dict[str, Any] = {
    "contrast": 2.0,
    "follows": 0.3,
    "fallen": 5.0,
    "plain": 7.0,
    "wait": 40,
}
# Share of the plan, fewest and most steps until then.
FALLS_ON = 0.25, 40, 100
# Or that fell by so many times as much in the last third as in the one before.
FASTER = 1.5
# Outputs that vary by less than this share of the targets are a constant.
CONSTANT = 0.1
OF_PLAN, FEWEST = 0.4, 500
# In plans of no more than that: share of the plan, and of how much the outputs
# once varied, where they did.
OF_SHORT, COLLAPSED = 0.8, 0.2
# Weights that moved so far by steps no larger than that, outputs that differ by
# so much and correlate with the targets by less, a loss that fell by less; and
# share of the plan, fewest and most steps until then. Dropout of more may be
# why. After so much of the plan weights that moved little are enough, where
# trivial learners get nothing out of the same rows. A loss that is this share
# above a constant's and falls still has outputs that are not down yet.
UNRELATED: dict[str, Any] = {
    "moved": 0.5,
    "calm": 0.1,
    "contrast": 0.02,
    "follows": 0.2,
    "fallen": 0.05,
    "wait": (0.4, 250, 1000),
    "noise": 0.5,
    "of_plan": 0.5,
    "little": 0.1,
    "above": 0.1,
}
# Where trivial learners get hardly anything out of the rows and the run gets no
# more than some of them by heart: its gain at most, how far the weights have
# gone, the share of the plan, and the times that each row was seen. Numbers and
# a choice of two often are told faintly, such as clicks; fewest classes.
BY_HEART: dict[str, Any] = {
    "classes": 3,
    "gain": 0.1,
    "moved": 0.2,
    "of_plan": 0.5,
    "epochs": 5,
}
# A loss of one's own: by how much it has fallen, what share of the targets'
# variance trivial learners explain, and how outputs and targets correlate where
# the outputs shrink, and where they go against the targets.
ELSEWHERE: dict[str, Any] = {
    "fallen": 0.5,
    "score": 0.5,
    "follows": 0.3,
    "against": 0.5,
    "wait": (0.3, 40, 400),
    "slow": (0.5, 100, 800),
}
# As above, of shares of many places, which no trivial learner explains.
TURNED: dict[str, Any] = {
    "against": 0.35,
    "fallen": 0.3,
    "wait": (0.2, 40, 400),
}
# Losses that no targets that fit take below 0.
NEVER_BELOW = (
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "log_cosh",
    "binary_crossentropy",
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
)


# one_label
# Measured batches, rows in them where each epoch's accuracy is 1, and where no
# accuracy is known: then a rare class may have been missed.
ONE_LABEL: dict[str, Any] = {"batches": 3, "rows": 64, "unscored": 512}


# own_step
# Of what the last layer's outputs varied by, and of the first loss.
OWN_STEP: dict[str, Any] = {
    "left": 0.35,
    "fallen": 0.05,
    "of_plan": 0.3,
    "records": (60, 500),
}


# number_targets
OVERSHOOT = 0.1
# What the targets of a row may add up to on average, under a softmax and a loss
# for sizes; labels of two classes in a row are learnt all the same.
ROW_SUM = {"low": 0.3, "high": 3.0}


# same_inputs
# Batches that hold the same inputs, and each other targets.
BATCHES = 4
# Or that are one and the same, where the score of validation is so much below
# that of training, or its loss is above that of a constant and so many times
# that of training.
ONE_BATCH: dict[str, Any] = {"batches": 5, "score": 0.25, "loss": 3.0}


# mixed_rows
# Outputs that differ by less are the same to the last digits; layers with
# kernels at least, and the gradient of the first of them beside the last's.
MIXED: dict[str, Any] = {
    "contrast": 1e-5,
    "layers": 2,
    "back": 1e-3,
    "end": 1e-6,
}
# Where what ends at 1 ends below.
ENDS = {"sigmoid": 0.0, "hard_sigmoid": 0.0, "softmax": 0.0, "tanh": -1.0}


# sorted_rows
# Rows of a batch and batches that are needed at least, and the share of the
# targets' variance that lies between batches. Steps after which a run that
# seems to learn has learnt. Of one-hot targets, how often the loss rises from
# half of a guess's to more than that.
SORTED: dict[str, Any] = {
    "rises": 3,
    "rows": 8,
    "batches": 8,
    "share": 0.7,
    "patience": 150,
}


# validation
# Who overfits guesses, and so comes down to chance. Below this share of it the
# labels themselves are others.
OF_CHANCE = 0.5
EPOCHS = 3
# Within so many epochs nobody overfits: of the score of training, and of the
# loss of a constant.
YOUNG, OF_SCORE, WORSE = 6, 0.5, 1.3
# Or of chance in each epoch so far, at least so many, with a loss of so much.
BELOW_ALL_ALONG: dict[str, Any] = {"chance": 0.8, "epochs": 3, "worse": 1.2}


# below_zero
# A divergence of shares is 0 at least, but for rounding.
BELOW = 0.02
# A smoothing that leaves nothing of labels; the share of the loss of a guess
# that a focal loss leaves, from where on it counts for nothing.
SHAPED = {"smoothing": 0.99, "left": 1e-6}
# Losses that are less than this of what outputs and targets cost at least,
# where the first was more than that of it, in so many measurements in a row.
UNCOUNTED = {"left": 0.02, "first": 0.2, "measured": 3}
# A class of at least this share of the targets that has so little of all that
# they weigh, in so many measurements; how well outputs follow at most, and what
# accuracy is beyond chance; share of the plan, fewest and most steps to wait.
LIGHT_CLASS: dict[str, Any] = {
    "share": 0.1,
    "weighs": 0.01,
    "measured": 3,
    "follows": 0.5,
    "beyond": 0.1,
    "wait": (0.05, 16, 100),
}


# unbounded
# How far beyond 0 and 1 outputs go where the targets are 0 and 1, in so many
# measurements in a row; how far they are off for sure; what of the loss is gone
# at most, and how well outputs follow; how well at most where that is less than
# this share of before; by how much distances go against targets of 1; share of
# the plan, fewest and most steps to wait.
UNBOUNDED: dict[str, Any] = {
    "far": 0.2,
    "off": 1.0,
    "measured": 2,
    "fallen": 0.5,
    "follows": 0.5,
    "unrelated": 0.3,
    "lost": 0.7,
    "distance": 0.3,
    "wait": (0.1, 30, 300),
}

# in_batch
# How near to the logarithm of the rows, of at least so many, for what share of
# the records; share of the plan, fewest and most steps to wait.
IN_BATCH: dict[str, Any] = {
    "near": 0.005,
    "rows": 8,
    "share": 0.8,
    "wait": (0.25, 60, 1000),
}
