"""A state that no activation bounds, and that ran off.

The judgement takes a `Trace` and returns a `Growth`, or None.
"""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.recurrent import unbounded
from keras_gradguard.diagnosis.rules.exploding_gradient.growth import Growth
from keras_gradguard.diagnosis.rules.exploding_gradient.thresholds import (
    FREE_STATE,
)


def free_state(trace):
    """Judge whether the state of a recurrent layer has left all bounds.

    Its outputs are a hundred times as large as they were at an earlier
    measurement, and the loss is far above that of then. Most often no gradient
    is left: the state is so large that what comes behind gives 0 and 1.
    """
    learning = Learning.of(trace)
    # Outputs are those of the layer, and the weights of the cell in it.
    free = {trace.run.of_user(path)[0] for path in unbounded(trace.run)}
    loss = trace.extra.get("loss")
    sites = [at for at, site in enumerate(trace.sites) if site in free]
    at = np.searchsorted(trace.steps, learning.steps)
    count = int(np.count_nonzero(at < len(trace.steps)))
    if not sites or loss is None or count < 2:
        return None
    mean, std = (
        trace.activation(part)[:count, sites].astype(np.float64)
        for part in ("mean", "std")
    )
    for now in range(1, count):
        for column, site in enumerate(sites):
            sizes = np.hypot(mean[: now + 1, column], std[: now + 1, column])
            then = int(np.argmin(np.where(sizes > 0, sizes, np.inf)[:now]))
            before, after = float(loss[at[then]]), float(loss[at[now]])
            # Infinite where float32 cannot hold the squares.
            grown = sizes[now] > FREE_STATE["outputs"] * sizes[then] > 0
            worse = after > before + FREE_STATE["loss"] * abs(before)
            if grown and worse and not learning.good[now]:
                steps = learning.steps[[then, now]].tolist()
                sizes = sizes[[then, now]].tolist()
                losses = [before, after]
                return _growth(
                    trace, str(trace.sites[site]), steps, sizes, losses
                )
    return None


def _growth(trace, layer, steps, sizes, losses):
    text = (
        f"Its outputs were {number(sizes[0])} in size at step {steps[0]} and "
        + (
            f"are {number(sizes[1])}"
            if np.isfinite(sizes[1])
            else "are more than 10^19"
        )
        + f" at step {steps[1]}. The loss went from {number(losses[0])} to "
        f"{number(losses[1])}."
    )
    evidence = {
        "kind": "free_state",
        "growth": sizes[1] / sizes[0],
        "threshold": FREE_STATE["outputs"],
        "window": {"first_step": steps[0], "last_step": steps[1]},
    }
    return Growth([layer], steps[0], int(trace.steps[-1]), evidence, text)
