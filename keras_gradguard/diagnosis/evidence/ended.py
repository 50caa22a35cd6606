"""Faults that end a `fit` with an error, by what backends say of them."""

import re

# TensorFlow by Keras's optimizer, torch by its own `backward`.
_NO_SLOPE = (
    "No gradients provided for any variable",
    "does not require grad and does not have a grad_fn",
)
# torch's binary crossentropy: of its targets, and of what it compares.
_OUTSIDE = ("all elements of target should be between 0 and 1",)
_NO_NUMBERS = ("all elements of input should be between 0 and 1",)
# Keras clips what is compared to lie between them, and a sigmoid gives no
# others: but for NaN.
_WITHIN = ("sigmoid", "hard_sigmoid", "softmax")
_CLIPPED = "binary_crossentropy"
# The number of a class that no output unit stands for, and an index that a
# table has no row for, by torch and by TensorFlow.
_LABEL = (
    r"Target (-?\d+) is out of bounds",
    r"Received a label value of (-?\d+) which is outside the valid range",
)
_INDEX = (
    r"index out of range in self",
    r"indices\[[\d, ]*\] = -?\d+ is not in \[0, \d+\)",
)


def without_slope(trace):
    """Whether a run ended at once since its loss depends on no weight.

    Args:
        trace: `Trace`.
    """
    # What a train step of one's own hands to a tape, nobody can tell.
    own = trace.run.own_code.get("step") is True
    at_once = not own and not len(trace.steps)
    return at_once and _says(trace, _NO_SLOPE)


def outside_of_probabilities(trace):
    """Whether a run ended by targets that are no probabilities.

    Args:
        trace: `Trace`.
    """
    return _says(trace, _OUTSIDE)


def no_numbers(trace):
    """Whether a run ended since a loss refuses outputs that are NaN.

    Args:
        trace: `Trace`.
    """
    output = trace.run.output
    if output is None or output.from_logits:
        return False
    clipped = output.loss_name == _CLIPPED or output.activation in _WITHIN
    return clipped and _says(trace, _NO_NUMBERS)


def label_beyond(trace):
    """Return the class that ended a run, since no unit is for it.

    Args:
        trace: `Trace`.

    Returns:
        Int, or None where it ended otherwise.
    """
    found = [re.search(text, _reason(trace)) for text in _LABEL]
    return next((int(one[1]) for one in found if one), None)


def index_beyond(trace):
    """Whether a run ended at an index that no table has a row for.

    Args:
        trace: `Trace`.
    """
    tables = [i for i in trace.run.layers.values() if i.get("input_dim")]
    return bool(tables) and any(re.search(t, _reason(trace)) for t in _INDEX)


def ended(trace):
    """Return when an error ended a run, to put behind "ended".

    Args:
        trace: `Trace`.
    """
    if not len(trace.steps):
        return "the first step"
    return f"the run after step {last_step(trace)}"


def last_step(trace):
    """Return the last step before the error, 0 where there was none.

    Args:
        trace: `Trace`.
    """
    return int(trace.steps[-1]) if len(trace.steps) else 0


def _says(trace, texts):
    return any(text in _reason(trace) for text in texts)


def _reason(trace):
    """Return what ended a run, "" where nothing did."""
    told = trace.meta.get("ended_by")
    if told is None and not len(trace.steps):
        told = trace.meta.get("not_recorded")
    return str(told or "")
