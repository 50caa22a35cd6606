"""A run that was broken off and goes on: one trace of both parts."""

from typing import Any

import numpy as np

from keras_gradguard.trace.series import ACTIVATION_SERIES
from keras_gradguard.trace.series import DATA_SERIES
from keras_gradguard.trace.series import GRADIENT_SERIES
from keras_gradguard.trace.series import UPDATE_SERIES


def first_step(trace):
    """Return the step of the optimizer that a trace begins at, or None."""
    begins = [
        int(steps[0])
        for steps in (trace.steps, trace.update_steps, trace.activation_steps)
        if len(steps)
    ]
    return min(begins, default=None)


def joined(earlier, trace, numbers_on=False):
    """Return an earlier part of a run, and behind it what came of it.

    What the earlier part recorded from the first step of the later one on is
    left out: these steps were made again. How far the weights are from those
    at the start is not known after the break.

    Args:
        earlier: `Trace`, or None.
        trace: `Trace` of the part that goes on.
        numbers_on: Bool. Whether epochs that count from 0 anew are numbered
            on. Defaults to False: they stay as Keras counted them.

    Returns:
        A `Trace`; `trace` itself where it does not go on from the other.
    """
    start = first_step(trace)
    goes_on = (
        earlier is not None
        and start is not None
        and _begins_before(earlier, start)
        and earlier.layers.tolist() == trace.layers.tolist()
        and earlier.variables.tolist() == trace.variables.tolist()
    )
    if not goes_on:
        return trace
    whole = type(trace)(
        trace.layers,
        trace.variables,
        trace.owners,
        meta=trace.meta,
        sizes=trace.sizes,
    )
    whole.set_has_gradient(earlier.has_gradient | trace.has_gradient)
    before = [f for f in earlier.found if f["first_step"] < start]
    whole._remember(before + list(trace.found))
    _append(whole, earlier, np.iinfo("int64").min, start, numbers_on)
    _append(whole, trace, start, np.iinfo("int64").max, numbers_on)
    for part in (earlier, trace):
        # Rows that were thinned out count as seen.
        whole._tables.records.seen += part.records_seen - len(part.steps)
    return whole


def _begins_before(trace, start):
    first = first_step(trace)
    return first is not None and first < start


def _append(whole, trace, low, high, numbers_on):
    """Append what a trace has of the steps from `low` up to before `high`."""
    goes_on = first_step(whole) is not None
    keep = (trace.steps >= low) & (trace.steps < high)
    whole.append(
        trace.steps[keep],
        trace.get("grad_norm", by="variable")[keep],
        trace._tables.records.get("clipped")[keep],
        trace.skipped[keep],
        {
            name: series[keep]
            for name, series in (
                *trace.extra.items(),
                *(
                    (name, trace.get(name, by="variable"))
                    for name in GRADIENT_SERIES[1:]
                ),
            )
        },
    )
    keep = (trace.update_steps >= low) & (trace.update_steps < high)
    given: dict[str, Any] = {
        name: trace.measured(name, by="variable")[1][keep]
        for name in UPDATE_SERIES
    }
    if goes_on:
        # The weights as the part began: those of the end of the other.
        given["distance"] = np.full_like(given["distance"], np.nan)
        again = np.isnan(given["update_norm"]).all(axis=1)
        again &= trace.update_steps[keep] == low
        given = {name: series[~again] for name, series in given.items()}
        keep[keep] = ~again
    whole.append_updates(trace.update_steps[keep], **given)
    _append_activations(whole, trace, low, high)
    whole._time_gradients.extend(trace._time_gradients, low, high)
    ends, numbers = trace.epoch_steps, trace.epochs
    if numbers_on and len(whole.epochs) and len(numbers):
        numbers = numbers + max(0, int(whole.epochs[-1]) + 1 - int(numbers[0]))
    for at in np.flatnonzero((ends >= low) & (ends < high)):
        logs = {name: series[at] for name, series in trace.logs.items()}
        whole.append_epoch(int(numbers[at]), int(ends[at]), logs)


def _append_activations(whole, trace, low, high):
    """Append all at once: one by one, two thousand rows take a second."""
    steps, sites = trace.activation_steps, trace.sites
    if len(whole.sites) and whole.sites.tolist() != sites.tolist():
        return
    keep = (steps >= low) & (steps < high)
    values = {f"data/{name}": trace.data(name)[keep] for name in DATA_SERIES}
    values["step"] = steps[keep]
    if len(sites):
        values |= {n: trace.activation(n)[keep] for n in ACTIVATION_SERIES}
        whole._activations.sites = sites
        whole._tables.add_sites(len(sites))
    whole._tables.append_activations(int(keep.sum()), values)
