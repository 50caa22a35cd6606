"""Finds clipping that is always there, or never."""

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies.clippers import for_clipping
from keras_gradguard.diagnosis.rules.clipping.of_keras import starved
from keras_gradguard.diagnosis.rules.clipping.thresholds import ADJUSTABLE
from keras_gradguard.diagnosis.rules.clipping.thresholds import ALWAYS
from keras_gradguard.diagnosis.rules.clipping.thresholds import NEVER
from keras_gradguard.diagnosis.rules.clipping.uneven import uneven
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.findings.build import in_a_run


class Clipping(Rule):
    """Finds a threshold that nearly every step, or none, reaches.

    * Always: of 500 updates in a row, at least 99 % were clipped and half of
      them to under a tenth of their norm. The updates then no longer follow
      the gradient's size. A 10th percentile, which clips nine of ten steps by
      design, stays below that.
    * Never: of the first 2000 updates none came within a tenth of a threshold
      that is constant. It would not catch a spike that is ten times as large.
      A threshold that adapts may wait for its spike as long as it takes.

    * Uneven: of 200 updates at least a tenth kept less than a tenth of their
      gradient, and nothing was learnt. So many are no outliers but one kind of
      batch, for instance those with a rare class.

    These are judged where the trace has a threshold of the global norm, which
    an `AutoClip` gives it.

    * Starved: Keras's own `clipnorm`, `clipvalue` or `global_clipnorm` leaves
      less than a twentieth of the gradient in 95 % of the steps, the steps of
      the optimizer grow with the gradient, and nothing was learnt. After 16
      records, and fewer of a short plan, where it leaves less than a thousandth
      and all planned steps together would not move the weights.

    References:
        - [Pascanu et al., 2013](https://arxiv.org/abs/1211.5063), who set the
          threshold from half to ten times the average norm.
    """

    id = "clipping"
    thresholds = ADJUSTABLE

    def check(self, trace):
        """See `Rule.check`."""
        found = starved(trace)
        if found is not None:
            return [found]
        threshold = trace.extra.get("clip_threshold")
        if threshold is None:
            return []
        norm = trace.global_grad_norm
        # Infinite in a warm-up, NaN where an update was skipped.
        known = np.isfinite(threshold) & np.isfinite(norm) & (norm > 0)
        used = known & ~trace.skipped
        steps = trace.steps[used]
        threshold, norm = threshold[used].astype("float64"), norm[used]
        found = self._always(trace, steps, threshold, norm)
        if not found:
            lost = uneven(trace, steps, threshold, norm)
            found = [] if lost is None else [lost]
        return found or self._never(trace, steps, threshold, norm)

    def _always(self, trace, steps, threshold, norm):
        window = ALWAYS["window"]
        if len(steps) < window:
            return []
        share = threshold / norm
        clipped = _count(share < 1, window)
        hard = _count(share < self.limit("left"), window)
        hit = (clipped >= self.limit("share") * window) & (hard >= window / 2)
        if not hit.any():
            return []
        at = int(np.argmax(hit))
        part = slice(at, at + window)
        typical = float(np.median(norm[part]))
        limit = float(np.median(threshold[part]))
        evidence = {
            "clipped_fraction": float(clipped[at] / window),
            "grad_norm": typical,
            "clip_threshold": limit,
            "threshold": self.limit("share"),
            "window": _window(steps[part]),
        }
        text = (
            f"From step {steps[at]} on, {int(clipped[at])} of {window} updates "
            f"were clipped. The threshold is {number(limit)}, a typical "
            f"gradient norm {number(typical)}. So every update has the same "
            "size, whatever the gradient says."
        )
        return [_finding(trace, steps[part], evidence, text, limit, typical)]

    def _never(self, trace, steps, threshold, norm):
        window = NEVER["window"]
        if len(steps) < window:
            return []
        part = slice(0, window)
        limit, largest = float(threshold[0]), float(norm[part].max())
        if np.ptp(threshold[part]) > 0 or largest > NEVER["ratio"] * limit:
            return []
        evidence = {
            "clipped_fraction": 0.0,
            "grad_norm": largest,
            "clip_threshold": limit,
            "threshold": NEVER["ratio"],
            "window": _window(steps[part]),
        }
        text = (
            f"None of the first {window:,} updates was clipped. The threshold "
            f"is {number(limit)}, the largest gradient norm {number(largest)}. "
            "Even a spike ten times as large would pass."
        )
        return [_finding(trace, steps[part], evidence, text, limit, largest)]


def _count(mask, window):
    """Count True in each window, by where it begins."""
    total = np.concatenate([[0], np.cumsum(mask)])
    return total[window:] - total[:-window]


def _window(steps):
    return {"first_step": int(steps[0]), "last_step": int(steps[-1])}


def _finding(trace, steps, evidence, text, limit, norm):
    first, last = int(steps[0]), int(steps[-1])
    return in_a_run(
        trace,
        rule=Clipping.id,
        severity="warning",
        layers=[],
        first_step=first,
        last_step=last,
        evidence=evidence,
        message=text,
        remedies=for_clipping(trace.run, limit, norm),
    )
