"""Weights in half precision that swallow steps which are too small for them."""

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import ROUNDS
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import USUAL_BETA

# Their first steps are divided by how far the mean of the squares has come.
_CORRECT = ("Adam", "AdamW")
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


def takes_no_step(run):
    """Return as `of_run`, where Adam takes no step at all in such weights.

    A beta of the squares that rounds to 1 leaves its first factor at 0.

    Args:
        run: `RunInfo` of the run.
    """
    call = run.optimizer.call or {}
    beta = call.get("arguments", {}).get("beta_2", USUAL_BETA)
    if run.optimizer.name not in _CORRECT or not isinstance(beta, float):
        return {}
    own = {
        path
        for path, info in run.layers.items()
        if info.get("shapes") and info.get("trainable") is not False
    }
    coarse = {path: kind for path, kind in of_run(run).items() if path in own}
    if not own or len(coarse) < len(own):
        return {}
    lost = all(1 - beta < ROUNDS[kind] / 2 for kind in coarse.values())
    return coarse if lost else {}


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
