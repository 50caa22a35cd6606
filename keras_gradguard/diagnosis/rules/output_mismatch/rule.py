"""Outputs, losses and targets that do not belong together."""

from keras_gradguard.diagnosis.evidence.harm import began
from keras_gradguard.diagnosis.evidence.harm import dated
from keras_gradguard.diagnosis.evidence.harm import facts_of
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.harm import wanting_at
from keras_gradguard.diagnosis.evidence.meta import output_of
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import (
    judge_pairing,
)
from keras_gradguard.diagnosis.rules.output_mismatch.targets import (
    judge_targets,
)
from keras_gradguard.diagnosis.rules.rule import Rule

# Nobody has to wait for these: no training makes up for them.
_HOPELESS = (
    "softmax_one_unit",
    "categorical_one_unit",
    "signed_labels",
    "fractions_for_classes",
    "too_few_units",
    "one_hot_for_sparse",
    "numbers_for_categorical",
    "one_hot_for_one_unit",
)


class OutputMismatch(Rule):
    """Finds outputs, losses and targets that do not belong together.

    The configuration of the last layer and of the loss is judged before the
    first step, the range of the targets with the first batch. What no training
    makes up for (a softmax over one unit, labels outside the classes) is told
    at once; the rest (ReLU before a crossentropy, targets that the activation
    cannot reach) once the run has had 30 records and has not learnt, or stalls
    after 100 without having learnt a good part, or its loss is not finite.
    Models with several outputs are not judged.

    Notes:
        The loss is not trusted: Keras computes a crossentropy from what goes
        into a softmax or sigmoid, so that it may fall while the predictions
        stay as they are.
    """

    id = "output_mismatch"

    def check(self, trace):
        """See `Rule.check`."""
        output = output_of(trace)
        if output is None:
            return []
        found = judge_targets(output, facts_of(trace))
        found = found or judge_pairing(output)
        found = [f for f in found if not f.evidence.get("trains")]
        if not found:
            return []
        first = began(trace)
        if found[0].evidence.get("kind") in _HOPELESS:
            seen = first
        else:
            seen = harmed_at(trace)
            seen = wanting_at(trace) if seen is None else seen
        return [dated(trace, f, first, seen) for f in found if seen is not None]
