"""Runs in which no sample counts: the loss is 0, though nothing was learnt.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard.diagnosis.evidence.harm import facts_of
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.remedies.training import fit_without_weights
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import OF_ALL
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import OF_PLAN
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import SURE
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.findings.remedy import Remedy
from keras_gradguard.trace.facts import known

_CLASSES = (
    "binary_crossentropy",
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
)
_NUMBERS = ("mean_squared_error", "mean_absolute_error", "huber", "log_cosh")


def nothing_counts(trace):
    """Judge whether loss and gradient are 0 where the outputs are wrong.

    So it is where all sample weights are 0, or all targets are masked.
    """
    need = of_plan(trace, OF_PLAN, *OF_ALL)
    norms = trace.get("grad_norm", by="variable")[:need]
    norms = norms[:, trace.has_gradient]
    loss = trace.extra.get("loss")
    if loss is None or len(norms) < need or not norms.shape[1]:
        return None
    if (norms != 0).any() or (loss[:need] != 0).any():
        return None
    output = trace.run.output
    if output is None or not _wrong(output, facts_of(trace)):
        return None
    why = "All targets are masked, or all samples weigh 0."
    remedy = Remedy(
        "Look at what is masked",
        "A target that is masked counts for nothing.",
        "print(model.loss, x.shape, y.shape, y.min(), y.max())",
    )
    if trace.run.data.weighted:
        why = (
            "All sample weights are 0. A division of whole numbers "
            "(1 // count) makes zeros of weights."
        )
        remedy = fit_without_weights(
            trace.run,
            "Train without weights, or mend them",
            "A sample of weight 0 counts for nothing.",
        )
    first, seen = int(trace.steps[0]), int(trace.steps[need - 1])
    return in_a_run(
        trace,
        rule="frozen_layer",
        severity="critical",
        layers=[],
        first_step=first,
        last_step=int(trace.steps[-1]),
        evidence={
            "kind": "nothing_counts",
            "grad_norm": 0.0,
            "threshold": 0.0,
            "window": {"first_step": first, "last_step": seen},
        },
        message=(
            "The loss and every gradient are exactly zero, though the outputs "
            f"are not the targets. So no sample counts. {why}"
        ),
        remedies=[remedy],
    )


def _wrong(output, facts):
    """Whether outputs were so far from right that no loss of them is 0."""
    low, high = facts.output_min, facts.output_max
    if not known(low, high, facts.target_min, facts.target_max):
        return False
    if output.loss_name in _NUMBERS:
        apart = max(abs(low - facts.target_min), abs(high - facts.target_max))
        return apart > (1 - SURE) * max(1.0, abs(facts.target_max))
    if output.loss_name not in _CLASSES:
        return False
    if output.from_logits:
        return max(abs(low), abs(high)) < np.log(SURE / (1 - SURE))
    return low > 1 - SURE and high < SURE
