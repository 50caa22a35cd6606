"""A train step of the user's own whose single output becomes a constant.

The judgement takes a `Trace` and returns the step by which it was seen and a
finding, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import OWN_STEP
from keras_gradguard.findings.remedy import Remedy


def constant_of_own_step(trace, output):
    """Judge what the last layer gives, where outputs and targets are unknown.

    A train step of one's own hands them to nobody. The spread of the last
    layer of one unit shrinks, and the loss stays where it began.
    """
    learning = Learning.of(trace)
    if trace.run.own_loss != "model" or trace.run.data.target_shape is not None:
        return None
    if not len(learning) or not len(trace.sites) or not len(trace.layers):
        return None
    last = str(trace.layers[-1])
    if trace.info(last).get("units") != 1 or last != str(trace.sites[-1]):
        return None
    spread = trace.activation("std")[: len(learning), -1].astype(np.float64)
    wait = of_plan(trace, OWN_STEP["of_plan"], *OWN_STEP["records"])
    with np.errstate(all="ignore"):
        part = spread / np.fmax.accumulate(spread)
        small = count_within(part < OWN_STEP["left"], 3) == 3
        idle = learning.stalled & ~learning.falling
        idle &= learning.fallen < OWN_STEP["fallen"]
    run = learning.steps - int(trace.steps[0])
    seen = np.flatnonzero((run >= wait) & small & idle)
    if not len(seen):
        return None
    at = int(seen[0])
    return int(learning.steps[at]), mismatch(
        output,
        "constant_outputs",
        f"what {last} gives varies by {number(100 * float(part[at]))} % of "
        "what it did, and the loss stays where it began: the outputs shrink to "
        "a constant. In a train step of your own, targets (n,) and outputs "
        "(n, 1) pair each output with each target.",
        [
            Remedy(
                "Give targets and outputs one shape",
                "Then each output meets its own target.",
                "y = y.reshape(-1, 1)",
            )
        ],
        severity="warning",
        contrast=float(part[at]),
    )
