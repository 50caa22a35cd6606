"""Losses that compare rows, over batches of one row.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import ALONE
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import OF_PLAN
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.findings.remedy import Remedy


def row_alone(trace):
    """Judge whether a loss is 0 since each batch holds one row.

    A contrast with other rows, a rank or the likelihood of Cox is 0 then,
    whatever the outputs. Offsets of 0 show that the net is not a trained one,
    whose loss may be 0 for a better reason.
    """
    loss = trace.extra.get("loss")
    need = of_plan(trace, OF_PLAN, *ALONE["records"])
    if loss is None or len(loss) < need or trace.run.own_loss is None:
        return None
    early = trace.activation_steps < int(trace.steps[0]) + need
    rows = trace.data("samples")[early]
    if not len(rows) or not (rows == 1).all():
        return None
    norms = trace.get("grad_norm", by="variable")[:need]
    norms = norms[:, trace.has_gradient]
    if not norms.shape[1]:
        return None
    with np.errstate(invalid="ignore"):
        still = (np.abs(loss[:need]) <= ALONE["zero"]).all()
        still &= (norms <= ALONE["slope"]).all()
    if not still or not _untrained(trace):
        return None
    first, seen = int(trace.steps[0]), int(trace.steps[need - 1])
    return in_a_run(
        trace,
        rule="frozen_layer",
        severity="critical",
        layers=[],
        first_step=first,
        last_step=int(trace.steps[-1]),
        evidence={
            "kind": "row_alone",
            "loss": float(np.abs(loss[:need]).max()),
            "threshold": ALONE["zero"],
            "window": {"first_step": first, "last_step": seen},
        },
        message=(
            "Loss and gradients are zero at every step, though nothing was "
            "learnt: each batch holds one row. A loss that compares a row with "
            "others of its batch (a contrast, a rank, Cox's likelihood) is "
            "0 for a row alone."
        ),
        remedies=[
            Remedy(
                "Train with batches of more rows",
                "Then there is something to compare with.",
                f"model.fit(x, y, epochs={trace.run.epochs_planned or 10}, "
                "batch_size=64)",
            )
        ],
    )


def _untrained(trace):
    """Whether all offsets were 0 at the first record, to rounding."""
    norms = trace.get("weight_norm", by="variable")
    offsets = [
        at
        for at, path in enumerate(trace.variables)
        if str(path).rsplit("/", maxsplit=1)[-1] == "bias"
    ]
    if not len(norms) or not offsets:
        return False
    return bool((norms[0, offsets] <= ALONE["offset"]).all())
