"""What to change, with code that names the user's own layers."""

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
    return [
        Remedy(
            "Use ReLU with He initialization in these layers",
            why,
            "\n".join(_layer_code(trace, layer, "relu") for layer in layers),
        ),
        Remedy(
            "Normalize between the layers",
            "Normalization keeps activations where they do not saturate and "
            "gives every layer a gradient of like size.",
            _normalize_code(trace, layers),
        ),
        Remedy(
            "Add skip connections or use fewer layers",
            "A sum passes the gradient on undiminished, whatever the layer "
            "beside it does; a shallower net has fewer factors to multiply.",
            "h = keras.layers.Add()([h, layer(h)])  # layer keeps the shape",
        ),
    ]


def for_exploding(trace, layers):
    """Return remedies for gradients that grow without bound."""
    optimizer = trace.meta.get("optimizer")
    optimizer = optimizer if isinstance(optimizer, dict) else {}
    name = optimizer.get("class") or "SGD"
    rate = optimizer.get("learning_rate") or trace.meta.get("learning_rate")
    known = isinstance(rate, int | float) and rate > 0
    lower = f"{rate / 10:g}" if known else "1e-3"
    now = f" It is {rate:g} now." if known else ""
    return [
        Remedy(
            "Bring inputs and targets to unit scale",
            "A squared error grows with the square of the targets, and its "
            "gradient with them. Undo the scaling on predictions.",
            "mean, std = y_train.mean(axis=0), y_train.std(axis=0)\n"
            "y_train = (y_train - mean) / std\n"
            "y_val = (y_val - mean) / std",
        ),
        Remedy(
            "Clip the gradient",
            "Clipping bounds each step, so that one large gradient does not "
            "throw the weights far off.",
            f"optimizer = keras.optimizers.{name}({lower}, "
            "global_clipnorm=1.0)",
        ),
        Remedy(
            "Lower the learning rate",
            f"Steps that overshoot make the next gradient larger still.{now}",
            f"optimizer = keras.optimizers.{name}({lower})",
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
    skip = Remedy(
        "Skip updates that are not finite",
        "Weights stay as they were when a gradient is NaN or infinite.",
        "optimizer = keras_gradguard.AutoClip(optimizer, nonfinite='skip')",
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


def for_update_ratio(trace, factor):
    """Return the remedy for steps too large or too small by `factor`."""
    optimizer = trace.meta.get("optimizer")
    optimizer = optimizer if isinstance(optimizer, dict) else {}
    name = optimizer.get("class") or "Adam"
    rate = optimizer.get("learning_rate") or trace.meta.get("learning_rate")
    if isinstance(rate, int | float) and rate > 0:
        to = f"{rate / factor:.1g}"
        code = f"optimizer = keras.optimizers.{name}({to})"
        why = f"From {rate:g} to {to}: about 1e-3 of the weights per step."
    else:
        code = f"model.optimizer.learning_rate /= {factor:.1g}"
        why = "Steps of about 1e-3 of the weights are usual."
    side = "Lower" if factor > 1 else "Raise"
    return [Remedy(f"{side} the learning rate", why, code)]


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
    units = _units(info)
    name = str(layer).rsplit("/", maxsplit=1)[-1]
    sizes = ", ".join(str(unit) for unit in units) or "units"
    return (
        f'keras.layers.{kind}({sizes}, activation="{activation}", '
        f'kernel_initializer="he_normal", name="{name}")'
    )


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
