"""Gradients that a train step of the user's own adds up and never clears.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.harm import not_learnt_until
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.rules.update_ratio.thresholds import UNCLEARED
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.findings.remedy import Remedy

_CLEARED = (
    "step = model.train_step\n"
    "\n"
    "\n"
    "def cleared(data):\n"
    "    model.zero_grad()  # or in your own `train_step`, before `backward`\n"
    "    return step(data)\n"
    "\n"
    "\n"
    "model.train_step = cleared"
)


def uncleared(trace):
    """Judge whether each step goes by the gradients of all steps before.

    A pass backward found what an update had used, and the norm grew from the
    first on, as that of a sum does.
    """
    if not trace.run.uncleared:
        return None
    few, start = of_plan(trace, *UNCLEARED["wait"]), int(trace.steps[0])
    seen = [harmed_at(trace)]
    if len(trace.steps) >= few:
        norms = trace.global_norms(0, few)
        with np.errstate(invalid="ignore"):
            if norms[1:].max() > UNCLEARED["grown"] * norms[0] > 0:
                seen.append(int(trace.steps[few - 1]))
    seen = [step for step in seen if step is not None]
    if not seen:
        return None
    norms = trace.global_norms(0, min(few, len(trace.steps)))
    return in_a_run(
        trace,
        rule="update_ratio",
        severity="critical",
        layers=[],
        first_step=start,
        last_step=max(int(trace.steps[-1]), not_learnt_until(trace, min(seen))),
        evidence={
            "kind": "uncleared",
            "grad_norm": [float(norm) for norm in norms],
            "threshold": UNCLEARED["grown"],
            "window": {"first_step": start, "last_step": min(seen)},
        },
        message=(
            "The train step never clears the gradients. On torch `backward` "
            "adds to what is there, so each step goes by the sum of all steps "
            f"before. The norm of the gradient was {number(float(norms[0]))} "
            f"at first, and {number(float(np.nanmax(norms)))} within "
            f"{len(norms)} steps."
        ),
        remedies=[
            Remedy(
                "Clear the gradients before `backward`",
                "Keras's own step does so by `self.zero_grad()`.",
                _CLEARED,
            )
        ],
    )
