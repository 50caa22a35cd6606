"""A finding in four lines: what and where, how much, the loss, what to do."""

import dataclasses
import re

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.reporting.bins import StepBins
from keras_gradguard.reporting.lives import counted
from keras_gradguard.reporting.lives import culprits
from keras_gradguard.reporting.spark import bands

# The most bars of a series, and the layers that are named one by one.
_BARS, _NAMED = 32, 3
# Of a loss that changes by less than this share few would say it moved.
_STILL = 0.05
# Nor of one that changes by no more than its noise, up to this share.
_NOISY = 0.3
# The ends of a series of losses are medians of so many parts of it.
_ENDS = 8
# Of these rules the share of units tells, not the gradient.
_SHARES = {
    "dead_relu": ("dead_fraction", "share of dead units"),
    "saturated_activation": ("saturated_fraction", "share of flat outputs"),
}
_OF_THE_LOSS = ("oscillating_loss", "slow_convergence", "loss_plateau")


@dataclasses.dataclass(frozen=True, slots=True)
class Brief:
    """What is said of a finding, line by line.

    Attributes:
        rule: Str. Rule id.
        severity: Str.
        where: Str. The layers, and since when.
        fact: Str. The first sentence of the message.
        profile: Float array. A value for each layer from input to output, or
            group of layers; empty if there is none.
        profile_of: Str. What the profile shows.
        loss: Str. What the loss does; empty if it is not known.
        losses: Float array. The loss over the run so far.
        do: Str. The first remedy; empty for what follows from another.
    """

    rule: str
    severity: str
    where: str
    fact: str
    profile: np.ndarray
    profile_of: str
    loss: str
    losses: np.ndarray
    do: str


def brief(finding, trace):
    """Return the four lines of a finding.

    Args:
        finding: `Finding`.
        trace: `Trace` it was found on, or None.
    """
    profile, profile_of = depth_profile(finding, trace)
    losses, loss = loss_so_far(trace)
    do = ""
    if finding.remedies and not finding.cause:
        do = finding.remedies[0].title
    return Brief(
        finding.rule,
        finding.severity,
        _where(finding, trace),
        counted(first_sentence(finding.message), culprits(finding, trace)),
        bands(profile, _BARS),
        profile_of,
        loss,
        losses,
        do,
    )


def first_sentence(message):
    """Return the first sentence of a message."""
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", message, maxsplit=1)[0]


def depth_profile(finding, trace):
    """Return the numbers of a finding, layer by layer.

    Args:
        finding: `Finding`.
        trace: `Trace` it was found on, or None.

    Returns:
        Float array from input to output, NaN where not measured, and what it
        shows: the median over the finding's window of the gradient norms,
        of the shares of dead or flat units, or of updates over weights. Empty
        where depth says nothing.
    """
    nothing = np.zeros(0), ""
    if trace is None or finding.rule in _OF_THE_LOSS or len(trace.layers) < 2:
        return nothing
    first, last = _window(finding)
    if finding.rule in _SHARES:
        name, what = _SHARES[finding.rule]
        steps, values = trace.activation_steps, trace.activation(name)
        can = [not np.isnan(v).all() for v in values.T]
        values = values[:, np.array(can, bool)]
    elif finding.rule == "update_ratio":
        steps, values = trace.measured("update_ratio")
        what = "updates over weights"
    else:
        steps, what = trace.steps, "gradient norms"
        values = trace.layer_norms(0, len(steps))
    low = int(np.searchsorted(steps, first))
    high = int(np.searchsorted(steps, last, side="right"))
    high = max(high, low + 1)
    values = values[low:high]
    if not len(values) or values.shape[1] < 2:
        return nothing
    profile = medians(values)
    # Nothing is left to show where all of it is NaN or infinite.
    return (profile, what) if np.isfinite(profile).any() else nothing


def _window(finding):
    window = finding.evidence.get("window")
    window = window if isinstance(window, dict) else {}
    first = window.get("first_step", finding.first_step)
    last = window.get("last_step", finding.last_step)
    if not isinstance(first, int) or not isinstance(last, int):
        return finding.first_step, finding.last_step
    return first, last


def loss_so_far(trace):
    """Return how the loss went, to draw and in words.

    Args:
        trace: `Trace`, or None.

    Returns:
        Float array: the median loss of each of at most 32 equal parts of the
        run; and a sentence. Of a run with few batches a loss per epoch.
    """
    steps, loss = _losses(trace)
    known = np.isfinite(loss)
    if known.sum() < 2:
        gone = len(loss) and not known.any()
        return np.zeros(0), "The loss is not finite." if gone else ""
    if len(loss) > _BARS:
        loss = StepBins.of(steps, _BARS).median(loss)
    values = loss[np.isfinite(loss)]
    # Of many, a few: one batch may be far off.
    few = max(1, len(values) // _ENDS)
    first = float(np.median(values[:few]))
    last = float(np.median(values[-few:]))
    before, after = number(first, 3), number(last, 3)
    if not np.isfinite(loss[-1]):
        return loss, f"The loss went from {before} to {number(loss[-1], 3)}."
    if abs(last - first) <= _STILL * abs(first):
        now = before if before == after else f"{before}, now {after}"
        return loss, f"The loss has hardly moved: {now}."
    if abs(last - first) <= _chance(values, few, _NOISY * abs(first)):
        now = f"{before}, now {after}"
        return loss, f"The loss moved no more than its noise: {now}."
    way = "fell" if last < first else "rose"
    return loss, f"The loss {way} from {before} to {after}."


def _chance(values, few, most):
    """Return how far medians of `few` values differ by chance, at most `most`.

    Two standard errors of that difference, by the median step from one value
    to the next (0.95 standard deviations of a normal value). The error of a
    median is 1.25 times that of a mean.
    """
    if len(values) < 4 * few:
        return 0.0
    scatter = float(np.median(np.abs(np.diff(values)))) / 0.95
    return min(2 * 1.25 * scatter * np.sqrt(2 / few), most)


def _losses(trace):
    if trace is None:
        return np.zeros(0), np.zeros(0)
    loss = trace.extra.get("loss")
    epochs = trace.logs.get("loss", np.zeros(0))
    if loss is None or (np.isfinite(loss).sum() < 2 <= len(epochs)):
        return trace.epoch_steps, np.asarray(epochs, np.float64)
    return trace.steps, np.asarray(loss, np.float64)


def _where(finding, trace):
    """Return the layers of a finding, and since when, in words."""
    layers = trace.run.names(trace.layers) if trace is not None else []
    parts = [named_run(culprits(finding, trace), layers)]
    parts.append(f"since step {finding.first_step}")
    if finding.epoch is not None:
        parts[-1] += f" (epoch {finding.epoch + 1})"
    if finding.cause:
        parts.append(f"follows from {finding.cause}")
    return ", ".join(parts)


def named_run(guilty, layers):
    """Return layers in words: in forward order, neighbours as a range.

    Args:
        guilty: List of str. The layers.
        layers: List of str. All layers of the model, in forward order.
    """
    if not guilty:
        return "the whole model"
    place = {layer: at for at, layer in enumerate(layers)}
    guilty = [str(layer) for layer in guilty]
    of = f" of {len(layers)} layers" if len(layers) > 1 else ""
    if any(layer not in place for layer in guilty):
        shown = guilty[:_NAMED]
    else:
        guilty.sort(key=lambda layer: place[layer])
        if len(guilty) == len(layers) > 1:
            return f"all {len(layers)} layers"
        span = place[guilty[-1]] - place[guilty[0]] + 1
        if len(guilty) > _NAMED and span == len(guilty):
            return f"{guilty[0]} to {guilty[-1]}{of}"
        shown = guilty[:_NAMED]
    more = len(guilty) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more} more{of}"
    if len(shown) == 1:
        return shown[0]
    return f"{', '.join(shown[:-1])} and {shown[-1]}{of}"


def medians(values):
    """Return medians over the first axis of what is known, NaN if nothing."""
    out = np.full(values.shape[1], np.nan)
    known = ~np.isnan(values)
    some = known.any(axis=0)
    if some.any():
        with np.errstate(invalid="ignore"):  # between two infinities
            out[some] = np.nanmedian(values[:, some].astype(float), axis=0)
    return out
