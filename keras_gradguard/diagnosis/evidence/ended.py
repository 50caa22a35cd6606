"""Faults that end a `fit`, most in its first step, by what backends say."""

import re

# TensorFlow by Keras's optimizer, torch by its own `backward`.
_NO_SLOPE = (
    "No gradients provided for any variable",
    "does not require grad and does not have a grad_fn",
)
# torch's binary crossentropy.
_OUTSIDE = ("all elements of target should be between 0 and 1",)
# So it says of predictions, too: a sigmoid gives none outside but NaN.
_REFUSED = "all elements of input should be between 0 and 1"
_WITHIN = ("sigmoid", "hard_sigmoid", "softmax")
# The number of a class that no output unit stands for, and an index that a
# table has no row for, by torch. TensorFlow's text ends before it says so.
_LABEL = r"Target (-?\d+) is out of bounds"
_INDEX = r"index out of range in self"


def without_slope(trace):
    """Whether a run ended at once since its loss depends on no weight.

    Args:
        trace: `Trace`.
    """
    # What a train step of one's own hands to a tape, nobody can tell.
    own = trace.run.own_code.get("step") is True
    return not own and _ended_by(trace, _NO_SLOPE)


def outside_of_probabilities(trace):
    """Whether a run ended at once by targets that are no probabilities.

    Args:
        trace: `Trace`.
    """
    return _ended_by(trace, _OUTSIDE)


def label_beyond(trace):
    """Return the class that ended a run at once, since no unit is for it.

    Args:
        trace: `Trace`.

    Returns:
        Int, or None where it ended otherwise or ran.
    """
    found = re.search(_LABEL, _reason(trace))
    return int(found[1]) if found else None


def index_beyond(trace):
    """Whether a run ended at once at an index that no table has a row for.

    Args:
        trace: `Trace`.
    """
    tables = [i for i in trace.run.layers.values() if i.get("input_dim")]
    return bool(tables and re.search(_INDEX, _reason(trace)))


def refused_as_nan(trace):
    """Whether a run ended, at any step, since its outputs were NaN.

    Args:
        trace: `Trace`.
    """
    output = trace.run.output
    bounded = output is not None and output.activation in _WITHIN
    told = f"{_reason(trace)} {trace.meta.get('ended_by') or ''}"
    return bounded and not output.from_logits and _REFUSED in told


def _ended_by(trace, texts):
    return any(text in _reason(trace) for text in texts)


def _reason(trace):
    """Return what ended a run in its first step, "" where steps were taken."""
    if len(trace.steps):
        return ""
    return str(trace.meta.get("not_recorded") or "")
