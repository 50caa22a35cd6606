"""What the tab asks for: small answers made from a whole run."""

import base64

import numpy as np

from keras_gradguard.tensorboard_plugin import downsample

# In a matrix: infinity is itself, NaN is "not measured", and this is NaN.
NAN_CODE = -1.0
_REASONS = 3


def overview(run, points):
    """Return what does not depend on the metric or on a layer.

    Args:
        run: `RunData`.
        points: Int. Largest number of points of a series.
    """
    groups = downsample.bins(run.steps, points)
    empty = len(run.steps) == 0
    series = {}
    for name, values in run.shared.items() if not empty else ():
        means, _ = downsample.mean(
            values,
            groups,
            np.isnan(values)
            & (
                name
                not in ("global_grad_norm", "clipped_grad_norm", "batch_loss")
            ),
        )
        series[name] = {"mean": numbers(means)}
        if name in ("global_grad_norm", "batch_loss"):
            low, high = downsample.spread(values, groups)
            series[name].update(low=numbers(low), high=numbers(high))
    return {
        "layers": run.layers,
        "classes": run.classes,
        "active": run.active.tolist(),
        "meta": run.meta,
        "first_step": int(run.steps[0]) if not empty else 0,
        "last_step": max(0, run.last_step),
        "points": len(run.steps),
        "steps": [] if empty else run.steps[groups[:-1]].tolist(),
        "series": series,
        "metrics": [
            name for name, (steps, _) in run.metrics.items() if len(steps)
        ],
        "epochs": run.epochs,
        "findings": run.findings,
        "left_out": left_out(run),
    }


def left_out(run):
    """Return why parts of a run are not shown, most often first, cut."""
    reasons = sorted(run.left_out.items(), key=lambda item: -item[1])
    return {
        "parts": sum(run.left_out.values()),
        "reasons": [reason for reason, _ in reasons[:_REASONS]],
    }


def matrix(run, metric, columns):
    """Return a metric as columns over steps by layers.

    Args:
        run: `RunData`.
        metric: Str. One of `run.metrics`.
        columns: Int. Largest number of columns.

    Returns:
        Dict: `rows`, the layers that it is measured of; `starts`, the first
        step of each column; `end`, the step after the last; `values`, base64
        of little-endian float32 (columns, R), with NaN and infinity as
        described at `NAN_CODE`; `low` and `high`, the range of the finite
        values, without the outermost hundredths.
    """
    steps, values, missing = _measured(run, metric)
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
    cells, none = downsample.mean(values, groups, missing)
    finite = cells[np.isfinite(cells) & (cells > 0)]
    low, high = np.quantile(finite, (0.01, 0.99)) if len(finite) else (0, 0)
    cells = np.where(np.isnan(cells) & ~none, NAN_CODE, cells)
    with np.errstate(over="ignore"):
        data = np.ascontiguousarray(cells, "<f4").tobytes()
    return {
        "rows": rows,
        "starts": steps[groups[:-1]].tolist(),
        "end": max(run.last_step, int(steps[-1])) + 1,
        "values": base64.b64encode(data).decode(),
        "low": float(low) or None,
        "high": float(high) or None,
    }


def layer(run, name, points):
    """Return all metrics of one layer over the steps.

    Args:
        run: `RunData`.
        name: Str. Path of the layer.
        points: Int. Largest number of points of a series.

    Returns:
        Dict of `layer` and `metrics`; None if there is no such layer.
    """
    if name not in run.layers and name not in run.sites:
        return None
    metrics = {}
    for metric in run.metrics:
        if name not in run.rows(metric):
            continue
        index = run.rows(metric).index(name)
        steps, values, missing = _measured(run, metric)
        keep = ~missing[:, index]
        steps, values = steps[keep], values[keep, index]
        if not len(steps):
            continue
        groups = downsample.bins(steps, points)
        low, high = downsample.spread(values, groups)
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


def numbers(values):
    """Return floats with six digits that count, to be sent as JSON."""
    return [float(f"{value:.6g}") for value in values]


def _measured(run, metric):
    """Return steps (M,), values (M, L) and what was not measured (M, L).

    NaN says "not measured", but for norms of layers that have one.
    """
    steps, values = run.metrics[metric]
    missing = np.isnan(values)
    if metric == "grad_norm":
        missing &= ~run.active
    elif metric == "weight_norm":
        missing[:] = False
    elif metric == "update_ratio" and "weight_norm" in run.metrics:
        # Weights that are NaN have no ratio, which is no gap.
        at, weights = run.metrics["weight_norm"]
        row = np.searchsorted(at, steps).clip(max=max(0, len(at) - 1))
        same = at[row] == steps if len(at) else np.zeros(len(steps), bool)
        if same.any():
            missing[same] &= np.isfinite(weights[row[same]])
    return steps, values, missing
