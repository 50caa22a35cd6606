"""Finds gradients that grow without bound, over time or over depth."""

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard._text import profile_text
from keras_gradguard.diagnosis import remedies
from keras_gradguard.diagnosis.evidence import LOG_ZERO
from keras_gradguard.diagnosis.evidence import Progress
from keras_gradguard.diagnosis.evidence import count_within
from keras_gradguard.diagnosis.evidence import judged_layers
from keras_gradguard.diagnosis.evidence import log_profile
from keras_gradguard.diagnosis.evidence import mean_known
from keras_gradguard.diagnosis.evidence import stretch_end
from keras_gradguard.diagnosis.evidence import stretch_start
from keras_gradguard.diagnosis.finding import Finding
from keras_gradguard.diagnosis.learning import Learning
from keras_gradguard.diagnosis.learning import batch_size
from keras_gradguard.diagnosis.learning import first_loss as first_loss_of
from keras_gradguard.diagnosis.rules.base import Rule
from keras_gradguard.diagnosis.rules.nonfinite import GROWTH
from keras_gradguard.diagnosis.rules.nonfinite import LOOK_BACK
from keras_gradguard.diagnosis.rules.nonfinite import gone_records
from keras_gradguard.diagnosis.rules.nonfinite import growth_before
from keras_gradguard.diagnosis.sites import layers_of

# An update this much larger than the weights leaves nothing of them.
_HUGE_UPDATE = 10.0
_DEPTH = {"ratio": 1e3, "window": 10, "learned": 0.15, "stalled": 0.02}
_SHARE = 0.8
# Growth of the signal over the layers that no initializer means.
SIGNAL = 1e6
# A batch of so few samples has a gradient of any size.
_FEW_SAMPLES = 8
_BURST = {"records": 64, "growth": 100.0, "loss": 10.0, "after": 30}
_RUNAWAY = {"records": 256, "each": 100.0, "both": 1e6}


class ExplodingGradient(Rule):
    """Finds gradients that grow without bound.

    Six ways to show it, each scale-free:

    * the gradient ends in NaN or infinity and grew at least 100-fold within
      the 64 steps before, or an update was over 10 times as large as the
      weights: critical;
    * over 20 records it stays 10 times above where the run began (1000 times
      if no loss was recorded) while the loss is over twice the first:
      critical. A spike that passes is none;
    * two records in a row rise 100-fold each over the one before, a
      millionfold in all: critical. One corrupted batch is one record high, not
      two; batches of under 8 samples are not judged so;
    * it rises 100-fold within the first 64 records and the loss tenfold, and
      nothing is learnt after: critical;
    * at the first step the signal grows over a millionfold through the layers
      and no gradient is finite: critical;
    * it is over 1000 times larger near the input than at the output for 100
      records while the loss stalls and has not fallen by 15 %: warning.
      AUTOTRAINER warns from 70 on; deep tanh nets that learn reach 140.

    References:
        - [Zhang et al., AUTOTRAINER, ICSE 2021](https://github.com/shiningrain/AUTOTRAINER)
        - [Pascanu et al., 2013](https://arxiv.org/abs/1211.5063)
    """

    id = "exploding_gradient"

    def check(self, trace):
        """See `Rule.check`."""
        blocks = trace.blocks()
        found = [
            self._to_nonfinite(trace),
            self._through_layers(trace),
            self._burst(trace),
            self._runaway(trace),
            self._over_time(trace, blocks),
            self._over_depth(trace, blocks),
        ]
        found = [finding for finding in found if finding is not None]
        if not found:
            return []
        # What was complete first is told, also when more is known later.
        return [min(found, key=lambda f: f.evidence["window"]["last_step"])]

    def _to_nonfinite(self, trace):
        gone = np.flatnonzero(gone_records(trace) & ~trace.skipped)
        if not len(gone) or gone[0] == 0:
            return None
        at = int(gone[0])
        growth = growth_before(trace, at)
        update, layer = _largest_update(trace, int(trace.steps[at]))
        if growth < GROWTH and not update > _HUGE_UPDATE:
            return None
        low = max(0, at - LOOK_BACK)
        norms = trace.global_norms(low, at)
        finite = np.where(norms > 0, norms, np.inf)
        start = low + int(np.argmin(finite))
        last = trace.layer_norms(at - 1, at)[0]
        order = np.argsort(-np.nan_to_num(last, nan=0.0), kind="stable")
        mask = judged_layers(trace)
        layers = [str(trace.layers[i]) for i in order if mask[i]]
        first, stop = int(trace.steps[start]), int(trace.steps[at])
        begin = number(norms[start - low])
        end = number(norms[-1])
        text = (
            f"The gradient norm went from {begin} at step {first} to {end} at "
            f"step {int(trace.steps[at - 1])} and was not finite at step "
            f"{stop}."
        )
        if update > _HUGE_UPDATE:
            text += (
                f" One update changed the weights of {layer} by "
                f"{number(update)} times their size."
            )
        evidence = {
            "growth": growth,
            "threshold": GROWTH,
            "update_ratio": update,
            "grad_norm": [float(v) for v in norms[-8:]],
            "window": {"first_step": first, "last_step": stop},
        }
        return self._finding(trace, layers, first, stop, evidence, text)

    def _runaway(self, trace):
        if 0 < batch_size(trace) < _FEW_SAMPLES:
            return None
        for low, high in _jumps(trace):
            found = self._runaway_within(trace, low, high)
            if found is not None:
                return found
        return None

    def _runaway_within(self, trace, low, high):
        norms = trace.global_norms(low, high)
        together = _in_a_row(trace.steps[low:high])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rise = norms[1:] / norms[:-1]
            both = (rise[1:] > _RUNAWAY["each"]) & (
                rise[:-1] > _RUNAWAY["each"]
            )
            both &= norms[2:] / norms[:-2] > _RUNAWAY["both"]
        both &= np.isfinite(norms[2:]) & (norms[:-2] > 0) & together
        if not both.any():
            return None
        at = int(np.argmax(both))
        start, norms = low + at, norms[at:]
        first, stop = int(trace.steps[start]), int(trace.steps[start + 2])
        layers = _by_norm(trace, start + 2)
        steps = ", ".join(number(n) for n in norms[:3])
        text = (
            f"The gradient norm ran away from step {first} on: {steps} in "
            "three steps in a row. What was learnt before is lost."
        )
        evidence = {
            "growth": float(norms[2] / norms[0]),
            "threshold": _RUNAWAY["both"],
            "window": {"first_step": first, "last_step": stop},
        }
        return self._finding(trace, layers, first, stop, evidence, text)

    def _through_layers(self, trace):
        layers, first, step = signals_that_explode(trace)
        if not layers:
            return None
        last = int(trace.steps[-1])
        text = (
            f"The signal grows without bound on its way through the layers: "
            f"at step {step} the outputs of {layers[0]} are {first}, and no "
            "gradient is finite. Each layer makes it larger."
        )
        evidence = {
            "layers": len(layers),
            "threshold": SIGNAL,
            "window": {"first_step": step, "last_step": step},
        }
        return self._finding(trace, layers, step, last, evidence, text)

    def _burst(self, trace):
        count = min(_BURST["records"], len(trace.steps))
        norms = trace.global_norms(0, count)
        loss = trace.extra.get("loss")
        few = 0 < batch_size(trace) < _FEW_SAMPLES
        if loss is None or few or count < 2 or not norms[0] > 0:
            return None
        with np.errstate(invalid="ignore", over="ignore"):
            jump = norms > _BURST["growth"] * norms[0]
            jump &= loss[:count] > _BURST["loss"] * np.abs(loss[0])
        learning = Learning.of(trace)
        if not jump.any() or not len(learning):
            return None
        at = int(np.argmax(jump))
        late = learning.steps >= trace.steps[at] + _BURST["after"]
        spoilt = np.flatnonzero(late & learning.idle())
        if not len(spoilt):
            return None
        first, stop = int(trace.steps[0]), int(learning.steps[spoilt[0]])
        layers = _by_norm(trace, at)
        text = (
            f"The gradient norm went from {number(norms[0])} to "
            f"{number(norms[at])} within {at} steps, and the loss from "
            f"{loss[0]:.3g} to {loss[at]:.3g}. The weights were thrown so far "
            f"that nothing was learnt up to step {stop}."
        )
        evidence = {
            "growth": float(norms[at] / norms[0]),
            "threshold": _BURST["growth"],
            "window": {"first_step": first, "last_step": stop},
        }
        return self._finding(trace, layers, first, stop, evidence, text)

    def _over_time(self, trace, blocks):
        if len(blocks) < 2:
            return None
        progress = Progress.of(trace)
        start = np.flatnonzero(np.isfinite(blocks.global_log))
        first_norm = trace.global_norms(0, 1)
        if not len(start) or not np.isfinite(first_norm).all():
            return None
        # The first record, too: a run that blows up does so in its first
        # steps, and then the first block is no place to compare with.
        base = float(blocks.global_log[start[0]])
        few = 0 < batch_size(trace) < _FEW_SAMPLES
        if first_norm[0] > 0 and not few:
            base = min(base, float(np.log(first_norm[0])))
        factor = 10.0 if progress.known else 1e3
        high = blocks.global_log > base + np.log(factor)
        if progress.known:
            first_loss = first_loss_of(trace, progress)
            with np.errstate(invalid="ignore", over="ignore"):
                high &= progress.loss - first_loss > abs(first_loss)
        window = max(2, progress.window if not progress.per_batch else 2)
        window = 16 if few else window
        hits = np.flatnonzero(count_within(high, window) == window)
        if not len(hits):
            return None
        last = int(hits[0])
        begin = stretch_start(high, last, window)
        first, stop = int(blocks.first_step[begin]), int(blocks.last_step[last])
        log_norm = float(blocks.global_log[last])
        norm = float(np.exp(log_norm))
        mask = judged_layers(trace)
        rise = np.nan_to_num(blocks.log_norm[last], nan=LOG_ZERO)
        order = np.argsort(-rise, kind="stable")
        layers = [str(trace.layers[i]) for i in order if mask[i]]
        text = (
            f"Since step {first} the gradient norm is around {number(norm)}, "
            f"against {number(np.exp(base))} at the start."
        )
        if progress.known:
            text += (
                f" The loss rose from {first_loss:.4g} to "
                f"{progress.loss[last]:.4g}: the run diverges."
            )
        evidence = {
            "growth": float(np.exp(log_norm - base)),
            "threshold": factor,
            "window": {"first_step": first, "last_step": stop},
        }
        until = int(blocks.last_step[stretch_end(high, last)])
        return self._finding(trace, layers, first, until, evidence, text)

    def _over_depth(self, trace, blocks):
        mask = judged_layers(trace)
        progress = Progress.of(trace)
        if np.count_nonzero(mask) < 3 or not progress.known:
            return None
        logs = log_profile(trace)
        rise = logs - logs[:, -1:]
        # A head without any gradient is another sickness.
        rise[logs[:, -1] <= LOG_ZERO] = 0.0
        window = max(_DEPTH["window"], progress.window)
        high = rise > np.log(_DEPTH["ratio"])
        seen = count_within(high, window) >= _SHARE * window
        good = seen.any(axis=1)
        good &= progress.stalled(window, _DEPTH["stalled"])
        good &= progress.not_learned(window, _DEPTH["learned"])
        if not good.any():
            return None
        last = int(np.argmax(good))
        means = mean_known(logs[last - window + 1 : last + 1])
        culprits = np.flatnonzero(seen[last])
        culprits = culprits[np.argsort(-means[culprits], kind="stable")]
        names_of = trace.layers[mask]
        worst = int(culprits[0])
        begin = stretch_start(high[:, worst], last, window)
        first, stop = int(blocks.first_step[begin]), int(blocks.last_step[last])
        layers = [str(layer) for layer in names_of[culprits]]
        text = (
            f"The gradient grows on its way back: it is "
            f"{number(np.exp(means[worst]))} in {layers[0]}, against "
            f"{number(np.exp(means[-1]))} in {names_of[-1]} at the output, "
            f"and the loss does not fall. Concerned: {names(layers)}. "
            f"From input to output: {profile_text(np.exp(means))}."
        )
        evidence = {
            "ratio": float(np.exp(means[worst] - means[-1])),
            "threshold": _DEPTH["ratio"],
            "window": {"first_step": first, "last_step": stop},
        }
        until = int(blocks.last_step[stretch_end(high[:, worst], last)])
        return self._finding(
            trace, layers, first, until, evidence, text, "warning"
        )

    def _finding(
        self, trace, layers, first, last, evidence, text, severity="critical"
    ):
        return Finding(
            rule=self.id,
            severity=severity,
            layers=layers,
            first_step=first,
            last_step=last,
            epoch=trace.epoch_of(first),
            evidence=evidence,
            message=text,
            remedies=remedies.for_exploding(trace, layers),
        )


def _by_norm(trace, at):
    """Return the judged layers, that of the largest gradient first."""
    last = np.nan_to_num(trace.layer_norms(at, at + 1)[0])
    mask = judged_layers(trace)
    order = np.argsort(-last, kind="stable")
    return [str(trace.layers[i]) for i in order if mask[i]]


def _jumps(trace):
    """Return ranges of records in which the gradient may have run away.

    All of the first 256; of the rest, those around a block that is above the
    one before.
    """
    count = min(_RUNAWAY["records"], len(trace.steps))
    ranges = [(0, count)]
    blocks = trace.blocks()
    with np.errstate(invalid="ignore"):
        rise = np.diff(blocks.global_log) > 1.0
    for at in np.flatnonzero(rise)[:64] + 1:
        low, high = np.searchsorted(
            trace.steps,
            [blocks.first_step[at - 1], blocks.last_step[at] + 1],
        )
        if high > count and high - low >= 3:
            ranges.append((int(low), int(high)))
    return ranges


def _in_a_row(steps):
    """Return whether three records follow one another, none left out."""
    if len(steps) < 3:
        return np.zeros(0, bool)
    apart = np.diff(steps)
    return (apart[1:] == apart[:-1]) & (apart[1:] <= max(1, apart.min()))


def signals_that_explode(trace):
    """Return the layers whose outputs grew out of all bounds at the start.

    Args:
        trace: The `Trace`.

    Returns:
        Tuple of the layers, how large the outputs of the first of them were,
        as text, and the step; no layers if nothing of the kind was seen.
    """
    nothing = [], "", 0
    std = trace.activation("std")[:1].astype(np.float64)
    if not std.shape[1] or not len(std) or not len(trace.steps):
        return nothing
    step = int(trace.activation_steps[0])
    at = int(np.searchsorted(trace.steps, step))
    if at >= len(trace.steps) or not gone_records(trace)[at]:
        return nothing
    size = np.hypot(trace.activation("mean")[0].astype(np.float64), std[0])
    start = np.hypot(
        float(trace.data("input_mean")[0]), float(trace.data("input_std")[0])
    )
    if not np.isfinite(start):
        return nothing
    with np.errstate(invalid="ignore"):
        over = size > SIGNAL * max(start, 1e-30)
        huge = over | np.isnan(size)
    # The output alone is told of by `output_mismatch`. NaN that no large
    # number came before did not grow: something made it.
    if not huge[:-1].any() or not over.any():
        return nothing
    first = int(np.argmax(huge))
    shown = (
        f"{number(size[first])} in size"
        if np.isfinite(size[first])
        else "not finite"
    )
    return layers_of(trace, trace.sites[huge]), shown, step


def _largest_update(trace, step):
    """Return the largest finite update ratio up to `step`, and its layer."""
    steps, ratio = trace.measured("update_ratio")
    ratio = ratio[steps <= step][:, judged_layers(trace)]
    finite = np.where(np.isfinite(ratio), ratio, 0.0)
    if not finite.size:
        return 0.0, ""
    worst = int(finite.max(axis=0).argmax())
    layer = trace.layers[judged_layers(trace)][worst]
    return float(finite[:, worst].max()), str(layer)
