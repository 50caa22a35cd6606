"""Attention whose scores have no effect on what comes out.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

import numpy as np

from keras_gradguard._text import names
from keras_gradguard.diagnosis.evidence.harm import not_learnt_until
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import LITTLE
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import OF_PLAN
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import OF_SOME
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import SCORES
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.findings.remedy import Remedy

_SCORES = ("query", "key")


def scores_cut_off(trace):
    """Judge whether an attention gives the same whatever its scores.

    Its value then gets a gradient, while query and key get none to speak of:
    all rows that it may look at are alike, or it looks at one alone.
    """
    need = of_plan(trace, OF_PLAN, *OF_SOME)
    learning = Learning.of(trace)
    if len(trace.steps) < need or not len(learning):
        return None
    norms = trace.layer_norms(0, need).astype(np.float64)
    places = {str(layer): at for at, layer in enumerate(trace.layers)}
    told = []
    for layer, at in places.items():
        parent, _, name = layer.rpartition("/")
        beside = [places.get(f"{parent}/{score}") for score in _SCORES]
        if name != "value" or not parent or None in beside:
            continue
        value, scores = norms[:, at], norms[:, beside]
        with np.errstate(invalid="ignore"):
            small = (scores < SCORES * value[:, None]).all()
        if small and np.isfinite(value).all() and (value > 0).all():
            told.append(parent)
    run = learning.steps - int(trace.steps[0])
    blind = learning.blind | learning.idle(LITTLE)
    seen = np.flatnonzero((run + 1 >= need) & blind & ~learning.good)
    if not told or not len(seen):
        return None
    stop = int(learning.steps[seen[0]])
    first = int(trace.steps[0])
    text = (
        f"{names(told)}: query and key get no gradient, while the value gets "
        "one. So it makes no difference which rows attend to which: those that "
        "the mask leaves are all alike, or there is one. Does the mask leave "
        "out what it should keep? In Keras True means: may be attended to."
    )
    return in_a_run(
        trace,
        rule="frozen_layer",
        severity="critical",
        layers=told,
        first_step=first,
        last_step=not_learnt_until(trace, stop),
        evidence={
            "kind": "scores_cut_off",
            "threshold": SCORES,
            "window": {"first_step": first, "last_step": stop},
        },
        message=text,
        remedies=[
            Remedy(
                "Turn the mask over where you make it",
                "`attention_mask` is True where a row may be attended to, "
                "`use_causal_mask` where a row may look back. Padding is 0.",
                "# attention_mask=keras.ops.not_equal(ids, 0)[:, None]",
            )
        ],
    )
