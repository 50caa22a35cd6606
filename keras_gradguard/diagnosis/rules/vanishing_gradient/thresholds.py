"""The thresholds of `vanishing_gradient`."""

from typing import Any

# Of the largest gradient behind a layer, or of a recurrent layer.
ADJUSTABLE = {"mild": 1 / 25, "severe": 1e-3}


# Windows are in blocks of ten records.
MILD = {"window": 10, "learned": 0.15, "stalled": 0.02}
SEVERE = {"window": 5, "learned": 0.9, "stalled": 0.02}
BLIND = {"ratio": 1e-4, "window": 20}
CUT_OFF = {"ratio": 1e-3, "window": 3}
CUT_OFF_SHARP = {"ratio": 1e-4, "window": 1}
# A window shows a layer when this share of its blocks does.
SHARE = 0.8
# From here on the loss alone says whether the run had learned before.
FROM_THE_START = 3


# Before the first step: healthy deep tanh nets start as low as 1.5e-3.
AT_START, FEWEST_LAYERS = 1e-4, 3
# Of the largest gradient: what arrives behind a layer that is cut off.
WHOLE = 1e-6

# A loss that changed by no more than this share did not move.
STILL = 0.05

# Through time: the share by which the loss has to fall, as of `loss_plateau`.
FALL = 0.05
# What `check` notes of a first gradient through time.
NOTED, GROWS = 1e-3, 1e3


# Last states of so many time steps, where the weights went so far.
LONG: dict[str, Any] = {"steps": 30, "went": 0.1}
# The largest slope of what bounds a state.
SLOPES = {"sigmoid": 0.25, "hard_sigmoid": 1 / 6, "tanh": 1.0, "softsign": 1.0}


# Sequences that end alike: how much outputs differ at most, against what they
# should in a run, against their size before it; by so many measurements and so
# much of the plan.
ENDS: dict[str, Any] = {
    "spread": 1e-4,
    "at_start": 1e-3,
    "measured": 4,
    "of_plan": (0.04, 4, 16),
    "rows": 4,
}


# remedies
# A rate so many times the usual one is the first to suspect.
LARGE_RATE = 5.0
# remedies.py
# So many layers that flatten out behind recurrent ones are what is missing.
MANY_FLAT = 3
