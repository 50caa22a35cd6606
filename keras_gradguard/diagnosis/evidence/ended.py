"""Faults that end a `fit` in its first step, by what backends say of them."""

# TensorFlow by Keras's optimizer, torch by its own `backward`.
_NO_SLOPE = (
    "No gradients provided for any variable",
    "does not require grad and does not have a grad_fn",
)
# torch's binary crossentropy.
_OUTSIDE = ("all elements of target should be between 0 and 1",)


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


def _ended_by(trace, texts):
    if len(trace.steps):
        return False
    reason = str(trace.meta.get("not_recorded") or "")
    return any(text in reason for text in texts)
