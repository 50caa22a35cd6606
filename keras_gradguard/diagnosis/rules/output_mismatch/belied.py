"""A loss that tells of more than accuracy grants.

The judgement takes a `Trace` and the `Output`, and returns a finding with the
step by which it was seen, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.scores import belied as belied_epochs
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch


def belied(trace, output):
    """Judge whether the loss and accuracy cannot both be right.

    What comes out is no probability then, though the loss takes it for one, or
    accuracy is counted against other classes than those of the targets.
    """
    bad, granted, accuracy = belied_epochs(trace)
    ends = trace.epoch_steps[: len(bad)]
    seen = np.flatnonzero(bad & (ends <= trace.steps[-1]))
    if not len(seen):
        return None
    at = int(seen[0])
    remedies = []
    if output.activation != "softmax" and not output.from_logits:
        remedies = [
            changes.output(
                output,
                "Softmax gives probabilities that add up to 1.",
                activation="softmax",
            )
        ]
    return int(ends[at]), mismatch(
        output,
        "belied",
        f"the loss of epoch {at} says that the right class gets at least "
        f"{number(100 * float(granted[at]))} % on average, but accuracy is "
        f"{number(100 * float(accuracy[at]))} %. Both cannot be so. Either "
        "the outputs are no probabilities, or accuracy counts other classes "
        "than those of the targets.",
        [
            *remedies,
            changes.words(
                "Look at predictions beside their targets",
                "Each row of probabilities adds up to 1, and its largest "
                "number stands in the column of the class.",
                "for row in range(5):\n"
                "    print(y[row], model.predict(x[row : row + 1], verbose=0))",
            ),
        ],
        granted=float(granted[at]),
        accuracy=float(accuracy[at]),
    )
