"""One input of several that is far from unit scale.

Of several inputs only the first is measured, but each layer's input is.
`judge_other_inputs` returns a list of findings.
"""

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.activations import layers_of
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import HUGE_INPUT
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import MADE
from keras_gradguard.findings.build import before_a_run


def judge_other_inputs(trace):
    """Judge what comes into layers that no layer before them made.

    Args:
        trace: `Trace` of the run.

    Returns:
        List of `Finding` of rule `"unscaled_data"`, at most one.
    """
    if not (trace.run.inputs or 1) > 1 or not len(trace.sites):
        return []
    came = trace.activation("input_std")[:1].astype(np.float64)
    std = trace.activation("std")[:1].astype(np.float64)
    if not came.size or not std.size:
        return []
    mean = trace.activation("mean")[0].astype(np.float64)
    made = np.nan_to_num(np.hypot(mean, std[0]), posinf=np.inf)
    # The largest that any layer before gave out.
    before = np.concatenate([[0.0], np.fmax.accumulate(made)[:-1]])
    first = str(trace.run.data.input_layer)
    with np.errstate(invalid="ignore"):
        huge = (came[0] >= HUGE_INPUT) & (came[0] > MADE * before)
    huge &= np.isfinite(came[0])
    huge &= np.array([str(site) != first for site in trace.sites])
    if not huge.any():
        return []
    at = int(np.argmax(huge))
    layers = layers_of(trace, trace.sites[at : at + 1])
    size = float(came[0][at])
    return [
        before_a_run(
            rule="unscaled_data",
            severity="critical",
            layers=layers,
            evidence={
                "kind": "large",
                "of": "inputs",
                "rms": size,
                "threshold": HUGE_INPUT,
            },
            message=(
                f"The input of {names(layers)} is large: it varies by "
                f"{number(size)}, and no layer before makes it so. So it is "
                "one of the inputs. Units saturate or blow up, and what the "
                "other inputs tell is drowned."
            ),
            remedies=[changes.normalize_each()],
        )
    ]
