"""Runs that end before their first update.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

from keras_gradguard._text import count
from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.findings.build import in_a_run


def never_updated(trace):
    """Judge whether an update takes more batches than the run has.

    Keras averages the gradients of `gradient_accumulation_steps` batches before
    it changes a weight. It goes on counting in the next `fit`.
    """
    every = trace.run.optimizer.accumulates
    epochs, per_epoch = trace.run.epochs_planned, trace.run.steps_per_epoch
    if not epochs or not per_epoch or len(trace.steps):
        return None
    batches = epochs * per_epoch
    if batches >= every:
        return None
    return in_a_run(
        trace,
        rule="update_ratio",
        severity="critical",
        layers=[],
        first_step=0,
        last_step=0,
        evidence={
            "kind": "accumulation",
            "batches": batches,
            "threshold": every,
        },
        message=(
            "No weight is changed in this run: one update takes the gradients "
            f"of {number(every)} batches, but there are only "
            f"{count(batches, 'batch', 'batches')}."
        ),
        remedies=[
            training.set_optimizer_arguments(
                "Update after each batch",
                "Averaged gradients stand for a large batch. A few batches to "
                "an update are usual.",
                gradient_accumulation_steps=None,
            )
        ],
    )
