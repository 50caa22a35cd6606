"""Outputs that have nothing to do with the targets.

The judgement takes a `Trace` and the `Output`, and returns a finding with the
step by which it was seen, or None.
"""

import math

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.evidence.reference import Bounds
from keras_gradguard.diagnosis.evidence.reference import hardly_in_words
from keras_gradguard.diagnosis.evidence.reference import nothing_in_words
from keras_gradguard.diagnosis.evidence.scores import guessed_so_far
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.evidence.way import way_gone
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.rules.output_mismatch.learnt import few_first
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import BY_HEART
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import UNRELATED
from keras_gradguard.findings.remedy import Remedy


def unrelated(trace, output):
    """Judge whether outputs that moved far have nothing to do with the targets.

    The weights have moved by more than half of their size and the outputs
    differ from input to input, so the steps are not at fault. No cause that is
    known explains it: what is left is that the targets belong to other inputs.
    Where trivial learners get a good deal out of the same rows they do not, and
    it is not told. Where these get nothing, weights that moved by a tenth are
    enough after half of the plan. So they are where these get little, and
    validation never got beyond guessing. Where these get hardly anything, and
    late in the plan the run has gained next to nothing of rows that it has seen
    five times, it may have learnt some of them by heart, and is told as well:
    of three classes and more. Numbers and a choice of two may be as noisy.
    """
    learning = Learning.of(trace)
    steps, middle, gone = way_gone(trace)
    if not len(learning) or len(steps) < 2:
        return None
    at = np.searchsorted(steps, learning.steps, "right") - 1
    moved = np.where(at >= 0, gone[at], 0.0)
    due = of_plan(trace, *UNRELATED["wait"])
    images = len(trace.run.data.target_shape or ()) > 1
    many = learning.numbers and (output.units or 1) > 1
    if images or many or output.loss_name is None:
        # Of many numbers at once a correlation says little.
        return None
    run = learning.steps - int(trace.steps[0])
    with np.errstate(invalid="ignore"):
        differ = learning.contrast > UNRELATED["contrast"]
        far = (moved > UNRELATED["moved"]) & (middle[at] < UNRELATED["calm"])
        # Then the steps need not have gone as far.
        half = UNRELATED["of_plan"] * (planned_steps(trace) or math.inf)
        enough = (moved > UNRELATED["little"]) & (run >= half)
        bounds = Bounds.of(trace)
        guessed = np.zeros(len(learning), bool)
        if nothing_in_words(trace):
            far |= enough
        if bounds is not None and not bounds.tells:
            guessed = guessed_so_far(trace, learning.steps)
        bad = differ & far & (np.abs(learning.follows) < UNRELATED["follows"])
        bad &= learning.little(UNRELATED["fallen"]) & ~learning.good
        # Outputs that still come down to the targets' size drown what follows.
        above = learning.gain < -UNRELATED["above"]
        bad &= ~(above & learning.falling & ~learning.stalled)
    if bounds is not None and bounds.tells and not _noise(trace.run):
        bad &= learning.steps < trace.run.reference.step
    bad = count_within(bad & ~learning.at_ceiling, 3) == 3
    # Or the rows of training are learnt by heart.
    some = _by_heart(trace, learning, moved)
    seen = np.flatnonzero((bad & (run >= due)) | (enough & guessed) | some)
    if not len(seen):
        return None
    at, more = seen[0], nothing_in_words(trace)
    text = (
        "what comes out has nothing to do with the targets, though the weights "
        f"have moved by {number(100 * float(moved[at]))} % of their size. So "
        "the steps are large enough, and the inputs do not tell the targets. "
    )
    if guessed[at]:
        text = (
            "validation has never got beyond guessing, though the weights have "
            f"moved by {number(100 * float(moved[at]))} % of their size. So "
            "what the run learns it learns by heart, and the inputs do not "
            "tell the targets. "
        )
    if some[at]:
        more = ""
        text = (
            "what comes out has little to do with the targets. The weights "
            f"have moved by {number(100 * float(moved[at]))} % of their size, "
            f"{hardly_in_words(trace)}. So the steps are large enough. What "
            "is learnt is learnt by heart: the inputs do not tell the targets. "
        )
    return int(learning.steps[at]), mismatch(
        output,
        "unrelated",
        f"{text}{more}{_where_to_look(trace.run)}",
        [
            *_without_noise(trace.run),
            Remedy(
                "Look at rows of x beside those of y",
                "Where they belong together, you can see for a few rows why "
                "the target is what it is.",
                "for row in range(5):\n    print(y[row], x[row].ravel()[:12])",
            ),
            few_first(),
        ],
        severity="warning",
        moved=float(moved[at]),
        correlation=float(learning.follows[at]),
    )


def _by_heart(trace, learning, moved):
    """Return (K,): the run knows little more than some rows by heart."""
    plan, per_epoch = planned_steps(trace), trace.run.steps_per_epoch
    known = trace.run.reference
    few = known is None or known.classes < BY_HEART["classes"]
    if few or not plan or not per_epoch or not hardly_in_words(trace):
        return np.zeros(len(learning), bool)
    run = learning.steps - int(trace.steps[0])
    late = run >= BY_HEART["of_plan"] * plan
    late &= run >= BY_HEART["epochs"] * per_epoch
    with np.errstate(invalid="ignore"):
        little = np.fmax(learning.gain, learning.explained) < BY_HEART["gain"]
    # A relation that is faint, and more than chance, is one.
    little &= np.isnan(learning.related) & ~learning.good
    little &= moved > BY_HEART["moved"]
    little &= ~(known.step > learning.steps)
    return late & little & (not _noise(trace.run))


def _without_noise(run):
    noise = _noise(run)
    why = "If it learns then, the noise was too strong."
    return [changes.leave_out(noise, why)] if noise else []


def _where_to_look(run):
    asked, noise = "", _noise(run)
    if noise:
        asked = f"Does the noise of {names(noise)} drown them? "
    return f"{asked}Were the rows of x and y shuffled or sorted apart?"


def _noise(run):
    """Return the layers whose noise may be what is left of the inputs."""
    return [
        path
        for path, info in run.noise.items()
        if not isinstance(info.get("rate"), int | float)
        or info["rate"] > UNRELATED["noise"]
    ]
