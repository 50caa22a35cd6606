"""What to change in layers that cannot learn as they are.

`trace` is a `Trace`, or anything with `info(layer)` and `meta` as it has.
"""

import dataclasses

from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies.code import layer_code
from keras_gradguard.diagnosis.remedies.code import normalize_code
from keras_gradguard.diagnosis.remedies.code import preset_code
from keras_gradguard.diagnosis.remedies.of_steps import lower_rate
from keras_gradguard.findings.remedy import Remedy

_SATURATING = ("sigmoid", "tanh", "hard_sigmoid", "softsign")


def for_vanishing(trace, layers):
    """Return remedies for layers that the gradient does not reach."""
    kinds = {trace.info(layer).get("activation") for layer in layers}
    squashing = sorted(kind for kind in kinds if kind in _SATURATING)
    if squashing:
        why = (
            f"{' and '.join(squashing)} flattens out for large inputs and "
            "passes at most a part of the gradient on; over many layers these "
            "factors multiply. ReLU passes it on whole, and He's initializer "
            "keeps its size from layer to layer."
        )
    else:
        why = (
            "He's initializer keeps the size of the signal from layer to "
            "layer when the activation is ReLU."
        )
    recurrent = _recurrent(
        trace,
        layers,
        "Its gates let the gradient pass over many time steps.",
    )
    return [
        *recurrent,
        dataclasses.replace(
            changes.convert(
                "he_relu",
                why,
                "\n".join(layer_code(trace, layer, "relu") for layer in layers),
            ),
            title="Use ReLU with He initialization in these layers",
        ),
        changes.convert(
            "he_relu",
            "Normalization keeps activations where they do not saturate and "
            "gives every layer a gradient of like size.",
            normalize_code(trace, layers),
            normalization="batch",
        ),
        dataclasses.replace(
            changes.convert(
                "elu",
                "A sum passes the gradient on undiminished, whatever the "
                "layer beside it does; a shallower net has fewer factors to "
                "multiply.",
                "h = keras.layers.Add()([h, layer(h)])  # layer keeps the "
                "shape",
                residual=True,
            ),
            title="Add skip connections or use fewer layers",
        ),
        changes.fewer_layers(
            layers[: max(1, len(layers) - 1)],
            "Layers that get no gradient only stand in the way.",
        ),
    ]


def _recurrent(trace, layers, why):
    """Return remedies for plain recurrent layers among `layers`."""
    plain = [
        layer
        for layer in layers
        if trace.info(layer).get("class") in ("SimpleRNN", "SimpleRNNCell")
    ]
    found = []
    for layer in plain[:1]:
        units = trace.info(layer).get("units")
        found = [
            changes.recurrent(layer, "LSTM", units, why),
            changes.recurrent(layer, "GRU", units, why),
            changes.recurrent(
                layer,
                "SimpleRNN",
                units,
                "An orthogonal matrix keeps the length of what it multiplies.",
            ),
        ]
    return found


def for_dead(trace, layers):
    """Return remedies for ReLU layers whose units give 0 for all samples."""
    leaky = "\n".join(layer_code(trace, at, "leaky_relu") for at in layers)
    return [
        changes.convert(
            "he_leaky_relu",
            "A leaky ReLU passes a part of what is negative on, so no unit is "
            "without a gradient.",
            leaky,
        ),
        changes.convert(
            "he_relu",
            "Normalization centres what goes into a ReLU, so about half of "
            "its units are active on any batch.",
            normalize_code(trace, layers),
            normalization="batch",
        ),
        changes.reinitialize(
            layers,
            "Which units are dead is a matter of the draw, in narrow layers "
            "above all.",
        ),
        lower_rate(trace, 10, "Large steps push units below 0 for good."),
    ]


def for_saturated(trace, layers):
    """Return remedies for units in the flat ends of their activation."""
    code = "\n".join(layer_code(trace, layer, "relu") for layer in layers)
    return [
        changes.convert(
            "he_relu",
            "ReLU does not saturate, and He's initializer keeps its size from "
            "layer to layer.",
            code,
        ),
        changes.convert(
            "glorot_tanh",
            "Normalization brings what goes into the activation back to where "
            "it is steep.",
            normalize_code(trace, layers),
            normalization="batch",
        ),
        changes.normalize_inputs(
            "Large inputs saturate the first layer, and it the next."
        ),
        lower_rate(trace, 10, "Large steps drive units into the flat ends."),
    ]


def for_initialization(trace, layers, preset=None):
    """Return remedies for weights that no training should start from.

    Args:
        trace: The `Trace`, or `About` a model.
        layers: List of str. The layers.
        preset: Str or None. Name of the pairing that fits.
    """
    preset = preset if preset not in (None, "linear") else "he_relu"
    code = "\n".join(preset_code(trace, at, preset) for at in layers)
    return [
        changes.convert(
            preset,
            "Its weights keep the size of the signal from layer to layer.",
            code,
        ),
        changes.convert(
            "he_relu",
            "Normalization gives the signal its size back, whatever the "
            "weights.",
            normalize_code(trace, layers),
            normalization="batch",
        ),
    ]


def for_frozen(trace, layers):
    """Return remedies for layers that do not move."""
    if not layers:
        return [
            Remedy(
                "Check the learning rate and its schedule",
                "Gradients arrive but the weights do not change.",
                "print(model.optimizer.learning_rate)",
            )
        ]
    listed = ", ".join(repr(str(layer)) for layer in layers)
    return [
        Remedy(
            "Check that the output depends on these layers",
            "Their gradient is zero, or the optimizer leaves them out.",
            f"for path in [{listed}]:\n"
            "    print([w.path for w in model.trainable_variables "
            "if w.path.startswith(path)])",
        ),
        Remedy(
            "Freeze them on purpose",
            "If they are meant to stay as they are, say so and save the work.",
            f"for layer in model.layers:\n"
            f"    if layer.path in [{listed}]:\n"
            "        layer.trainable = False",
        ),
    ]
