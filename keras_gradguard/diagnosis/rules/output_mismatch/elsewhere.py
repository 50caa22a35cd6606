"""A loss of one's own that falls while the outputs leave the targets alone.

The judgement takes a `Trace` and an `Output` and returns a finding with the
step by which it was seen, or None.
"""

import math

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
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import TURNED
from keras_gradguard.findings.remedy import Remedy


def leads_elsewhere(trace, output):
    """Judge whether a loss of one's own asks for something else.

    Trivial learners explain the targets, and the outputs shrink to a constant
    or go against the targets, mostly while the loss falls by half. So it has a
    sign turned round, takes them from the wrong place, or does not read them.

    Of shares of many places no learner is needed: outputs of sigmoids that are
    small where the target is 1, and large where it is 0, are turned round.
    """
    known, run = trace.run.reference, trace.run
    given, wanted = run.data.output_shape, run.data.target_shape
    learning = Learning.of(trace)
    if output.loss is not None or run.own_loss is None:
        return None
    if known is None:
        return _turned(trace, output)
    if run.own_loss != "function":
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
        against &= not _are_distances(trace, output, len(learning))
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


def _are_distances(trace, output, count):
    """Whether outputs may be distances, small where 1 says alike."""
    ends = [
        trace.data(f"{part}_{end}")[:count]
        for part in ("output", "target")
        for end in ("min", "max")
    ]
    with np.errstate(invalid="ignore"):
        marks = bool(((ends[2] == 0) & (ends[3] == 1)).all())
        never_below = bool((ends[0] >= 0).all())
    return output.activation is None and marks and never_below


def _turned(trace, output):
    """Judge whether shares of many places go against shares that are wanted."""
    run, learning = trace.run, Learning.of(trace)
    wanted, count = run.data.target_shape, len(learning)
    # One number for each row may be a distance, and numbers that add up to 1
    # may choose what costs least.
    many = math.prod(n if isinstance(n, int) else 2 for n in wanted or ()) > 1
    if output.activation != "sigmoid" or not many or count < 2:
        return None
    if run.data.output_shape not in (wanted, [*wanted, 1]):
        return None
    low, high = (trace.data(f"target_{end}")[:count] for end in ("min", "max"))
    with np.errstate(invalid="ignore"):
        shares = bool(((low >= 0) & (high <= 1)).all())
        against = learning.follows < -TURNED["against"]
        # What is still about to turn back has its worst behind it.
        against &= learning.follows <= np.fmin.accumulate(learning.follows)
        fell = learning.fallen > TURNED["fallen"]
    ran = learning.steps - int(trace.steps[0])
    wrong = against & fell & (ran >= of_plan(trace, *TURNED["wait"]))
    again = wrong & np.concatenate([[False], wrong[:-1]])
    seen = np.flatnonzero(again)
    if not shares or not len(seen):
        return None
    at = seen[0]
    turned = "# in your own `compute_loss`:\n# return 1 - likeness"
    if run.own_loss == "function":
        turned = (
            "like = model.loss\n"
            "model.compile(model.optimizer, lambda t, p: 1 - like(t, p))"
        )
    return int(learning.steps[at]), mismatch(
        output,
        "turned_round",
        "the loss falls, but the outputs go against the targets: their "
        f"correlation is {number(learning.follows[at])}. So the loss "
        f"{run.loss_name} has its sign turned round: it is small where the two "
        "are least alike.",
        [
            Remedy(
                "Turn the sign of the loss round",
                "An overlap or a likeness is to grow, and `fit` makes the loss "
                "small.",
                turned,
            ),
            changes.output(
                output,
                "If it cures the run, the fault lies in the loss of your own.",
                loss="binary_crossentropy",
            ),
        ],
        follows=float(learning.follows[at]),
    )
