"""A loss of one's own that falls while the outputs leave the targets alone.

The judgement takes a `Trace` and an `Output` and returns a finding with the
step by which it was seen, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.reference import in_words
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import COLLAPSED
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import CONSTANT
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import ELSEWHERE
from keras_gradguard.findings.remedy import Remedy


def leads_elsewhere(trace, output):
    """Judge whether a loss of one's own asks for something else.

    Trivial learners explain the targets, and the outputs shrink to a constant
    or go against the targets, mostly while the loss falls by half. So it has a
    sign turned round, takes them from the wrong place, or does not read them.
    """
    known, run = trace.run.reference, trace.run
    given, wanted = run.data.output_shape, run.data.target_shape
    learning = Learning.of(trace)
    if output.loss is not None or run.own_loss != "function" or known is None:
        return None
    if known.kind != "numbers" or known.score < ELSEWHERE["score"]:
        return None
    if wanted is None or given not in (wanted, [*wanted, 1]):
        return None
    if len(learning) < 2:
        return None
    ran = learning.steps - int(trace.steps[0])
    due = ran >= of_plan(trace, *ELSEWHERE["wait"])
    due &= learning.steps >= known.step
    with np.errstate(invalid="ignore"):
        widest = np.fmax.accumulate(learning.contrast)
        shrunk = (learning.contrast < COLLAPSED * widest) | learning.stalled
        shrunk &= (learning.contrast < CONSTANT) & (
            np.abs(learning.follows) < ELSEWHERE["follows"]
        )
        against = learning.follows < -ELSEWHERE["against"]
        fell = learning.fallen > ELSEWHERE["fallen"]
        # A loss that does not fall is waited for: it may only be slow.
        wrong = (against & fell) | (
            shrunk & (fell | (ran >= of_plan(trace, *ELSEWHERE["slow"])))
        )
    again = wrong & np.concatenate([[False], wrong[:-1]])
    seen = np.flatnonzero(due & again)
    if not len(seen):
        return None
    at = seen[0]
    text = ""
    if fell[at]:
        part = number(100 * learning.fallen[at])
        text = f"the loss has fallen by {part} %, but "
    if against[at]:
        so = (
            "the outputs go against the targets: their correlation is "
            f"{number(learning.follows[at])}"
        )
        why = "Its sign is turned round, or it rewards what lies far off."
    else:
        so = (
            "the outputs shrink to a constant: they vary by "
            f"{number(100 * learning.contrast[at])} % of what the targets do"
        )
        why = "It reads them from the wrong place, or not at all."
    name = run.loss_name
    return int(learning.steps[at]), mismatch(
        output,
        "leads_elsewhere",
        f"{text}{so}. {in_words(trace)}. So the loss {name} does not ask for "
        f"the targets. {why}",
        [
            changes.output(
                output,
                "If it cures the run, the fault lies in the loss of your own.",
                loss="mean_squared_error",
            ),
            Remedy(
                "See whether the loss reads its targets",
                "It has to be least where the outputs are the targets.",
                "import keras\n"
                "t = keras.ops.cast(y[:32], 'float32')\n"
                "outputs = model.predict(x[:32], verbose=0)\n"
                "outputs = keras.ops.convert_to_tensor(outputs)\n"
                "t = keras.ops.reshape(t, outputs.shape)\n"
                "print(model.loss(t, outputs), model.loss(t, t), "
                "model.loss(keras.ops.flip(t, 0), outputs))",
            ),
        ],
        contrast=float(learning.contrast[at]),
        follows=float(learning.follows[at]),
    )
