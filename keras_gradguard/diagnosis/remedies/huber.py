"""A Huber loss whose `delta` is far below the errors.

Its slope is then `delta` for every error, so that is how large gradients and
plain steps are (Huber, 1964).
"""

from keras_gradguard.diagnosis.remedies.code import compile_with
from keras_gradguard.diagnosis.remedies.expressions import Raw
from keras_gradguard.diagnosis.remedies.expressions import call
from keras_gradguard.findings.remedy import Remedy

# Errors of numbers that are scaled at all are not this small.
_SMALL = 1e-2
# Optimizers whose steps grow with the gradient.
_PLAIN = ("SGD", "Adadelta", "Adagrad", "Ftrl")


def small_delta(run):
    """Return the delta that keeps plain steps small, or None.

    Args:
        run: `RunInfo` of the run or the model.
    """
    told = run.compiled.get("loss")
    if not isinstance(told, dict) or told.get("call") != "keras.losses.Huber":
        return None
    given = told.get("arguments")
    delta = given.get("delta") if isinstance(given, dict) else None
    if not isinstance(delta, int | float) or not 0 < delta < _SMALL:
        return None
    return float(delta) if run.optimizer.name in _PLAIN else None


def in_words(run):
    """Return a sentence that names a delta as the cause, or ""."""
    delta = small_delta(run)
    if delta is None:
        return ""
    return (
        f" The delta of the Huber loss is {delta:g}. It is the slope for all "
        "larger errors, so the gradients are that small."
    )


def raise_delta(run):
    """Return the remedy for a small delta, or [] where there is none.

    Args:
        run: `RunInfo` of the run or the model.
    """
    if small_delta(run) is None:
        return []
    delta = 1.0 if run.batches else Raw("float(np.std(y))")
    return [
        Remedy(
            "Raise the delta of the Huber loss to the spread of the targets",
            "Errors below it then count by their square, and a slope as large "
            "as an error moves the weights.",
            compile_with(run, loss=call("keras.losses.Huber", delta=delta)),
        )
    ]
