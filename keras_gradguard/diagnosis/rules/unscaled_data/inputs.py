"""The scale of what comes into the first layers with weights."""

import math

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import ADJUSTABLE
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import ALIKE
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import DULL
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import (
    FEATURE_LARGE,
)
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import (
    FEATURE_RATIO,
)
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import (
    FEWEST_PIXELS,
)
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import HUGE_INPUT
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import OFFSET
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import PIXEL_MAX
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import PIXEL_RMS
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import SMALL_ALL
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import SMALL_INPUT
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import SMALL_PIXEL
from keras_gradguard.findings.build import before_a_run
from keras_gradguard.trace.facts import known
from keras_gradguard.trace.facts import rms

_WHOLE = (
    "An embedding takes whole numbers: it makes 0 of those from 0 to 1, and "
    "gives row 0."
)
_ONCE_MORE = "The inputs are scaled once too often."
_LOOK = (
    "Look at what the model is given",
    "Go back step by step to where the numbers still differ.",
    "print(x.dtype, x.min(), x.max(), x.std())",
)


def judge_inputs(
    data,
    layers=(),
    mean=None,
    std=None,
    large=ADJUSTABLE["inputs"],
    rescaling=None,
    shape=None,
):
    """Judge the scale of what comes into the first layers with weights.

    A model that begins with a normalization or rescales its inputs has
    nothing to be judged: pass what comes out of that, or do not call this.

    Args:
        data: `DataFacts`. `input_*` and `feature_scale_*` are read.
        layers: List of str. Paths of the layers that take the inputs.
        mean: List of a mean per feature for the remedy, or None.
        std: List of a standard deviation per feature, or None.
        large: Float. A root mean square that is too large. Defaults to the
            threshold of the rule.
        rescaling: Paths of layers of the model that rescale, or None.
        shape: List of int or None, that of a sample, or None if it is not
            known. Few columns are no picture.

    Returns:
        List of `Finding` of rule `"unscaled_data"`, at most one.
    """
    if not known(data.input_mean, data.input_std):
        return []
    size = rms(data.input_mean, data.input_std)
    ranged = known(data.input_min, data.input_max)
    pixels = (
        ranged
        and data.input_min >= 0
        and PIXEL_MAX <= data.input_max <= 255
        and size >= PIXEL_RMS
        and not is_table(shape)
    )
    most = max(abs(data.input_min), abs(data.input_max)) if ranged else math.inf
    small = SMALL_PIXEL if most <= SMALL_ALL else SMALL_INPUT
    span = ""
    if ranged:
        span = (
            f" ({number(data.input_min, 4)} to {number(data.input_max, 4)}, "
            f"typically {number(size)})"
        )
    features = known(data.feature_scale_min, data.feature_scale_max)
    ratio = (
        data.feature_scale_max / max(data.feature_scale_min, 1e-12)
        if features
        else 1.0
    )
    uneven = (
        features
        and data.feature_scale_max >= FEATURE_LARGE
        and ratio >= FEATURE_RATIO
    )
    normalize = changes.normalize_inputs(
        "Initializers and learning rates are made for inputs of mean 0 and "
        "standard deviation 1.",
        mean if mean is not None else data.input_mean,
        std if std is not None else data.input_std,
    )
    remedies = [normalize]
    scale = data.feature_scale_max
    if known(scale) and alike(scale, data.input_std):
        kind, severity = "alike", "critical"
        text = f"All samples are the same for {_taken_by(layers)}"
        remedies = [changes.words(*_LOOK)]
    elif pixels:
        kind, severity = "pixels", "warning"
        text = f"The inputs look like pixels that were not scaled{span}"
        why = "Pixels from 0 to 1 suit every initializer."
        # Of little contrast they would all be nearly the same then.
        dull = features and data.feature_scale_max < DULL * size
        rescale = changes.rescale_inputs(why, 1 / 255)
        remedies.insert(1 if dull else 0, rescale)
    elif uneven:
        kind, severity = "uneven", "warning"
        text = (
            f"One input feature varies {number(ratio)} times as much as "
            f"another: by {number(data.feature_scale_max)} and by "
            f"{number(data.feature_scale_min)}"
        )
    elif size >= large:
        kind = "large"
        severity = "critical" if size >= HUGE_INPUT else "warning"
        text = f"The inputs are large{span}"
    elif features and abs(data.input_mean) > OFFSET * data.feature_scale_max:
        kind, severity = "offset", "warning"
        where = (
            f"lie around {number(data.input_mean)}, and no feature "
            f"varies by more than {number(data.feature_scale_max)}"
        )
        text = f"The inputs {where}"
        if rescaling:
            text = (
                "The inputs look scaled twice, since the model rescales them "
                f"itself: they then {where}"
            )
            remedies.insert(0, changes.leave_out(rescaling[-1:], _ONCE_MORE))
    elif data.input_std == 0 and ranged and data.input_min == data.input_max:
        kind, severity = "constant", "critical"
        text = f"All inputs are {number(data.input_mean)}"
        remedies = [changes.words(*_LOOK)]
    elif 0 < size <= small:
        kind, severity = "small", "warning"
        # Also where the model itself has scaled them down before.
        why = (
            "Their size is then about 1 where they reach the weights. A few "
            "that are far larger, as wrong entries are, are cut off."
        )
        remedies.insert(0, changes.rescale_inputs(why, 1 / size))
        if rescaling and size * 255 >= 10 * SMALL_INPUT:
            remedies.insert(0, changes.leave_out(rescaling[-1:], _ONCE_MORE))
        text = f"The inputs are tiny{span}"
    else:
        return []
    if kind == "small":
        effect = "The signal is lost among the biases, and learning is slow."
    elif kind == "offset":
        effect = (
            "All samples look nearly the same to the network: what tells them "
            "apart is small against what they share."
        )
    elif kind == "alike":
        effect = f"Nothing can be learnt from them. {_WHOLE}"
    elif kind == "constant":
        effect = (
            "Nothing can be learnt from them. A division of whole numbers "
            "(x // 255) makes zeros of pixels, and so does a cast to integers "
            "of numbers from 0 to 1."
        )
    elif kind == "uneven":
        effect = "The network sees little but the larger one."
    else:
        effect = "Units saturate or blow up, and so do the gradients."
    return [
        before_a_run(
            rule="unscaled_data",
            severity=severity,
            layers=[str(layer) for layer in layers],
            evidence={
                "kind": kind,
                "of": "inputs",
                "rms": size,
                "min": data.input_min,
                "max": data.input_max,
                "feature_scale_min": data.feature_scale_min,
                "feature_scale_max": data.feature_scale_max,
                "threshold": small if kind == "small" else large,
            },
            message=f"{text}. {effect}",
            remedies=remedies,
        )
    ]


def judge_looked_up(layers):
    """Judge numbers that embeddings look up: all give the same row.

    Args:
        layers: List of str. Paths of such embeddings.

    Returns:
        List of `Finding` of rule `"unscaled_data"`, at most one.
    """
    if not layers:
        return []
    return [
        before_a_run(
            rule="unscaled_data",
            severity="critical",
            layers=layers,
            evidence={"kind": "alike", "of": "inputs"},
            message=f"{names(layers)}: all numbers that are looked up give "
            f"the same row. {_WHOLE} So nothing can be learnt.",
            remedies=[
                changes.words(
                    "Give the embedding whole numbers",
                    "Each is the number of a row. Leave out what scales them.",
                    _LOOK[-1],
                ),
            ],
        )
    ]


def alike(scale, std):
    """Return whether no feature differs from sample to sample.

    Args:
        scale: Float or array. Largest deviation of a feature.
        std: Float or array. Deviation of all inputs together.
    """
    return (std > 0) & (scale <= ALIKE * std)


def _taken_by(layers):
    return names([str(layer) for layer in layers]) if layers else "the model"


def is_table(shape):
    """Return whether a sample is a few columns, fewer than a picture's pixels.

    Args:
        shape: List of int, or None. That of a sample.
    """
    flat = shape is not None and len(shape) == 1
    return bool(flat and shape[0] and shape[0] < FEWEST_PIXELS)
