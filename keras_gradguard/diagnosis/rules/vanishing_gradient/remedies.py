"""What to change in layers that the gradient does not reach."""

import dataclasses

from keras_gradguard.diagnosis.evidence.recurrent import one_sided
from keras_gradguard.diagnosis.evidence.recurrent import recurrent_layers
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies.rates import RANGES
from keras_gradguard.diagnosis.remedies.recurrent import for_recurrent
from keras_gradguard.diagnosis.remedies.training import adam
from keras_gradguard.diagnosis.remedies.training import lower_rate
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import (
    LARGE_RATE,
)
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import (
    MANY_FLAT,
)

_SATURATING = ("sigmoid", "tanh", "hard_sigmoid", "softsign")


def for_vanishing(run, layers):
    """Return remedies for layers that the gradient does not reach."""
    gates = "Its gates let the gradient pass over many time steps."
    recurrent = recurrent_layers(run, layers)
    # What is behind the layer that gets the least holds it back as well.
    behind = one_sided(run) if recurrent else []
    found = for_recurrent(run, [*layers, *behind], gates)
    plain = [at for at in layers if not recurrent_layers(run, [at])]
    kinds = {run.info(layer).get("activation") for layer in plain}
    flat = [at for at in plain if run.info(at).get("activation") in _SATURATING]
    if recurrent and len(flat) < MANY_FLAT:
        # What is behind them in depth is not what is missing.
        gates = _flat_gates(run) or _own_steps(run)
        return found or [*gates, *_smaller_steps(run)]
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
    fixes = [paired, normalized, skips]
    if len(run.layers) > changes.DEEP:
        # So many factors multiply to next to nothing however they start.
        fixes = [skips, normalized, paired]
    return [*_smaller_steps(run), *fixes]


def _flat_gates(run):
    """Return what helps gates that let nothing through: they are full.

    Rows of a table are small, and their numbers are not to be scaled.
    """
    if any(info.get("class") == "Embedding" for info in run.layers.values()):
        return []
    return [
        changes.normalize_inputs(
            "Gates stand open or shut where what comes in is large, and pass "
            "no gradient on.",
        )
    ]


def _own_steps(run):
    """Return what helps where gradients are small for no other reason."""
    if run.optimizer.name == "Adam":
        return []
    return [
        adam(
            "Its steps have the size of the learning rate, however small a "
            "gradient is."
        )
    ]


def _smaller_steps(run):
    """Return a lower rate for blocks that keep the signal's size themselves.

    Normalization and attention do, so that no depth explains a gradient that
    vanishes there; steps so large that they ruin the weights do.
    """
    held = any(
        "Normalization" in str(info.get("class"))
        # Those of attention have no activation.
        or (
            info.get("class") == "EinsumDense"
            and info.get("activation") in (None, "linear")
        )
        for info in run.layers.values()
    )
    usual = RANGES.get(run.optimizer.name, (0, 0, float("inf")))[2]
    if not held or not (run.learning_rate or 0) > LARGE_RATE * usual:
        return []
    why = (
        "The layers keep the size of the signal themselves, so depth is not "
        "the cause. Such blocks want small first steps, or a rate that warms "
        "up."
    )
    lower = lower_rate(run, 10, why)
    return [dataclasses.replace(lower, title="Lower the learning rate")]
