"""Models whose kernels are all untrainable, while their offsets train.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.thrown import no_kernel_trains
from keras_gradguard.diagnosis.remedies.code import compile_with
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.findings.remedy import Remedy


def only_offsets(trace):
    """Judge whether a run that does not learn trains offsets alone."""
    has = trace.has_gradient
    if not no_kernel_trains(trace) or not has.any():
        return None
    seen = harmed_at(trace)
    if seen is None:
        return None
    count = float(np.sum(trace.sizes[has]))
    first = int(trace.steps[0])
    return in_a_run(
        trace,
        rule="frozen_layer",
        severity="critical",
        layers=[],
        first_step=first,
        last_step=max(seen, int(trace.steps[-1])),
        evidence={
            "kind": "only_offsets",
            "trained": int(count),
            "threshold": 0,
            "window": {"first_step": first, "last_step": seen},
        },
        message=(
            f"Every kernel is untrainable: only {int(count):,} offsets and "
            "scales train, also in the last layer. They shift what the kernels "
            "give. Kernels that were never trained give little to shift."
        ),
        remedies=[
            Remedy(
                "Let the kernels learn",
                "Their weights then fit the task. Or load trained ones.",
                "for variable in model.variables:\n"
                "    if variable.path.endswith(('kernel', 'embeddings')):\n"
                "        variable.trainable = True\n"
                f"{compile_with(trace.run)}",
            )
        ],
    )
