"""The panel of the loss: per step, per epoch, with findings marked."""

import numpy as np

from keras_gradguard.reporting.bins import StepBins
from keras_gradguard.reporting.charts import LEAST_SPAN
from keras_gradguard.reporting.drawing import mark

_POINTS = 150


def draw_loss(axes, trace, findings):
    """Draw the loss of steps and of epochs, and what its title says of it.

    Args:
        axes: `matplotlib.axes.Axes`.
        trace: `keras_gradguard.Trace`.
        findings: List of `Finding` to mark.
    """
    batch = trace.extra.get("loss")
    drawn = False
    if batch is not None and np.isfinite(batch).any():
        _draw_batch_loss(axes, trace.steps, batch)
        drawn = True
    for name, colour in (("loss", "#1f4e9c"), ("val_loss", "#7a3fa0")):
        series = trace.logs.get(name)
        if series is not None and np.isfinite(series).any():
            style = "o-" if len(series) <= 40 else "-"
            axes.plot(
                trace.epoch_steps,
                series,
                style,
                color=colour,
                markersize=3,
                label=name,
            )
            drawn = True
    positive = drawn and _spread(axes) > 100
    if positive:
        axes.set_yscale("log")
    elif drawn:
        _show_flat_as_flat(axes)
    title = "Loss"
    stood = _stood_still(trace)
    gone = ~np.isfinite(trace.logs.get("loss", np.zeros(0)))
    if gone.any():
        title += f": not finite since epoch {int(np.argmax(gone)) + 1}"
    elif stood:
        title += f": has not moved for {stood} epochs"
    axes.set_title(title, loc="left")
    if drawn:
        # Above, where it hides no line.
        axes.legend(
            fontsize="x-small",
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=3,
            frameon=False,
            borderaxespad=0.2,
        )
    mark(axes, findings, label=True)


def _draw_batch_loss(axes, steps, batch):
    if len(steps) > 2 * _POINTS:
        parts = StepBins.of(steps, _POINTS)
        finite = np.where(np.isfinite(batch), batch, np.nan)
        low, high = parts.min(finite), parts.max(finite)
        axes.fill_between(parts.middles, low, high, color="0.9", lw=0)
        steps, batch = parts.middles, parts.median(finite)
    axes.plot(steps, batch, color="0.7", linewidth=0.8, label="batch")


def _spread(axes):
    """Return the ratio of largest to smallest value; 1 if not all positive."""
    values = np.concatenate(
        [np.asarray(line.get_ydata(), float) for line in axes.lines]
    )
    values = values[np.isfinite(values)]
    if not len(values) or values.min() <= 0:
        return 1.0
    return values.max() / values.min()


def _show_flat_as_flat(axes):
    """Let the axis span a fifth of its values at least."""
    low, high = axes.get_ylim()
    missing = LEAST_SPAN * max(abs(low), abs(high)) - (high - low)
    if missing > 0:
        axes.set_ylim(low - missing / 2, high + missing / 2)
    axes.ticklabel_format(axis="y", useOffset=False)


def _stood_still(trace):
    """Return for how many epochs the loss has moved by under 0.5 %."""
    loss = trace.logs.get("loss", np.zeros(0))
    if len(loss) < 4 or not np.isfinite(loss[-1]):
        return 0
    with np.errstate(invalid="ignore"):
        near = np.abs(loss - loss[-1]) <= 0.005 * np.abs(loss[-1])
    away = np.flatnonzero(~near)
    still = len(loss) - (int(away[-1]) + 1 if len(away) else 0)
    return still if still >= 4 else 0
