"""What to change, with code that names the user's own layers.

`trace` is a `Trace`, or anything with `info(layer)` and `meta` as it has.
"""

import dataclasses

from keras_gradguard.diagnosis import changes
from keras_gradguard.diagnosis import changes_of_training
from keras_gradguard.diagnosis.evidence import kernel_shapes
from keras_gradguard.diagnosis.finding import Remedy

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
                "\n".join(
                    _layer_code(trace, layer, "relu") for layer in layers
                ),
            ),
            title="Use ReLU with He initialization in these layers",
        ),
        changes.convert(
            "he_relu",
            "Normalization keeps activations where they do not saturate and "
            "gives every layer a gradient of like size.",
            _normalize_code(trace, layers),
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
    leaky = "\n".join(_layer_code(trace, at, "leaky_relu") for at in layers)
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
            _normalize_code(trace, layers),
            normalization="batch",
        ),
        changes.reinitialize(
            layers,
            "Which units are dead is a matter of the draw, in narrow layers "
            "above all.",
        ),
        _lower_rate(trace, 10, "Large steps push units below 0 for good."),
    ]


def for_saturated(trace, layers):
    """Return remedies for units in the flat ends of their activation."""
    code = "\n".join(_layer_code(trace, layer, "relu") for layer in layers)
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
            _normalize_code(trace, layers),
            normalization="batch",
        ),
        changes.normalize_inputs(
            "Large inputs saturate the first layer, and it the next."
        ),
        _lower_rate(trace, 10, "Large steps drive units into the flat ends."),
    ]


def for_initialization(trace, layers, preset=None):
    """Return remedies for weights that no training should start from.

    Args:
        trace: The `Trace`, or `About` a model.
        layers: List of str. The layers.
        preset: Str or None. Name of the pairing that fits.
    """
    preset = preset if preset not in (None, "linear") else "he_relu"
    code = "\n".join(
        f"keras.layers.{trace.info(layer).get('class') or 'Dense'}("
        f"{_sizes(trace.info(layer))}, "
        f'**keras_gradguard.presets.get("{preset}"), name="{_name(layer)}")'
        for layer in layers
    )
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
            _normalize_code(trace, layers),
            normalization="batch",
        ),
    ]


def _lower_rate(trace, factor, why):
    rate = trace.meta.get("learning_rate")
    if isinstance(rate, int | float) and rate > 0:
        name = (trace.meta.get("optimizer") or {}).get("class")
        return changes_of_training.learning_rate(name, rate, why, rate / factor)
    return changes_of_training.scale_learning_rate(1 / factor, why)


def for_exploding(trace, layers):
    """Return remedies for gradients that grow without bound."""
    optimizer = trace.meta.get("optimizer")
    optimizer = optimizer if isinstance(optimizer, dict) else {}
    name = optimizer.get("class") or "SGD"
    rate = optimizer.get("learning_rate") or trace.meta.get("learning_rate")
    known = isinstance(rate, int | float) and rate > 0
    lower = f"{rate / 10:g}" if known else "1e-3"
    now = f" It is {rate:g} now." if known else ""
    clip = changes_of_training.clip(
        "Clipping bounds each step, so that one large gradient does not "
        "throw the weights far off.",
        threshold=1.0,
    )
    code = f"optimizer = keras.optimizers.{name}({lower}, global_clipnorm=1.0)"
    return [
        Remedy(
            "Bring inputs and targets to unit scale",
            "A squared error grows with the square of the targets, and its "
            "gradient with them. Undo the scaling on predictions.",
            "mean, std = y_train.mean(axis=0), y_train.std(axis=0)\n"
            "y_train = (y_train - mean) / std\n"
            "y_val = (y_val - mean) / std",
        ),
        dataclasses.replace(clip, code=code),
        dataclasses.replace(
            _lower_rate(
                trace,
                10,
                "Steps that overshoot make the next gradient larger "
                f"still.{now}",
            ),
            title="Lower the learning rate",
            code=f"optimizer = keras.optimizers.{name}({lower})",
        ),
        changes.convert(
            "elu",
            "Its weights keep the size of the signal from layer to layer, "
            "whatever the activations were before.",
            "\n".join(_layer_code(trace, layer, "elu") for layer in layers),
        ),
        changes.convert(
            "he_relu",
            "Normalization keeps the size of the signal from layer to layer.",
            _normalize_code(trace, layers),
            normalization="batch",
        ),
    ]


def for_nonfinite(trace, layers, clue):
    """Return remedies for NaN or infinite gradients; `clue` says the cause.

    Args:
        trace: The `Trace`.
        layers: List of str. Layers whose gradient was not finite.
        clue: Str. `"growth"`, `"data"`, `"overflow"` or `"layer"`.
    """
    check_data = Remedy(
        "Look for NaN and infinity in the data",
        "One such value in a batch makes the loss and every gradient NaN.",
        "import numpy as np\n"
        "print(np.isfinite(x_train).all(), np.isfinite(y_train).all())",
    )
    skip = dataclasses.replace(
        changes_of_training.clip(
            "Weights stay as they were when a gradient is NaN or infinite.",
            "percentile",
            nonfinite="skip",
        ),
        title="Skip updates that are not finite",
        code="optimizer = keras_gradguard.AutoClip(optimizer, "
        "nonfinite='skip')",
    )
    safe = Remedy(
        "Keep logarithms, roots and divisions away from zero",
        "Their gradients are infinite there, also where the value itself is "
        "fine.",
        "x = keras.ops.maximum(x, 1e-7)  # before log, sqrt or division",
    )
    if clue == "growth":
        return [*for_exploding(trace, layers), skip]
    if clue == "overflow":
        half = Remedy(
            "Compute in bfloat16 or float32",
            "float16 ends at 65504; bfloat16 has the range of float32.",
            'keras.mixed_precision.set_global_policy("mixed_bfloat16")',
        )
        return [half, skip, safe]
    if clue == "layer":
        return [safe, skip, check_data]
    return [check_data, safe, skip]


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


# A learning rate is changed by no more in one go.
_FACTORS = (1e-4, 1e4)


def for_update_ratio(trace, factor):
    """Return the remedy for steps too large or too small by `factor`."""
    optimizer = trace.meta.get("optimizer")
    optimizer = optimizer if isinstance(optimizer, dict) else {}
    name = optimizer.get("class") or "Adam"
    rate = optimizer.get("learning_rate") or trace.meta.get("learning_rate")
    side = "Lower" if factor > 1 else "Raise"
    # Steps of exactly zero tell no factor.
    factor = min(max(factor, _FACTORS[0]), _FACTORS[1])
    if isinstance(rate, int | float) and rate > 0:
        to = float(f"{rate / factor:.1g}")
        change = changes_of_training.learning_rate(
            name,
            rate,
            f"From {rate:g} to {to:.1g}: about 1e-3 of the weights per step.",
            to,
        )
        code = f"optimizer = keras.optimizers.{name}({to:.1g})"
    else:
        change = changes_of_training.scale_learning_rate(
            1 / factor, "Steps of about 1e-3 of the weights are usual."
        )
        code = f"model.optimizer.learning_rate /= {factor:.1g}"
    change = dataclasses.replace(
        change, title=f"{side} the learning rate", code=code
    )
    if name in ("SGD", "Adadelta", "Adagrad"):
        adam = changes_of_training.adam(
            "Adam's steps have the size of the learning rate, whatever the "
            "size of the gradient."
        )
        return [change, adam]
    return [change]


def for_clipping(threshold, norm):
    """Return the remedy for a threshold far from the norms it is for."""
    return [
        Remedy(
            "Let the threshold follow the gradient norms",
            f"A threshold of {threshold:.3g} and norms of {norm:.3g} are far "
            "apart. At the 90th percentile of the run's own norms, only the "
            "largest tenth is clipped.",
            "optimizer = kgg.AutoClip(keras.optimizers.Adam(1e-3), "
            "percentile=90)",
        )
    ]


def _layer_code(trace, layer, activation):
    info = trace.info(layer)
    kind = info.get("class") or "Dense"
    return (
        f'keras.layers.{kind}({_sizes(info)}, activation="{activation}", '
        f'kernel_initializer="he_normal", name="{_name(layer)}")'
    )


def _name(layer):
    return str(layer).rsplit("/", maxsplit=1)[-1]


def _sizes(info):
    return ", ".join(str(unit) for unit in _units(info)) or "units"


def _units(info):
    """Return the leading constructor arguments of a layer, as far as known."""
    if "units" in info:
        return [info["units"]]
    shapes = kernel_shapes(info)
    if not shapes:
        return []
    shape = [int(size) for size in shapes[0]]
    if len(shape) == 2:
        return [shape[-1]]
    return [shape[-1], tuple(shape[:-2])]


def _normalize_code(trace, layers):
    name = str(layers[0]).rsplit("/", maxsplit=1)[-1] if layers else "dense"
    info = trace.info(layers[0]) if layers else {}
    kind, activation = info.get("class"), info.get("activation")
    sizes = ", ".join(str(unit) for unit in _units(info)) or "units"
    return (
        f'keras.layers.{kind or "Dense"}({sizes}, name="{name}"),\n'
        "keras.layers.BatchNormalization(),\n"
        f'keras.layers.Activation("{activation or "relu"}"),'
    )
