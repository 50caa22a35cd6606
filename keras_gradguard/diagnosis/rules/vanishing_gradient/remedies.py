"""What to change in layers that the gradient does not reach."""

import dataclasses

from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies.recurrent import for_recurrent
from keras_gradguard.diagnosis.remedies.recurrent import recurrent_layers
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import DEEP

_SATURATING = ("sigmoid", "tanh", "hard_sigmoid", "softsign")


def for_vanishing(run, layers):
    """Return remedies for layers that the gradient does not reach."""
    gates = "Its gates let the gradient pass over many time steps."
    found = for_recurrent(run, layers, gates)
    if recurrent_layers(run, layers):
        # What is behind them in depth is not what is missing.
        return found
    kinds = {run.info(layer).get("activation") for layer in layers}
    squashing = sorted(kind for kind in kinds if kind in _SATURATING)
    rectified = kinds <= {"relu", None, "linear"} and "relu" in kinds
    if squashing:
        many = len(squashing) > 1
        why = (
            f"{' and '.join(squashing)} {'flatten' if many else 'flattens'} "
            f"out for large inputs and {'pass' if many else 'passes'} on only "
            "a part of the gradient. Over many layers these factors multiply. "
            "ReLU passes it on whole, and He's initializer keeps its size from "
            "layer to layer."
        )
    else:
        why = (
            "He's initializer keeps the size of the signal from layer to "
            "layer when the activation is ReLU."
        )
    title = "Use He initialization in the hidden layers"
    if not rectified:
        title = "Use ReLU with He initialization in the hidden layers"
    paired = dataclasses.replace(changes.convert("he_relu", why), title=title)
    skips = dataclasses.replace(
        changes.convert(
            "he_relu",
            "A sum passes the gradient on undiminished, whatever the layer "
            "beside it does.",
            residual=True,
        ),
        title="Add skip connections",
    )
    normalized = changes.convert(
        "he_relu",
        "Normalization keeps activations where they do not saturate and "
        "gives every layer a gradient of like size.",
        normalization="batch",
    )
    if len(run.layers) > DEEP:
        # So many factors multiply to next to nothing however they start.
        return [skips, normalized, paired]
    return [paired, normalized, skips]
