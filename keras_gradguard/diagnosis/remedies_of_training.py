"""What to change when the loss does not fall as it should."""

from keras_gradguard.diagnosis import changes


def for_oscillating(trace):
    """Return remedies for steps that throw the loss about."""
    return [
        _rate(trace, 0.1, "Smaller steps do not jump across the valley."),
        changes.schedule(
            "Large steps at the start and small ones at the end learn fast "
            "and settle.",
            _known_rate(trace),
        ),
        changes.words(
            "Use a larger batch",
            "The gradient of few samples points elsewhere in each step.",
            "model.fit(x_train, y_train, batch_size=32, epochs=epochs)",
        ),
        changes.adam("It takes steps of even size, whatever the gradient."),
    ]


def for_slow(trace, factor):
    """Return remedies for a run that learns too slowly.

    Args:
        trace: The `Trace`.
        factor: Float. How much larger the steps should be.
    """
    factor = float(min(max(factor, 3.0), 1e4))
    found = [
        _rate(
            trace,
            factor,
            "The weights then move as far as training usually takes.",
        )
    ]
    if _optimizer(trace) != "Adam":
        found.append(changes.adam("It finds a step size for each weight."))
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
    return [
        changes.adam("It leaves plateaus on which plain SGD hardly moves."),
        _rate(trace, 3.0, "Larger steps leave a plateau sooner."),
        changes.words(
            "Fit a few samples first",
            "A model that cannot learn 16 samples by heart is wired wrongly, "
            "or its targets do not belong to its inputs.",
            "model.fit(x_train[:16], y_train[:16], epochs=500)",
        ),
    ]


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
        return changes.scale_learning_rate(factor, why)
    return changes.learning_rate(_optimizer(trace), rate, why, rate * factor)
