"""What to change when the loss does not fall as it should."""

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import batch_size
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies import training as changes_of_training

# A step of this share of the weights is usual.
_USUAL = 1e-3
# The gradient of fewer samples points elsewhere in each step.
_FEW = 8
_LARGE = 32


def for_oscillating(trace, moved=None):
    """Return remedies for steps that throw the loss about.

    Args:
        trace: The `Trace`.
        moved: Float or None. Share of the weights that one of the first
            updates changed, where that was too much.
    """
    name = _optimizer(trace)
    lower = _rate(trace, 0.1, "Smaller steps do not jump across the valley.")
    found = []
    batch = batch_size(trace)
    if 0 < batch < _FEW:
        average = changes_of_training.accumulate(
            -(-_LARGE // batch),
            f"The gradient of {batch} samples points elsewhere in each step.",
            name,
        )
        why = (
            f"Steps are too large, and with {batch} samples in a batch each "
            "points elsewhere."
        )
        found.append(changes.several([lower, average], why))
    found.append(lower)
    if moved is not None and moved > 10 * _USUAL:
        much = max(_USUAL / moved, 1e-3)
        if much < 0.05:
            why = (
                f"One update changed the weights by {number(moved)} of their "
                "size; about 1e-3 is usual."
            )
            found.append(_rate(trace, much, why))
    if _known_rate(trace):
        falls = _schedule(trace, 0.1 * _known_rate(trace))
        why = "Smaller steps at once, and smaller ones still to settle."
        found.append(changes.several([lower, falls], why))
    if name != "Adam":
        why = "It takes steps of even size, whatever the gradient."
        found.append(changes_of_training.adam(why))
    found.append(
        changes.words(
            "Use a larger batch",
            "The gradient of few samples points elsewhere in each step.",
            "model.fit(x_train, y_train, batch_size=32, epochs=epochs)",
        )
    )
    return found


def for_slow(trace, factor):
    """Return remedies for a run that learns too slowly.

    Args:
        trace: The `Trace`.
        factor: Float. How much larger the steps should be.
    """
    factor = float(min(max(factor, 3.0), 1e4))
    why = "The weights then move as far as training usually takes."
    faster = _rate(trace, factor, why)
    found = [faster]
    if _optimizer(trace) != "Adam":
        adam = changes_of_training.adam("It finds a step size for each weight.")
        found += [adam, _normalized(adam)]
    else:
        found.append(_normalized(faster))
    found.append(
        changes.words(
            "Train longer",
            "At this pace the planned epochs are too few.",
            "model.fit(x_train, y_train, epochs=10 * epochs)",
        )
    )
    return found


def for_plateau(trace):
    """Return remedies for a loss that stays where it began."""
    faster = _rate(trace, 3.0, "Larger steps leave a plateau sooner.")
    found = []
    if _optimizer(trace) != "Adam":
        why = "It leaves plateaus on which plain SGD hardly moves."
        adam = changes_of_training.adam(why)
        found += [adam, _normalized(adam)]
    else:
        found.append(_normalized(faster))
    return [
        *found,
        faster,
        changes.words(
            "Fit a few samples first",
            "A model that cannot learn 16 samples by heart is wired wrongly, "
            "or its targets do not belong to its inputs.",
            "model.fit(x_train[:16], y_train[:16], epochs=500)",
        ),
    ]


def _normalized(change):
    """Return a change of the optimizer, with normalization in the layers."""
    normalize = changes.convert(
        "he_relu",
        "Normalization gives every layer a signal and a gradient of like size.",
        "keras.layers.BatchNormalization()  # behind each hidden layer",
        normalization="batch",
    )
    return changes.several(
        [normalize, change],
        "Where larger steps alone do not help, the signal does not get "
        "through the layers as it should.",
    )


def _schedule(trace, rate):
    return changes_of_training.schedule(
        "Large steps at the start and small ones at the end learn fast and "
        "settle.",
        rate,
        planned_steps(trace),
    )


def _optimizer(trace):
    described = trace.meta.get("optimizer")
    described = described if isinstance(described, dict) else {}
    name = described.get("name") or described.get("class")
    return name if isinstance(name, str) else None


def _known_rate(trace):
    rate = trace.meta.get("learning_rate")
    known = isinstance(rate, int | float) and 0 < rate < float("inf")
    return rate if known else None


def _rate(trace, factor, why):
    rate = _known_rate(trace)
    if rate is None:
        return changes_of_training.scale_learning_rate(factor, why)
    return changes_of_training.learning_rate(
        _optimizer(trace), rate, why, rate * factor
    )
