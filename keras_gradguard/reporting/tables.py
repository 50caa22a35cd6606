"""Numbers per layer, as every report shows them."""

import numpy as np

from keras_gradguard._text import count
from keras_gradguard._text import number
from keras_gradguard.reporting.bins import StepBins
from keras_gradguard.reporting.brief import medians
from keras_gradguard.trace.tables import FIRST_STEPS

COLUMNS = (
    ("layer", "Layer"),
    ("grad_first", "Gradient, first 100 steps"),
    ("grad_last", "Gradient, last 100 steps"),
    ("update_ratio", "Update / weights"),
    ("since_start", "Moved since start"),
    ("zero_fraction", "Zero weights"),
    ("rules", "Findings"),
)
# That many, and all of them are kept.
_WINDOW = FIRST_STEPS


def layer_rows(trace, findings):
    """Return one dict of texts per layer, with the keys of `COLUMNS`.

    What was not measured is an empty text.
    """
    numbers = layer_numbers(trace)
    rows = []
    names = trace.run.names(trace.layers)
    for at, layer in enumerate(trace.layers):
        rules = [f.rule for f in findings if str(layer) in f.layers]
        rows.append(
            {
                "layer": names[at],
                "grad_first": _text(numbers["grad_first"][at]),
                "grad_last": _text(numbers["grad_last"][at]),
                "update_ratio": _text(numbers["update_ratio"][at]),
                "since_start": _percent(numbers["since_start"][at]),
                "zero_fraction": _percent(numbers["zero_fraction"][at]),
                "rules": ", ".join(dict.fromkeys(rules)),
            }
        )
    return rows


def layer_numbers(trace):
    """Return the numbers of each layer that a table of layers shows.

    Args:
        trace: `Trace`.

    Returns:
        Dict of float arrays (L,), NaN where not measured: `grad_first` and
        `grad_last`, medians of the gradient norm over the first and the last
        100 steps; `update_ratio`, the median of the last 100 measurements;
        `since_start` and `zero_fraction` at the last epoch. And `short`,
        whether the first 100 steps are the last ones, too.
    """
    count = len(trace.layers)
    history = weight_history(trace)
    steps = trace.steps
    first, last = _first_and_last(trace)
    return {
        "grad_first": first,
        "grad_last": last,
        "update_ratio": medians(trace.measured("update_ratio")[1][-_WINDOW:]),
        "since_start": _last(history["since_start"], count),
        "zero_fraction": _last(history["zero_fraction"], count),
        "short": not len(steps) or int(steps[-1] - steps[0]) < _WINDOW,
    }


def _first_and_last(trace):
    """Return median gradient norms (L,) of the first and the last steps."""
    steps = trace.steps
    if not len(steps):
        unknown = np.full(len(trace.layers), np.nan)
        return unknown, unknown
    stop = np.searchsorted(steps, steps[0] + _WINDOW)
    start = np.searchsorted(steps, steps[-1] - _WINDOW, side="right")
    return (
        medians(trace.layer_norms(0, stop)),
        medians(trace.layer_norms(start, len(steps))),
    )


def shown_columns(rows):
    """Return the (key, title) pairs of columns that hold anything."""
    return [
        (key, title)
        for key, title in COLUMNS
        if key == "layer" or any(row[key] for row in rows)
    ]


def weight_history(trace):
    """Return how the weights of each layer went, epoch by epoch.

    Returns:
        Dict of `epoch` (E,), `step` (E,) and arrays (E, L): `weight_norm`;
        `percent_change` of that norm against the epoch before;
        `epoch_change`, the distance from the weights an epoch before, over
        their norm; `since_start`, the distance from the first weights, over
        their norm; `zero_fraction`. NaN where not measured.
    """
    steps, norm = trace.measured("weight_norm")
    ends = trace.epoch_steps
    at = np.searchsorted(steps, ends, side="right") - 1
    # An epoch counts if something was measured within it.
    starts = np.concatenate([[-1], ends[:-1]]) if len(ends) else ends
    hit = at >= 0
    hit[hit] = steps[at[hit]] > starts[hit]
    at = at[hit]
    norms = norm[at].astype(np.float64)
    first = norm[:1].astype(np.float64)
    before = np.concatenate([first[: len(norms[:1])], norms[:-1]])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        change = trace.measured("epoch_change")[1][at] / before
        since = trace.measured("distance")[1][at] / first
        percent = 100.0 * (norms - before) / before
    return {
        "epoch": trace.epochs[hit],
        "step": ends[hit],
        "weight_norm": norms,
        "percent_change": percent,
        "epoch_change": change,
        "since_start": since,
        "zero_fraction": trace.measured("zero_fraction")[1][at],
    }


def binned(trace, bins=400):
    """Return the gradient norms in bins of equally many steps.

    Args:
        trace: `keras_gradguard.Trace` with at least one record.
        bins: Int. Largest number of bins.

    Returns:
        `StepBins`; float array (bins, L) of mean log10 of what is larger than
        zero, minus infinity where all is exactly zero, NaN where there is no
        gradient; bool array (bins, L), whether any gradient was not finite.
    """
    norms = trace.get("grad_norm")
    parts = StepBins.of(trace.steps, bins)
    finite = np.isfinite(norms)
    active = np.zeros(len(trace.layers), bool)
    active[trace.owners[trace.has_gradient]] = True
    positive = finite & (norms > 0)
    logs = np.log10(np.where(positive, norms, 1).astype(np.float64))
    with np.errstate(invalid="ignore"):
        cells = parts.sum(logs) / parts.sum(positive * 1.0)
    zero = np.isnan(cells) & parts.any(finite)
    cells = np.where(zero, -np.inf, cells)
    return parts, cells, parts.any(~finite & active)


def verdict(trace, findings, not_judged=None):
    """Return the verdict on a run in one sentence.

    Args:
        trace: `Trace` of the run, or None.
        findings: List of `Finding`.
        not_judged: List of str. Why a run without findings may not be called
            healthy. Defaults to what was noted in the trace's `meta`.
    """
    if not_judged is None:
        not_judged = trace.meta.get("not_judged") if trace is not None else ()
    if trace is None:
        steps = layers = ""
    else:
        steps = f" in {count(trace.records_seen, 'recorded step')}"
        layers = f" of {count(len(trace.layers), 'layer')}"
    if not findings:
        if trace is not None and not len(trace.steps):
            reason = trace.meta.get("not_recorded")
            if reason is not None:
                return f"Nothing was recorded, because {reason}."
            return "Nothing was recorded, so nothing can be said."
        if not_judged:
            return f"No problem found{_in_steps(trace)}; {_why(not_judged)}."
        return f"Healthy: nothing found{steps}{layers}."
    critical = sum(f.severity == "critical" for f in findings)
    many = count(len(findings), "problem")
    worst = f", {critical} of them critical" if critical else ""
    if critical == len(findings):
        worst = ", critical"
    return f"{many} found{steps}{layers}{worst}."


def _in_steps(trace):
    if trace is None:
        return ""
    return f" in {count(trace.records_seen, 'step')}"


def _why(reasons):
    """Join reasons to a sentence: the first leads, the rest explain it."""
    lead, *rest = [reason.rstrip(".") for reason in reasons]
    if lead[1:2].islower():
        lead = lead[0].lower() + lead[1:]
    return f"{lead}: {'; '.join(rest)}" if rest else lead


def clipping(trace):
    """Return in one sentence what was clipped and skipped, or None."""
    threshold = None if trace is None else trace.extra.get("clip_threshold")
    if threshold is None or not np.isfinite(threshold).any():
        return None
    applied = ~trace.skipped
    clipped = trace.clipped[applied]
    last = threshold[np.isfinite(threshold)][-1]
    text = (
        f"Clipped {number(100 * clipped.mean())} % of the updates; the "
        f"threshold was {number(last)} at the end."
    )
    skipped = int(trace.skipped.sum())
    if skipped:
        many = count(skipped, "nonfinite update was", "nonfinite updates were")
        text += f" {many} skipped."
    return text


def _last(values, layers):
    return values[-1] if len(values) else np.full(layers, np.nan)


def _text(value):
    return "" if np.isnan(value) else number(value)


def _percent(value):
    return "" if np.isnan(value) else f"{number(100 * value)} %"
