"""Classes of several that are too rare to count.

The judgement takes a `Trace` and an `Output` and returns a finding with the
step by which it was seen, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.batch import loss_weight
from keras_gradguard.diagnosis.evidence.frequencies import Moments
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.rules.output_mismatch.learnt import (
    missed_by_accuracy,
)
from keras_gradguard.diagnosis.rules.output_mismatch.learnt import of_share
from keras_gradguard.diagnosis.rules.output_mismatch.learnt import waits
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import GAIN
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import RARE
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import (
    SAME_SHARE,
)
from keras_gradguard.findings.remedy import Remedy


def rare_classes(trace, output):
    """Judge whether all but the first or the last of several classes are rare.

    The mean of their numbers bounds the share of the others: each of them is
    one or more away. The loss is compared with that of the frequencies.
    """
    learning = Learning.of(trace)
    count = len(learning)
    moments = Moments.of(trace, count)
    if moments is None or count < 5:
        return None
    last = moments.classes - 1
    with np.errstate(all="ignore"):
        share = np.minimum(moments.mean, last - moments.mean)
        guess = moments.entropy()
        # The batches that were measured may hold more of them than others.
        missed = missed_by_accuracy(trace, learning, True)
        fewer = (missed > SAME_SHARE * share / last) & (share > missed)
        most = of_share(missed) + missed * np.log(last)
        guess = np.where(fewer, np.fmin(guess, most), guess)
        share = np.where(fewer, missed, share)
        guess *= loss_weight(trace) or np.nan
        stuck = 1 - learning.late / guess < GAIN
        stuck &= ~(learning.follows >= 0.35)
        late = learning.steps - int(trace.steps[0]) >= waits(trace)
        seen = (share > 0) & (share < RARE) & stuck & late
    seen = np.flatnonzero(seen)
    if not len(seen):
        return None
    at = seen[0]
    common = 0 if moments.mean[at] < last / 2 else last
    part = float(share[at])
    return int(learning.steps[at]), mismatch(
        output,
        "rare_class",
        f"at most {number(100 * part)} % of the targets are other than "
        f"{common}, and the model gives {common} for every input. That costs "
        "next to nothing. Accuracy does not show it.",
        [
            Remedy(
                "Weigh the rare classes, or show them more often",
                "All classes then count alike.",
                _weighed(trace.run, moments),
            )
        ],
        share=part,
    )


def _weighed(run, moments):
    places = len(run.data.target_shape or ()) + 1 if moments.places else 1
    return (
        "import numpy as np\n"
        'labels = y.astype("int64")\n'
        f"counts = np.bincount(labels.ravel(), minlength={moments.classes})\n"
        "weights = np.minimum(100.0, counts.max() / np.maximum(counts, 1))\n"
        f"weights = weights[labels].reshape(y.shape[:{places}])\n"
        f"model.fit(x, y, epochs={run.epochs_planned or 10}, "
        "sample_weight=weights)"
    )
