"""Remedies for gradients of exactly zero."""

from keras_gradguard.diagnosis.evidence.harm import facts_of
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies.losses import by_usual_loss
from keras_gradguard.diagnosis.remedies.own_code import connect
from keras_gradguard.diagnosis.remedies.own_code import pass_through
from keras_gradguard.diagnosis.remedies.own_code import start_at_one


def for_certain():
    """Return remedies for outputs that are 0 and 1 exactly from the start."""
    return [
        changes.normalize_inputs(
            "Inputs of unit scale give an output that is not certain yet."
        ),
        changes.convert(
            "he_relu",
            "Normalization brings what goes into each layer to unit scale.",
            normalization="batch",
        ),
    ]


def for_no_slope(run, facts):
    """Return remedies for a loss that no weight has an effect on.

    Args:
        run: `RunInfo` of the run or the model.
        facts: `DataFacts`, or None if nothing is known of the data.
    """
    found = [
        by_usual_loss(
            run,
            "Compute the loss from the outputs themselves",
            "A step has no slope: round, argmax, casts and comparisons belong "
            "into metrics.",
            facts,
        ),
        pass_through(run, []),
    ]
    cut = any(told["names"] for told in run.own_cuts.values())
    if run.own_loss is None and cut:
        # Keras's loss has a slope: what rounds is in a layer.
        found = [pass_through(run, list(run.layers))]
    return found


def all_by_keras(trace):
    """Return the remedy for a train step of one's own that leaves some out.

    Args:
        trace: `Trace` of the run.
    """
    return by_usual_loss(
        trace.run,
        "Train by Keras's own step, which applies all gradients",
        "If these layers learn so, give `apply` the gradients of "
        "`self.trainable_variables` in your own step, and not of some.",
        facts_of(trace),
    )


def for_cut_off(run, layers):
    """Return remedies for layers that no gradient reaches.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. The layers, in forward order.
    """
    first, remedy = connect(run)
    through = pass_through(run, layers)
    found = [remedy, through] if first else [through, remedy]
    return [*start_at_one(run), *found]
