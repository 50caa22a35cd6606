"""What the tab asks for: small answers made from a whole run."""

import base64

import numpy as np

from keras_gradguard.reporting.tensorboard.chunks import METRICS
from keras_gradguard.tensorboard_plugin import downsample
from keras_gradguard.trace.series import SHOWN_STEPS
from keras_gradguard.trace.through_time import times_of

# In a matrix: infinity is itself, NaN is "not measured", and this is NaN.
NAN_CODE = -1.0
_REASONS = 3
# Series that have a value at each step: NaN is a value there.
_ALWAYS = ("global_grad_norm", "clipped_grad_norm", "batch_loss")
_RANGED = ("global_grad_norm", "batch_loss")
_EXTREMES = [f"{name}_{end}" for name in _RANGED for end in ("low", "high")]
_GRADIENTS = [series.name for series in SHOWN_STEPS]
# Colours reach so far beyond the outermost hundredths of the cells.
_REACH = 10.0


def overview(run, points, first=None, last=None):
    """Return what does not depend on the metric or on a layer.

    Args:
        run: `RunData`.
        points: Int. Largest number of points of a series.
        first: Int. First step of the series. Defaults to that of the run.
        last: Int. Last step of the series. Defaults to that of the run.
    """
    part = downsample.window(run.steps, first, last)
    steps = run.steps[part]
    empty = len(steps) == 0
    groups = downsample.bins(steps, points)
    series = {}
    for name in sorted(run.shared) if not empty else ():
        if name in _EXTREMES:
            continue
        values = run.shared[name][part]
        missing = np.isnan(values) & (name not in _ALWAYS)
        means, _ = downsample.mean(values, groups, missing)
        series[name] = {"mean": numbers(means)}
        if name in _RANGED:
            ends = [run.shared.get(f"{name}_{end}") for end in ("low", "high")]
            ends = [None if end is None else end[part] for end in ends]
            low, high = downsample.spread(values, groups, *ends)
            series[name].update(low=numbers(low), high=numbers(high))
    return {
        "layers": run.layers,
        "recurrent": run.recurrent if len(run.times[0]) else [],
        "classes": run.classes,
        "active": run.active.tolist(),
        "meta": run.meta,
        "first_step": int(run.steps[0]) if len(run.steps) else 0,
        "last_step": max(0, run.last_step),
        "points": len(run.steps),
        "steps": [] if empty else steps[groups[:-1]].tolist(),
        "series": series,
        "metrics": [name for name, (at, *_) in run.metrics.items() if len(at)],
        "epochs": run.epochs,
        "findings": run.findings,
        "gone": run.gone,
        "not_judged": run.not_judged,
        "left_out": left_out(run),
    }


def left_out(run):
    """Return why parts of a run are not shown, most often first, cut."""
    reasons = sorted(run.left_out.items(), key=lambda item: -item[1])
    return {
        "parts": sum(run.left_out.values()),
        "reasons": [reason for reason, _ in reasons[:_REASONS]],
    }


def matrix(run, metric, columns, first=None, last=None, cells="mean"):
    """Return a metric as columns over steps by layers.

    Args:
        run: `RunData`.
        metric: Str. One of `run.metrics`.
        columns: Int. Largest number of columns.
        first: Int. First step. Defaults to that of the run.
        last: Int. Last step. Defaults to that of the run.
        cells: Str. `"mean"` or `"max"` of the steps of a column.

    Returns:
        Dict: `rows`, the layers that it is measured of; `starts`, the first
        step of each column; `end`, the step after the last; `values`, base64
        of little-endian float32 (columns, R), with NaN and infinity as
        described at `NAN_CODE`; `low` and `high`, the range of the finite
        values, without what lies far beyond their outermost hundredths.
    """
    steps, values, missing = _measured(run, metric, cells == "max")
    part = downsample.window(steps, first, last)
    steps, values, missing = steps[part], values[part], missing[part]
    rows = run.rows(metric)
    if not len(steps):
        return {
            "rows": rows,
            "starts": [],
            "end": 0,
            "values": "",
            "low": None,
            "high": None,
        }
    groups = downsample.bins(steps, columns)
    reduce = downsample.maximum if cells == "max" else downsample.mean
    shown, none = reduce(values, groups, missing)
    low, high = _range(shown)
    shown = np.where(np.isnan(shown) & ~none, NAN_CODE, shown)
    with np.errstate(over="ignore"):
        data = np.ascontiguousarray(shown, "<f4").tobytes()
    return {
        "rows": rows,
        "starts": steps[groups[:-1]].tolist(),
        "end": _end(run, steps, last),
        "values": base64.b64encode(data).decode(),
        "low": low,
        "high": high,
    }


def _range(cells):
    """Return the range that colours should tell apart; None if there is none.

    A few far ends do not take the colours from all others, but one step that
    stands out is to be seen as such.
    """
    finite = cells[np.isfinite(cells) & (cells > 0)]
    if not len(finite):
        return None, None
    low, high = np.quantile(finite, (0.01, 0.99)).astype(np.float64)
    return (
        max(float(finite.min()), float(low / _REACH)),
        min(float(finite.max()), float(high * _REACH)),
    )


def _end(run, steps, last):
    """Return the step after the last one of a window."""
    end = max(run.last_step, int(steps[-1])) + 1
    return end if last is None else min(end, last + 1)


def table(run, metric, first=None, last=None):
    """Yield the lines of a table of a metric, as comma-separated values.

    What was not measured is an empty cell. A point of a long run stands for
    the steps up to the next one and is their mean.

    Args:
        run: `RunData`.
        metric: Str. One of `run.metrics`.
        first: Int. First step. Defaults to that of the run.
        last: Int. Last step. Defaults to that of the run.
    """
    steps, values, missing = _measured(run, metric)
    part = downsample.window(steps, first, last)
    yield ",".join(["step", *map(_csv_text, run.rows(metric))]) + "\n"
    for step, row, gone in zip(
        steps[part].tolist(), values[part], missing[part], strict=True
    ):
        cells = [
            "" if none else f"{value:.6g}"
            for value, none in zip(row.tolist(), gone.tolist(), strict=True)
        ]
        yield ",".join([str(step), *cells]) + "\n"


def _csv_text(text):
    # A spreadsheet would compute what begins like a formula.
    text = f"'{text}" if text[:1] in tuple("=+-@\t\r") else text
    return '"' + text.replace('"', '""') + '"'


def layer(run, name, points, first=None, last=None):
    """Return all metrics of one layer over the steps.

    Args:
        run: `RunData`.
        name: Str. Path of the layer, or of a variable.
        points: Int. Largest number of points of a series.
        first: Int. First step. Defaults to that of the run.
        last: Int. Last step. Defaults to that of the run.

    Returns:
        Dict of `layer` and `metrics`; None if there is no such layer.
    """
    if not any(name in run.rows(metric) for metric in METRICS):
        return None
    metrics = {}
    for metric in run.metrics:
        if name not in run.rows(metric):
            continue
        index = run.rows(metric).index(name)
        steps, values, missing = _measured(run, metric)
        keep = np.flatnonzero(~missing[:, index])
        keep = keep[downsample.window(steps[keep], first, last)]
        tops = run.metrics[metric][2][keep, index]
        steps, values = steps[keep], values[keep, index]
        if not len(steps):
            continue
        groups = downsample.bins(steps, points)
        low, high = downsample.spread(values, groups, high=tops)
        metrics[metric] = {
            "steps": steps[groups[:-1]].tolist(),
            "mean": numbers(downsample.mean(values, groups)[0]),
            "low": numbers(low),
            "high": numbers(high),
        }
    return {"layer": name, "metrics": metrics}


def profile(run, step):
    """Return all metrics of all layers at one step.

    Args:
        run: `RunData`.
        step: Int.

    Returns:
        Dict of metric to `step`, the last step up to this one at which it was
        measured (the first one if there is none), and `values`, one number
        per layer, None where it was not measured.
    """
    metrics = {}
    for name in run.metrics:
        steps, values, missing = _measured(run, name)
        if not len(steps):
            continue
        row = max(0, int(np.searchsorted(steps, step, side="right")) - 1)
        shown = numbers(values[row])
        metrics[name] = {
            "step": int(steps[row]),
            "values": [
                None if gone else value
                for value, gone in zip(shown, missing[row], strict=True)
            ],
        }
    return {"step": int(step), "metrics": metrics}


def times(run, step):
    """Return gradients through time at one step, in all recurrent layers.

    Args:
        run: `RunData`.
        step: Int.

    Returns:
        Dict of `step`, the last step up to this one at which it was measured
        (the first one if there is none), and `layers`, a list of dicts with
        `layer`, `length`, its time steps, and `times` and `norms`, those that
        are known. Null and empty where nothing was measured.
    """
    steps, lengths, norms = run.times
    if not len(steps):
        return {"step": None, "layers": []}
    row = max(0, int(np.searchsorted(steps, step, side="right")) - 1)
    layers = []
    for name, length, values in zip(
        run.recurrent, lengths[row].tolist(), norms[row], strict=True
    ):
        at = times_of(length)
        shown = values[: len(at)]
        known = ~np.isnan(shown)
        layers.append(
            {
                "layer": name,
                "length": length,
                "times": at[known].tolist(),
                "norms": numbers(shown[known]),
            }
        )
    return {"step": int(steps[row]), "layers": layers}


def numbers(values):
    """Return floats with six digits that count, to be sent as JSON."""
    return [float(f"{value:.6g}") for value in values]


def _measured(run, metric, highest=False):
    """Return steps (M,), values (M, L) and what was not measured (M, L).

    NaN says "not measured", but for norms of layers that have one.
    """
    steps, values, high = run.metrics[metric]
    values = high if highest else values
    missing = np.isnan(values)
    if metric in _GRADIENTS:
        missing &= ~run.active
    elif metric == "variable_norm":
        missing &= ~run.variables_active
    elif metric == "weight_norm":
        missing[:] = False
    elif metric == "update_ratio" and "weight_norm" in run.metrics:
        # Weights that are NaN have no ratio, which is no gap.
        at, weights, _ = run.metrics["weight_norm"]
        row = np.searchsorted(at, steps).clip(max=max(0, len(at) - 1))
        same = at[row] == steps if len(at) else np.zeros(len(steps), bool)
        if same.any():
            missing[same] &= np.isfinite(weights[row[same]])
    return steps, values, missing
