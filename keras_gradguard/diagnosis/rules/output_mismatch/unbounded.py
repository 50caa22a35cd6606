"""Outputs of any size in a loss of one's own that wants shares of 0 to 1.

The judgement takes a `Trace` and an `Output` and returns a finding with the
step by which it was seen, or None.
"""

import dataclasses

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.learning import still_short
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies.code import compile_with
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import mismatch
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import UNBOUNDED


def unbounded(trace, output):
    """Judge whether outputs leave 0 to 1, where the targets are 0 and 1.

    An overlap, a product or a logarithm of such outputs has another optimum
    than the one meant, or none. It is reported where the code of the loss
    neither bounds what it is given nor takes it for logits, and little is
    learnt: a squared error by hand copes. Or the loss has a quotient that got
    below 0 by outputs far beyond.
    """
    run = trace.run
    learning, count = Learning.of(trace), len(Learning.of(trace))
    if run.own_loss is None or run.own_code.get("bounds") is not False:
        return None
    if not count or output.activation not in (None, "linear", "relu"):
        return None
    low, high = (trace.data(f"output_{end}")[:count] for end in ("min", "max"))
    with np.errstate(invalid="ignore"):
        marks = trace.data("target_fraction")[:count] == 0
        marks &= trace.data("target_min")[:count] == 0
        marks &= trace.data("target_max")[:count] == 1
        beyond = (low < -UNBOUNDED["far"]) | (high > 1 + UNBOUNDED["far"])
    if not marks.all():
        return None
    wait = of_plan(trace, *UNBOUNDED["wait"])
    late = learning.steps - int(trace.steps[0]) >= wait
    short = still_short(trace, UNBOUNDED["fallen"], wait)
    short &= ~(learning.follows >= UNBOUNDED["follows"])
    with np.errstate(invalid="ignore"):
        # However the loss falls, the outputs cease to follow the targets.
        best = np.fmax.accumulate(learning.follows)
        off_the_way = learning.follows < UNBOUNDED["lost"] * best
        off_the_way &= learning.follows < UNBOUNDED["unrelated"]
    short |= off_the_way & ~learning.good
    # What was learnt is lost on the way to that optimum.
    short |= np.logical_or.accumulate(learning.good) & ~learning.good
    with np.errstate(invalid="ignore"):
        # A distance is the smaller, the more alike two things are.
        apart = np.logical_and.accumulate(low >= 0)
        short &= ~(apart & (learning.follows < -UNBOUNDED["distance"]))
    bad = count_within(beyond, UNBOUNDED["measured"]) == UNBOUNDED["measured"]
    bad &= short
    with np.errstate(invalid="ignore"):
        # A quotient of sums that are meant to be shares is none below 0.
        off = (low < -UNBOUNDED["off"]) | (high > 1 + UNBOUNDED["off"])
        off &= (learning.late < 0) & ("/" in run.own_code.get("loss", ()))
    if learning.good[-1] and not off[-1]:
        return None
    seen = learning.steps[late & (bad | off)].tolist()[:1]
    harmed = harmed_at(trace)
    if harmed is not None and (at := learning.at(harmed)) >= 0:
        # A loss that is NaN has a cause of its own.
        known = np.isfinite(learning.late[at])
        seen += [harmed] if known and beyond[: at + 1].any() else []
    if not seen:
        return None
    upto = max(learning.at(min(seen)), 0) + 1
    least, most = float(np.nanmin(low[:upto])), float(np.nanmax(high[:upto]))
    found = mismatch(
        output,
        "unbounded",
        "",
        [_bound(run, output)],
        lowest=least,
        highest=most,
    )
    text = (
        f"The targets are 0 and 1, but the outputs go from {number(least)} to "
        f"{number(most)}. Nothing bounds them, and neither does your loss. "
        "What it computes from numbers beyond 0 and 1 is smallest elsewhere "
        "than at the targets."
    )
    return min(seen), dataclasses.replace(found, message=text)


def _bound(run, output):
    why = "A sigmoid gives shares of 0 to 1."
    if output.layer and run.model_kind != "subclassed":
        return changes.output(output, why, activation="sigmoid")
    return changes.words(
        "Put a sigmoid behind the model",
        why,
        "call = model.call\n"
        "\n"
        "\n"
        "def bounded(*args, **kwargs):\n"
        "    return keras.ops.sigmoid(call(*args, **kwargs))\n"
        "\n"
        "\n"
        f"model.call = bounded  # or in your own `call`\n{compile_with(run)}",
    )
