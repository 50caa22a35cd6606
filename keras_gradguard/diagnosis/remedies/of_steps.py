"""What to change when gradients, and steps with them, have the wrong size.

`trace` is a `Trace`, or anything with `info(layer)` and `meta` as it has.
"""

import dataclasses

from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.remedies.code import layer_code
from keras_gradguard.diagnosis.remedies.code import normalize_code
from keras_gradguard.findings.remedy import Remedy

# A learning rate is changed by no more in one go.
_FACTORS = (1e-4, 1e4)


def for_exploding(trace, layers):
    """Return remedies for gradients that grow without bound."""
    name, rate = _optimizer(trace, "SGD")
    lower = "1e-3" if rate is None else f"{rate / 10:g}"
    now = "" if rate is None else f" It is {rate:g} now."
    clip = training.clip(
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
            lower_rate(
                trace,
                10,
                "Steps that overshoot make the next gradient larger "
                f"still.{now}",
            ),
            title="Lower the learning rate",
            code=f"optimizer = keras.optimizers.{name}({lower})",
        ),
        model.convert(
            "elu",
            "Its weights keep the size of the signal from layer to layer, "
            "whatever the activations were before.",
            "\n".join(layer_code(trace, layer, "elu") for layer in layers),
        ),
        model.convert(
            "he_relu",
            "Normalization keeps the size of the signal from layer to layer.",
            normalize_code(trace, layers),
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
        training.clip(
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


def for_update_ratio(trace, factor):
    """Return the remedy for steps too large or too small by `factor`."""
    name, rate = _optimizer(trace, "Adam")
    side = "Lower" if factor > 1 else "Raise"
    # Steps of exactly zero tell no factor.
    factor = min(max(factor, _FACTORS[0]), _FACTORS[1])
    if rate is not None:
        to = float(f"{rate / factor:.1g}")
        change = training.learning_rate(
            name,
            rate,
            f"From {rate:g} to {to:.1g}: about 1e-3 of the weights per step.",
            to,
        )
        code = f"optimizer = keras.optimizers.{name}({to:.1g})"
    else:
        change = training.scale_learning_rate(
            1 / factor, "Steps of about 1e-3 of the weights are usual."
        )
        code = f"model.optimizer.learning_rate /= {factor:.1g}"
    change = dataclasses.replace(
        change, title=f"{side} the learning rate", code=code
    )
    if name in ("SGD", "Adadelta", "Adagrad"):
        adam = training.adam(
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


def lower_rate(trace, factor, why):
    """Return the remedy of a learning rate `factor` times smaller.

    Args:
        trace: The `Trace`.
        factor: Float above 1.
        why: Str. Why that helps.
    """
    rate = trace.meta.get("learning_rate")
    if isinstance(rate, int | float) and rate > 0:
        name = (trace.meta.get("optimizer") or {}).get("class")
        return training.learning_rate(name, rate, why, rate / factor)
    return training.scale_learning_rate(1 / factor, why)


def _optimizer(trace, default):
    """Return the optimizer's class, or `default`, and its rate, or None."""
    known = trace.meta.get("optimizer")
    known = known if isinstance(known, dict) else {}
    rate = known.get("learning_rate") or trace.meta.get("learning_rate")
    positive = isinstance(rate, int | float) and rate > 0
    return known.get("class") or default, rate if positive else None
