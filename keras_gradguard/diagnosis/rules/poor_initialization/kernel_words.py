"""What is said of kernels that start badly."""

import math

import numpy as np

from keras_gradguard._text import number


def in_words(kind, guilty):
    """Return in words what is wrong with kernels.

    Args:
        kind: Str. As `wrong_kernels` gives it.
        guilty: List of dicts of the kernels concerned, the worst first.
    """
    layer, gain = guilty[0]["layer"], guilty[0]["gain"]
    if kind == "constant" and guilty[0].get("loops"):
        return (
            "all weights start equal, so all units give the same. Only what "
            "reads them can tell them apart"
        )
    if kind == "constant":
        return "all weights start equal, so all units stay the same"
    if kind == "one_sided":
        return (
            "all weights start with one sign. So they add up instead of "
            "cancelling, every unit gives nearly the same, and units saturate"
        )
    if kind == "one_unit":
        return "a hidden layer of one unit squeezes everything into one number"
    if kind == "fading":
        left = math.prod(min(1.0, k["gain"] / np.sqrt(2)) for k in guilty)
        return (
            "ReLU lets half of the signal through, and the weights start too "
            f"small to make up for it. Over {len(guilty)} layers "
            f"{number(100 * left)} % of it is left, so the outputs are nearly "
            "the same for every input"
        )
    if kind == "wide_table":
        return (
            "the vectors of the table start too large. Their numbers have a "
            f"standard deviation of {number(guilty[0]['rms'])}. With Keras it "
            "is 0.03, and what reads them saturates or blows up"
        )
    if kind == "gates":
        return (
            f"the biases of {layer} start at a size of "
            f"{number(guilty[0]['rms'])}. So its gates are shut or wide open, "
            "whatever comes in"
        )
    if kind == "wide" and guilty[0].get("loops"):
        return (
            f"the weights start too large. Those of {layer} have a standard "
            f"deviation of {number(guilty[0]['rms'])}, so its gates and its "
            f"state get {number(gain)} times what comes in, and saturate"
        )
    if kind == "wide":
        return (
            f"the weights start too large. Those of {layer} have a standard "
            f"deviation of {number(guilty[0]['rms'])}, so its outputs are "
            f"{number(gain)} times as large as its inputs"
        )
    return (
        f"the weights start too small. Those of {layer} have a standard "
        f"deviation of {number(guilty[0]['rms'])}, so {number(100 * gain)} % "
        "of the signal gets through"
    )
