"""The thresholds of the rule `unscaled_data`, all of them."""

from typing import Any

# Root mean squares. Initializers keep the scale of the inputs; some tens
# saturate or multiply all gradients. Targets of a thousand take an optimizer
# that rescales gradients very long to reach.
ADJUSTABLE = {"inputs": 50.0, "targets": 1000.0}


# inputs
# Single digits train everywhere.
HUGE_INPUT = 1000.0
SMALL_INPUT = 2e-3
# So small are pixels of 0 to 1 that are divided by 255 once more, and none is
# ten times as large. Of sparse inputs, most of which are 0, some are.
SMALL_PIXEL = 1 / 255
SMALL_ALL = 10 * SMALL_PIXEL
# Rounding, against what varies within a sample.
ALIKE = 1e-6
# A common part so many times larger than what varies hides it.
OFFSET = 30.0
# Pixels from 0 to 255, dark ones too.
PIXEL_MAX, PIXEL_RMS = 200.0, 10.0
# Fewer columns are a table, of which some may go up to 255.
FEWEST_PIXELS = 49
# Pixels that vary by less than this share of their size have little contrast.
DULL = 0.35
# One feature drowns the rest: so many times larger, and large by itself.
FEATURE_RATIO, FEATURE_LARGE = 100.0, 20.0


# columns_apart
# How much columns vary, of what lies between them, and how many there are.
APART: dict[str, Any] = {"varies": 0.25, "columns": 4}


# frozen_ends
# What comes into the activation of a frozen layer varies by so much, and so
# many of its outputs are flat; share of the plan, fewest and most steps.
FROZEN_ENDS: dict[str, Any] = {
    "std": 10.0,
    "share": 0.8,
    "wait": (0.1, 30, 300),
}


# other_inputs
# How many times what any layer before gives out.
MADE = 10.0


# outliers
# The largest target beside what a quarter of the batches hold; batches that are
# measured at least, and of these the share that may hold such targets. The loss
# of such a batch beside the usual one; share of the plan, fewest and most steps
# until then.
OUTLIERS: dict[str, Any] = {
    "ratio": 1000.0,
    "batches": 4,
    "share": 0.75,
    "spike": 1e4,
    "wait": (0.025, 8, 32),
}


# targets
# A first step of plain SGD that moves the output by this many times its
# natural scale of 1, for targets that are large.
FIRST_STEP, FIRST_STEP_TARGET = 2.0, 10.0
# Outputs come down to such targets long before they learn anything of them.
SMALL_TARGET = 1e-2
# Large where ten times the steps of the plan would not get there.
FAR_TARGET = 10.0
# Share of the plan, fewest and most records that show whether a gradient comes.
NO_GRADIENT = 0.04, 3, 10


# sample_weights
# What they average, by the first records; share of the plan, fewest and most
# steps until then; the correlation of outputs and targets of a run that learns.
HEAVY: dict[str, Any] = {
    "mean": 100.0,
    "records": 5,
    "wait": (0.05, 20, 100),
    "follows": 0.35,
}
