"""One output of several whose loss hardly counts beside that of the others.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

import json

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.remedies.code import compile_with
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import OUTVOTED
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.findings.remedy import Remedy


def outvoted(trace):
    """Judge whether an output learns nothing, since others count for all.

    Its logged loss has not fallen, while the others' did. And the sum of the
    losses is so many times its own that it makes up a thousandth of it.
    """
    logs, names = trace.logs, [str(o.name) for o in trace.run.outputs]
    known = [name for name in names if f"{name}_loss" in logs]
    plan = planned_steps(trace)
    if len(known) < 2 or len(known) < len(names) or "loss" not in logs:
        return None
    losses = np.stack([logs[f"{name}_loss"] for name in known], axis=1)
    weights = _weights(trace.run, known)
    if weights is None or not np.isfinite(losses).all() or not len(losses):
        return None
    with np.errstate(all="ignore"):
        sizes = np.abs(losses * weights)
        share = sizes / np.maximum(sizes.sum(axis=1, keepdims=True), 1e-30)
        fallen = 1 - losses / np.maximum(losses[:1], 1e-30)
    if not np.isfinite(share).all() or not np.isfinite(fallen).all():
        return None
    epoch = np.arange(len(losses)) + 1
    late = epoch >= OUTVOTED["epochs"]
    if plan is not None and len(trace.steps):
        run = trace.epoch_steps - int(trace.steps[0]) + 1
        late &= run >= OUTVOTED["of_plan"] * plan
    little = (share < OUTVOTED["share"]).all(axis=0)
    for at in np.flatnonzero(late):
        stays = little & (fallen[: at + 1].max(axis=0) < OUTVOTED["fallen"])
        others = fallen[at][~little]
        if stays.any() and len(others) and others.max() > OUTVOTED["others"]:
            mine = int(np.argmax(stays))
            return _finding(trace, known, sizes[0], share, mine, int(at))
    return None


def _weights(run, known):
    """Return the weight of each output's loss, None if that is not told."""
    told = run.compiled.get("loss_weights")
    if told is None:
        return np.ones(len(known))
    entries = told.get("entries") if isinstance(told, dict) else told
    if isinstance(entries, dict):
        entries = [entries.get(name, 1.0) for name in known]
    if not isinstance(entries, list | tuple) or len(entries) != len(known):
        return None
    plain = all(isinstance(part, int | float) for part in entries)
    return np.array(entries, np.float64) if plain else None


def _finding(trace, known, sizes, share, mine, at):
    first, stop = int(trace.steps[0]), int(trace.epoch_steps[at])
    largest = int(np.argmax(sizes))
    part = float(share[at, mine])
    old = _weights(trace.run, known)
    new = {
        name: float(f"{weight * sizes[mine] / max(size, 1e-30):.2g}")
        for name, weight, size in zip(known, old, sizes, strict=True)
    }
    new[known[mine]] = float(old[mine])
    layer = trace.run.outputs[mine].layer
    return in_a_run(
        trace,
        rule="update_ratio",
        severity="warning",
        layers=[str(layer)] if layer else [],
        first_step=first,
        last_step=int(trace.steps[-1]),
        evidence={
            "kind": "outvoted",
            "output": known[mine],
            "share": part,
            "threshold": OUTVOTED["share"],
            "window": {"first_step": first, "last_step": stop},
        },
        message=(
            f"The output {known[mine]} learns nothing: its loss is "
            f"{number(100 * part)} % of the sum, and has not fallen by step "
            f"{stop}. Nearly all of each step is for {known[largest]}."
        ),
        remedies=[
            Remedy(
                "Weigh the losses so that they count alike",
                "Then each output has its part in every step. With a smaller "
                "sum the learning rate may have to be larger.",
                compile_with(trace.run, weights=json.dumps(new)),
            )
        ],
    )
