"""Where a gradient that is not finite came from, as far as a step shows it."""

import dataclasses

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.activations import layers_of
from keras_gradguard.diagnosis.evidence.recurrent import unbounded

# The square of a number beyond is not finite in float32.
SQUARED = 1e18
OF_THE_SLOPE = (
    "its slope is not. Look for a square root, a norm or a logarithm at 0, a "
    "division, or the branch of a `where` that is not taken"
)
OF_THE_LOSS = (
    "The loss function itself overflows or underflows, takes the logarithm or "
    "root of what it must not, or divides by 0"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """What a record tells of the way to a gradient that is not finite.

    Attributes:
        clue: Str. `"index"`, `"data"`, `"loss"`, `"slope"`, `"output"`,
            `"weights"`, `"huge"`, `"batch"` (its data or the loss) or
            `"unknown"`.
        what: Str. It in words.
        layers: List of str. Layers that lead, [] where nothing tells.
        unless_grown: Str. What else to say, where the gradient has not
            exploded before.
    """

    clue: str
    what: str
    layers: list
    unless_grown: str = ""


def origin_of(trace, at, weights_gone):
    """Return the `Origin` of the gradient of a record.

    Args:
        trace: `Trace`.
        at: Int. Index of the record.
        weights_gone: List of str. Layers whose weights had gone before.
    """
    step = int(trace.steps[at])
    beyond = _beyond_the_table(trace, step)
    if beyond is not None:
        return beyond
    if weights_gone:
        what = (
            f"the weights of {names(weights_gone)} were not finite before that"
        )
        return Origin("weights", what, weights_gone)
    loss = trace.extra.get("loss")
    loss = float(loss[at]) if loss is not None else None
    seen = _measured(trace, step)
    if seen is not None:
        for part in ("input", "target"):
            if not _finite(trace, part, seen, unknown=True):
                front = trace.run.own_in_front if part == "input" else []
                if front:
                    # What comes into the first kernel is all that is known.
                    what = f"{names(front)} gave what is not finite"
                    return Origin("output", what, [])
                return Origin("data", f"the {part}s are not finite", [])
    # NaN also means "not recorded": it counts beside a recorded loss.
    recorded = loss is not None and (
        not np.isnan(loss) or bool(np.isfinite(trace.extra["loss"]).any())
    )
    measured = np.nan if seen is None else float(trace.data("loss")[seen])
    recorded |= seen is not None and _finite(trace, "output", seen)
    if recorded and loss is not None and np.isfinite(loss):
        free = unbounded(trace.run)
        if free:
            # A gradient that grows from time step to time step overflows.
            what = f"the loss is finite ({number(loss)})"
            return _of_the_state(free, what, None)
        what = f"the loss is finite ({number(loss)}), {OF_THE_SLOPE}"
        return Origin("slope", what, [])
    if seen is not None and _finite(trace, "output", seen):
        if _largest(trace, seen) > SQUARED:
            return Origin("huge", "the loss overflows: outputs are huge", [])
        state = "infinite" if np.isinf(measured) else "NaN"
        what = f"the outputs are finite, the loss is {state}. {OF_THE_LOSS}"
        return Origin("loss", what, [])
    if seen is not None and not _finite(trace, "output", seen, unknown=True):
        return _in_the_layers(trace, seen)
    if recorded:
        what = "the loss of that batch was not finite"
        before = _in_order_before(trace, step)
        free = unbounded(trace.run)
        if free:
            return _of_the_state(free, what, before)
        if before is None:
            return Origin("unknown", what, [])
        more = (
            f". Data, weights and outputs were in order at step {before}: look "
            "at the data of the batch, and at the loss function"
        )
        return Origin("batch", what, [], more)
    return Origin("unknown", "", [])


def _of_the_state(free, what, before):
    """Return the `Origin` where a recurrent state may have grown."""
    fine = (
        ""
        if before is None
        else f". Data, weights and outputs were in order at step {before}"
    )
    more = (
        f"{fine}. Nothing bounds the state of {names(free)}, so it may grow "
        "beyond all numbers within the time steps of one batch"
    )
    return Origin("state", what, free, more)


def _beyond_the_table(trace, step):
    """Return the `Origin` of an index that no row of a table belongs to."""
    count = int(np.searchsorted(trace.activation_steps, step, "right"))
    over = trace.data("index_excess")[:count]
    low = trace.data("index_min")[:count]
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero((over > 0) | (low < 0))
    tables = [
        str(layer)
        for layer in trace.layers
        if trace.info(layer).get("class") == "Embedding"
    ]
    if not len(bad) or not tables:
        return None
    rows = trace.info(tables[0]).get("input_dim")
    at = bad[0]
    index: int | str = int(low[at])
    if over[at] > 0 and isinstance(rows, int):
        index = int(over[at]) + rows - 1
    where = names(tables) if len(tables) == 1 else f"one of {names(tables)}"
    held = f", but its table has the rows 0 to {rows - 1}" if rows else ""
    if len(tables) > 1:
        held, index = "", "an index that its table has no row for"
    what = f"{where} looks up the index {index}{held}"
    if len(tables) > 1:
        what = f"{where} looks up {index}"
    return Origin("index", what, tables)


def _in_the_layers(trace, seen):
    mean = trace.activation("mean")[seen]
    std = trace.activation("std")[seen]
    bad = ~(np.isfinite(mean) & np.isfinite(std))
    known = ~np.isnan(trace.activation("mean")[:1]).all(axis=0)
    bad &= known if seen else True
    layers = layers_of(trace, trace.sites[bad]) if bad.any() else []
    first = f" from {layers[0]} on" if layers else ""
    what = f"the outputs were not finite{first}, though the inputs were"
    free = [
        path
        for path in unbounded(trace.run)
        if {path, trace.run.of_user(path)[0]} & set(layers[:1])
    ]
    if free:
        return _of_the_state(free, what, None)
    return Origin("output", what, layers[:1])


def _measured(trace, step):
    """Return the index of the measurement of a step, or None."""
    at = int(np.searchsorted(trace.activation_steps, step))
    steps = trace.activation_steps
    return at if at < len(steps) and int(steps[at]) == step else None


def _in_order_before(trace, step):
    """Return the last step that was measured before, if all was finite."""
    at = int(np.searchsorted(trace.activation_steps, step)) - 1
    if at < 0 or not _finite(trace, "output", at):
        return None
    known = [_finite(trace, part, at, True) for part in ("input", "target")]
    if not all(known) or _largest(trace, at) > SQUARED:
        return None
    return int(trace.activation_steps[at])


def _largest(trace, at):
    ends = [trace.data(f"output_{end}")[at] for end in ("min", "max")]
    return float(np.abs(ends).max())


def _finite(trace, part, at, unknown=False):
    """Whether the data of a measurement are finite; `unknown` if not known."""
    values = [float(trace.data(f"{part}_{end}")[at]) for end in ("min", "max")]
    if part == "input" and not np.isfinite(values).all():
        # Indices that are looked up are no inputs in this sense.
        shape = trace.run.data.input_shape
        return unknown if shape is None else False
    if not np.isfinite(values).all():
        shape = getattr(trace.run.data, f"{part}_shape")
        return unknown if shape is None else False
    return True
