"""Gates of recurrent layers that start shut or wide open."""

import math

import numpy as np

from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import SHUT

_BOUNDED = ("sigmoid", "hard_sigmoid")


def shut_gates(trace):
    """Return layers whose gates are held at one end by their biases.

    A sigmoid of 4 and more is within 2 % of its end, and its slope there is a
    fourteenth of the largest. The biases are measured, so those of an
    initializer of one's own count as well.

    Args:
        trace: `Trace`. Its first step is looked at.

    Returns:
        List of dicts: path of the layer, root mean square of its biases, and
        the same as its gain.
    """
    norm = trace.measured("weight_norm", by="variable")[1][0]
    found = []
    for i, path in enumerate(trace.variables.tolist()):
        layer = str(trace.layers[trace.owners[i]])
        info = trace.info(layer)
        bounded = info.get("recurrent_activation") in _BOUNDED
        if path.rsplit("/", maxsplit=1)[-1] != "bias" or not bounded:
            continue
        if not (trace.sizes[i] > 0 and trace.has_gradient[i]):
            continue
        rms = float(norm[i]) / math.sqrt(trace.sizes[i])
        if np.isfinite(rms) and rms >= SHUT:
            found.append({"layer": layer, "rms": rms, "gain": rms})
    return found
