"""Rows of a batch that get the same outputs, since something mixes them.

The judgement takes a `Trace` and an `Output` and returns a finding with the
step by which it was seen, or None.
"""

import dataclasses

import numpy as np

from keras_gradguard.diagnosis.evidence.alone import normalizations
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.recurrent import last_states
from keras_gradguard.diagnosis.evidence.soon import alike_at
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import ENDS
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import MIXED
from keras_gradguard.diagnosis.rules.unscaled_data.inputs import alike
from keras_gradguard.findings.remedy import Remedy


def mixed_rows(trace, output):
    """Judge whether all rows of a batch come out as one and the same.

    To the last digits they do so only where nothing of a row is left: the
    signal died, or units saturate, and then no gradient comes back to the
    first layer; or something takes a mean, a sum or a maximum over the rows
    of the batch, and then it comes back whole.
    """
    seen, learning = alike_at(trace), Learning.of(trace)
    if seen is None or last_states(trace.run) or normalizations(trace.run):
        # A state that has forgotten all but padding is the same, too, and so
        # is what is left of one number.
        return None
    upto = learning.at(seen) + 1
    spread, *size = (
        trace.data(f"output_{part}")[:upto].astype(np.float64)
        for part in ("spread", "mean", "std")
    )
    with np.errstate(invalid="ignore"):
        same = spread <= MIXED["contrast"] * np.hypot(*size)
    varies, std = (
        trace.data(name)[:upto] for name in ("feature_scale_max", "input_std")
    )
    if not same.all() or ((varies == 0) | alike(varies, std)).any():
        return None  # where the rows are alike from the start, it is the data
    low, high = (trace.data(f"output_{end}")[:upto] for end in ("min", "max"))
    end = ENDS.get(output.activation)
    if (
        end is not None
        and ((low > 1 - MIXED["end"]) | (high < end + MIXED["end"])).any()
    ):
        return None  # all of them at one end, as where inputs are too large
    sure = (low < MIXED["end"]) & (high > 1 - MIXED["end"])
    if output.activation == "softmax" and sure.any():
        return None  # one class for all, exactly: the softmax is at its ends
    rows = trace.steps <= seen
    norms = trace.layer_norms(0, int(rows.sum())).astype(np.float64)
    trained = [
        at
        for at, layer in enumerate(trace.layers)
        if trace.has_gradient[trace.owners == at].any()
        and (trace.run.info(str(layer)).get("shapes") or {}).get("kernel")
    ]
    if len(trained) < MIXED["layers"]:
        return None
    first, last = norms[:, trained[0]], norms[:, trained[-1]]
    with np.errstate(all="ignore"):
        back = first / last
    back = back[np.isfinite(back)]
    if not len(back) or np.median(back) < MIXED["back"]:
        return None
    found = mismatch(
        output,
        "mixed_rows",
        "",
        [_other_axis()],
        spread=float(np.max(spread)),
        threshold=MIXED["contrast"],
    )
    text = (
        "All rows of a batch get exactly the same outputs, though the "
        "gradient reaches the first layer. So something behind it mixes the "
        "rows: a mean, a sum, a maximum or a softmax over axis 0, the batch, "
        "in place of time, place or features."
    )
    return seen, dataclasses.replace(found, message=text, layers=[])


def _other_axis():
    return Remedy(
        "Reduce over axis 1, not over axis 0",
        "Axis 0 counts the rows of the batch, which must not know of each "
        "other. Look for `axis=0` in your layers, and for a reshape or a "
        "transpose that moves it.",
        "import numpy as np\n"
        "# A row has to come out the same, whatever stands beside it:\n"
        "both = model.predict(x[:32], verbose=0)\n"
        "alone = model.predict(x[:1], verbose=0)\n"
        "print(np.abs(both[:1] - alone).max())  # not 0: rows are mixed",
    )
