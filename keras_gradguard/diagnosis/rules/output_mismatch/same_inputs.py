"""Batches whose targets belong to other inputs.

The judgement takes a `Trace` and an `Output` and returns a finding with the
step by which it was seen, or None.
"""

import dataclasses

import numpy as np

from keras_gradguard.diagnosis.evidence.baseline import guess_of
from keras_gradguard.diagnosis.evidence.scores import both_scores
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import BATCHES
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import ONE_BATCH
from keras_gradguard.findings.remedy import Remedy

_SEEN = ("mean", "std", "min", "max")


def same_inputs(trace, output):
    """Judge whether each batch holds the same inputs, and other targets.

    So a reader does that fills one array again and again and hands it out
    each time: all that was handed out is then what was read last.
    """
    inputs, targets = _of(trace, "input"), _of(trace, "target")
    # The last batch of an epoch may be smaller.
    samples = trace.data("samples")
    whole = np.flatnonzero(samples == samples[:1])
    if len(whole) < BATCHES:
        return None
    first = whole[:BATCHES]
    x, y = inputs[first], targets[first]
    known = np.isfinite(x).all() and np.isfinite(y).all()
    if not known or (x != x[0]).any() or len(np.unique(y, axis=0)) < BATCHES:
        return None
    if (inputs[whole] != x[0]).any() or x[0, _SEEN.index("std")] == 0:
        # Inputs that are all one number are told as such.
        return None
    found = mismatch(
        output,
        "same_inputs",
        "",
        [_copies()],
        batches=len(whole),
        threshold=BATCHES,
    )
    text = (
        f"All {len(whole)} batches that were measured hold the same inputs, "
        "each with other targets. So the targets belong to other inputs, and "
        "nothing can be learnt. A reader that fills one array again and again "
        "hands out the same array each time."
    )
    step = int(trace.activation_steps[first[-1]])
    return step, dataclasses.replace(found, message=text, layers=[])


def one_batch(trace, output):
    """Judge whether each batch is the same one, and validation shows it.

    Who learns one batch by heart on purpose does not validate by others.
    """
    inputs, targets = _of(trace, "input"), _of(trace, "target")
    if (trace.run.steps_per_epoch or 0) < 2 or len(inputs) < BATCHES:
        return None
    both = np.hstack([inputs, targets])
    if not np.isfinite(both).all() or (both != both[0]).any():
        return None
    # Rows that are all alike make each batch the same, too.
    varies = inputs[0, _SEEN.index("std")] * targets[0, _SEEN.index("std")]
    need = ONE_BATCH["batches"]
    apart = np.flatnonzero(_validates_worse(trace))
    if not varies or len(both) < need or not len(apart):
        return None
    step = int(trace.epoch_steps[apart[0]])
    found = mismatch(
        output,
        "one_batch",
        "",
        [_all_rows(trace.run)],
        batches=len(both),
        threshold=need,
    )
    text = (
        f"All {len(both)} batches that were measured are the same one, of "
        f"{trace.run.steps_per_epoch} in an epoch. So the other rows are never "
        "learnt, and validation shows it."
    )
    step = max(step, int(trace.activation_steps[need - 1]))
    return step, dataclasses.replace(found, message=text, layers=[])


def _validates_worse(trace):
    """Return (E,): validation is far behind training."""
    found = np.zeros(len(trace.epochs), bool)
    with np.errstate(invalid="ignore"):
        for _, score, held_out, chance in both_scores(trace):
            found |= (score - held_out > ONE_BATCH["score"]) & (score > chance)
        loss, held_out = trace.logs.get("loss"), trace.logs.get("val_loss")
        guess = guess_of(trace, min(len(trace.activation_steps), 1))
        if loss is not None and held_out is not None and len(guess):
            above = held_out > guess[0]
            found |= above & (held_out > ONE_BATCH["loss"] * loss)
    return found


def _all_rows(run):
    return Remedy(
        "Hand out all rows",
        "A reader that begins anew for each batch gives the first one each "
        "time: let it go on, or pass arrays.",
        f"model.fit(x, y, epochs={run.epochs_planned or 10})  # all rows",
    )


def _of(trace, part):
    """Return (K, 4): what was measured of inputs or targets."""
    return np.stack([trace.data(f"{part}_{name}") for name in _SEEN], axis=1)


def _copies():
    return Remedy(
        "Hand out a copy of each batch",
        "An array that is filled again changes all batches that hold it. "
        "In the reader, write `page.copy()` where it says `page`, or train on "
        "copies of what a generator gives.",
        "import numpy as np\n"
        "\n"
        "def copied(batches):\n"
        "    for batch in batches:\n"
        "        yield keras.tree.map_structure(np.array, batch)\n"
        "\n"
        "# model.fit(copied(reader()), ...)",
    )
