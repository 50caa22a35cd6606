"""Weights in half precision that swallow steps which are too small for them."""

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import ROUNDS

EVIDENCE = {"kind": "rounded"}


def of_run(run):
    """Return the paths of layers whose weights are kept in half precision.

    Args:
        run: `RunInfo` of the run.

    Returns:
        Dict from a path to the name of the type; empty where a learning rate of
        zero explains that no weight moves.
    """
    if not (run.optimizer.learning_rate or run.learning_rate):
        return {}
    return {
        path: info["dtype"]
        for path, info in run.layers.items()
        if info.get("dtype") in ROUNDS and info.get("trainable") is not False
    }


def in_words(coarse):
    """Return in words why weights of these types do not move."""
    if not coarse:
        return "The learning rate is zero, or the updates are not applied."
    kind = min(coarse.values(), key=lambda name: -ROUNDS[name])
    return (
        f"The weights of {names(list(coarse))} are {kind}, and so is all that "
        f"the optimizer computes. It rounds to {number(2 * ROUNDS[kind])} of "
        "a number's size. Smaller steps are lost, and a beta of 0.999 is 1 in "
        "bfloat16, so that Adam takes none at all."
    )


def remedies(coarse):
    """Return the remedies for weights that swallow steps."""
    if not coarse:
        return []
    mixed = {path: {"dtype": f"mixed_{kind}"} for path, kind in coarse.items()}
    kind = next(iter(coarse.values()))
    return [
        model.change_layers(
            "Keep the weights in float32",
            f"mixed_{kind} computes in {kind} and steps in float32.",
            mixed,
        )
    ]
