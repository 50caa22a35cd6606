"""Where the series of two runs lie apart."""

import dataclasses

import numpy as np

# Records of a window, of the run that has fewer; and windows at most.
_RECORDS, _WINDOWS = 8, 64
# So many windows in a row are no accident.
_IN_A_ROW = 3
# Gradients at each record; weights are measured now and then.
_SERIES = {"grad_norm": _RECORDS, "update_ratio": 1, "weight_norm": 1}


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """A layer in which two runs lie apart.

    Attributes:
        layer: Str. Its path, in the first run.
        series: Str. `"grad_norm"`, `"update_ratio"` or `"weight_norm"`.
        first_step: Int. The step since when.
        last_step: Int. The last step at which they did.
        lasts: Bool. Whether that is the end of what both runs have.
        epoch: Int. The epoch of `first_step` in the first run, or None.
        a: Float. Median over these steps in the first run.
        b: Float. The same in the second one.
        ratio: Float. `b / a`; 0, infinite or NaN where one is not finite or 0.
    """

    layer: str
    series: str
    first_step: int
    last_step: int
    lasts: bool
    epoch: int | None
    a: float
    b: float
    ratio: float


def differences(a, b, pairs, factor):
    """Find what differs between two traces.

    Args:
        a: `Trace`.
        b: `Trace`.
        pairs: `Pairs` of their layers.
        factor: Float > 1.

    Returns:
        List of `Difference`, the earliest first, and a tuple of the first and
        the last step that both have, None if there is none.
    """
    rows, span = [], None
    for series, per_window in _SERIES.items():
        measured = [trace.measured(series) for trace in (a, b)]
        edges, ends = _windows(measured[0][0], measured[1][0], per_window)
        if not ends:
            continue
        if series == "grad_norm":
            span = int(edges[0]), int(ends[-1])
        medians = [
            _medians(steps, values, edges, _alive(trace, series, values))
            for trace, (steps, values) in zip((a, b), measured, strict=True)
        ]
        for pair in pairs.both:
            ours, theirs = medians[0][:, pair.a], medians[1][:, pair.b]
            found = _stretch(ours, theirs, factor)
            if found is None:
                continue
            first, last = found
            one, other = (_middle(m[first : last + 1]) for m in (ours, theirs))
            step = int(edges[first])
            rows.append(
                Difference(
                    layer=pair.name,
                    series=series,
                    first_step=step,
                    last_step=int(ends[last]),
                    lasts=last == len(ends) - 1,
                    epoch=a.epoch_of(step),
                    a=one,
                    b=other,
                    ratio=_ratio(one, other),
                )
            )
    order = {pair.name: at for at, pair in enumerate(pairs.both)}
    rows.sort(key=lambda row: (row.first_step, order[row.layer]))
    return rows, span


def _ratio(a, b):
    with np.errstate(all="ignore"):
        return float(np.float64(b) / np.float64(a))


def _alive(trace, series, values):
    """Layers whose value, where it is not finite, has become so."""
    if series != "grad_norm":
        return np.isfinite(values).any(axis=0)
    owners = trace.owners[trace.has_gradient]
    return np.isin(np.arange(len(trace.layers)), owners)


def _windows(a, b, per_window):
    """Cut the steps that both have into windows.

    Returns:
        Int array of W + 1 edges, and a list of the last step of each window.
    """
    if not len(a) or not len(b):
        return np.zeros(0, int), []
    low, high = max(a[0], b[0]), min(a[-1], b[-1])
    a, b = (s[(s >= low) & (s <= high)] for s in (a, b))
    fewer = a if len(a) <= len(b) else b
    if not len(fewer):
        return np.zeros(0, int), []
    count = min(_WINDOWS, max(1, len(fewer) // per_window))
    at = np.arange(count) * len(fewer) // count
    # A step may repeat, where updates were skipped.
    starts = np.unique([low, *fewer[at][1:]])
    ends = [int(step) - 1 for step in starts[1:]] + [int(high)]
    return np.append(starts, high + 1), ends


def _medians(steps, values, edges, alive):
    """Medians of the finite values of windows, (W, L).

    Infinite where most of a window is not finite; NaN where nothing was
    measured, and for layers that are not `alive`.
    """
    out = np.full((len(edges) - 1, values.shape[1]), np.nan)
    bounds = np.searchsorted(steps, edges)
    for at in range(len(out)):
        window = values[bounds[at] : bounds[at + 1]].astype(np.float64)
        finite = np.isfinite(window)
        most = 2 * finite.sum(axis=0) > len(window)
        if not len(window):
            continue
        window = np.where(finite | ~most, window, np.nan)
        middle = np.nanmedian(np.where(most, window, 0.0), axis=0)
        out[at] = np.where(most, middle, np.where(alive, np.inf, np.nan))
    return out


def _stretch(ours, theirs, factor):
    """Return the first and last window of the longest difference, or None."""
    known = ~np.isnan(ours) & ~np.isnan(theirs)
    with np.errstate(all="ignore"):
        apart = (ours > factor * theirs) | (theirs > factor * ours)
    apart &= known
    best, begin = None, None
    for at, far in enumerate([*apart, False]):
        if far and begin is None:
            begin = at
        elif not far and begin is not None:
            # The later one of two that last equally long.
            if best is None or at - begin >= best[1] - best[0] + 1:
                best = begin, at - 1
            begin = None
    needed = min(_IN_A_ROW, int(known.sum()))
    if best is None or best[1] - best[0] + 1 < needed:
        return None
    return best


def _middle(values):
    """Median of some windows; infinite ones count as what they are."""
    values = np.sort(values[~np.isnan(values)])
    return float(values[len(values) // 2])
