"""Finds layers that the gradient does not reach.

Longer than 350 lines, since one rule is one class, and a third its words.
"""

import numpy as np

from keras_gradguard._text import many_times
from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard._text import profile_text
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.stretches import LOG_ZERO
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.evidence.stretches import judged_layers
from keras_gradguard.diagnosis.evidence.stretches import log_profile
from keras_gradguard.diagnosis.evidence.stretches import mean_known
from keras_gradguard.diagnosis.evidence.stretches import records
from keras_gradguard.diagnosis.evidence.stretches import stretch_end
from keras_gradguard.diagnosis.evidence.stretches import stretch_start
from keras_gradguard.diagnosis.rules.exploding_gradient.start import (
    norms_by_layer,
)
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.diagnosis.rules.vanishing_gradient.forgets import fades
from keras_gradguard.diagnosis.rules.vanishing_gradient.forgets import forgets
from keras_gradguard.diagnosis.rules.vanishing_gradient.remedies import (
    for_vanishing,
)
from keras_gradguard.diagnosis.rules.vanishing_gradient.same_ends import (
    for_same_ends,
)
from keras_gradguard.diagnosis.rules.vanishing_gradient.same_ends import (
    same_ends,
)
from keras_gradguard.diagnosis.rules.vanishing_gradient.same_ends import (
    same_ends_at_start,
)
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import (
    ADJUSTABLE,
)
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import (
    AT_START,
)
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import BLIND
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import (
    CUT_OFF,
)
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import (
    CUT_OFF_SHARP,
)
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import (
    FEWEST_LAYERS,
)
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import (
    FROM_THE_START,
)
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import MILD
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import SEVERE
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import SHARE
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import STILL
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import WHOLE
from keras_gradguard.diagnosis.rules.vanishing_gradient.through_time import (
    note_of,
)
from keras_gradguard.diagnosis.rules.vanishing_gradient.through_time import (
    through_time,
)
from keras_gradguard.findings.build import in_a_run


class VanishingGradient(Rule):
    """Finds layers whose gradient dies on the way back from the loss.

    Compares, layer by layer, the gradient norm with the largest of the layers
    behind it, towards the output: that ratio over depth neither depends on
    the scale of the loss nor on the optimizer. A small ratio alone is no
    sickness (a converged deep tanh net shows 1 : 100), so the loss decides:

    * below 1/25 for 100 records while the loss stalls and has fallen by less
      than 15 % since the start: warning;
    * below 1/1000 for 50 records while the loss stalls and has fallen by less
      than 90 %: critical. AUTOTRAINER uses the same 1e-3, between the first
      and the last layer;
    * below 1/1000 for 30 records while the outputs are the same for every
      input from the start: critical, since the signal does not get through
      either. Below 1/10000 for 10 records it is told then, too;
    * where no loss was recorded, below 1e-4 for 200 records;
    * through time: below 1/1000 of a recurrent layer's largest gradient
      arrives at its first time step. Three measurements in a row must show it,
      in a run of which `loss_plateau` would say that it learns nothing. It is
      critical where the outputs are the same for every input, else a warning.
      It takes `GradientMonitor(through_time=True)`;
    * a SimpleRNN whose recurrent weights, as they start, and whose slope leave
      less than 1/1000 of a gradient over all time steps, where nothing is
      learnt;
    * a SimpleRNN that hands on its state after 30 time steps or more, and no
      other. The run is behind what trivial learners get out of its rows.

    A run that has learnt, by outputs that follow the targets or by a score, is
    left alone.

    Over depth only layers with kernels are compared, at least three of them.

    Notes:
        Without `through_time` most recurrent layers that forget do not show.
        The gradient of its kernel is a sum over all time steps, and the last
        ones keep it as large as that of an LSTM. One that forgets and learns
        all the same is left alone: the recent past may be enough.

    References:
        - [Zhang et al., AUTOTRAINER, ICSE 2021](https://github.com/shiningrain/AUTOTRAINER)
        - [Glorot and Bengio, 2010](https://proceedings.mlr.press/v9/glorot10a.html)
    """

    id = "vanishing_gradient"
    thresholds = ADJUSTABLE
    effects = (
        "update_ratio",
        "frozen_layer",
        "slow_convergence",
        "loss_plateau",
    )

    def check(self, trace):
        """See `Rule.check`."""
        found = self._over_depth(trace)
        if not found and len(trace.blocks()):
            late = through_time(trace, self.limit("severe"))
            found = [] if late is None else [late]
        if not found:
            alike = same_ends(trace) or fades(trace, self.limit("severe"))
            alike = alike or forgets(trace)
            found = [] if alike is None else [alike]
        return found

    def _over_depth(self, trace):
        blocks = trace.blocks()
        mask = judged_layers(trace)
        if not len(blocks) or np.count_nonzero(mask) < 3:
            return []
        logs = log_profile(trace)
        ratio = _ratio_to_later(logs)
        # One output is not on the way back from another.
        ends = {output.layer for output in trace.run.outputs}
        ratio[:, np.isin(trace.layers[mask], list(ends))] = 0.0
        progress = Progress.of(trace)
        learning = Learning.of(trace)
        good, blind = learning.by_block(blocks)
        hits = [
            _first_hit(ratio, progress, level, ~good)
            for level in self._levels()
        ]
        hits.append(_first_hit(ratio, progress, CUT_OFF, blind & ~good))
        hits = [hit for hit in hits if hit is not None]
        if not hits:
            # Until more is known.
            hit = _first_hit(ratio, progress, CUT_OFF_SHARP, blind & ~good)
            hits = [] if hit is None else [hit]
        if not hits:
            return []
        # The severe level needs fewer blocks, so it wins where both hold.
        last, window, limit, below = min(hits, key=lambda hit: hit[0])
        return [
            self._finding(trace, blocks, mask, logs, last, window, limit, below)
        ]

    def _levels(self):
        severe = {**SEVERE, "ratio": self.limit("severe")}
        return severe, {**MILD, "ratio": self.limit("mild")}, BLIND

    def _finding(self, trace, blocks, mask, logs, last, window, limit, below):
        shown = slice(last - window + 1, last + 1)
        layers = trace.layers[mask]
        means = mean_known(logs[shown])
        culprits = np.flatnonzero(below[shown].sum(axis=0) >= SHARE * window)
        culprits = culprits[np.argsort(means[culprits], kind="stable")]
        worst = culprits[0]
        top = worst + 1 + int(np.nanargmax(means[worst + 1 :]))
        start = stretch_start(below[:, worst], last, window)
        end = stretch_end(below[:, worst], last)
        norms = np.where(means <= LOG_ZERO, 0.0, np.exp(means))
        first, stop = int(blocks.first_step[start]), int(blocks.last_step[last])
        progress = Progress.of(trace)
        guilty = [str(layer) for layer in layers[culprits]]
        evidence = {
            "grad_norm": {
                str(name): float(f"{norm:.4g}")
                for name, norm in zip(layers, norms, strict=True)
            },
            "ratio": float(np.exp(means[worst] - means[top])),
            "threshold": limit,
            "window": {
                "first_step": int(blocks.first_step[shown][0]),
                "last_step": stop,
                "records": records(window),
            },
            "loss_first": progress.first,
            "loss": float(progress.loss[last]),
        }
        message = _message(guilty, layers, norms, worst, top, evidence)
        severe = evidence["ratio"] < self.limit("severe")
        return in_a_run(
            trace,
            rule=self.id,
            severity="critical" if severe else "warning",
            layers=guilty,
            first_step=first,
            last_step=int(blocks.last_step[end]),
            evidence=evidence,
            message=message,
            remedies=for_vanishing(trace.run, guilty),
        )

    def check_start(self, start):
        """Find a first gradient that vanishes on its way back."""
        notes = [note_of(layer) for layer in start.through_time]
        start.notes += [note for note in notes if note is not None]
        alike = same_ends_at_start(start)
        if alike is not None:
            layers, evidence, text = alike
            told = for_same_ends(start.run, layers)
            return [self.at_start("critical", layers, evidence, text, told)]
        gradient = start.gradient
        leading = ("unscaled_data", "dead_relu", "exploding_gradient")
        if gradient is None or start.tells(*leading):
            return []
        paths, norms = gradient.paths, gradient.norms
        few = len(norms) < FEWEST_LAYERS or not norms.any()
        if few or not np.isfinite(norms).all():
            return []
        if cut_off(norms).any():
            return []  # another finding says that nothing arrives at all
        later = np.maximum.accumulate(norms[::-1])[::-1][1:]
        # What reaches a layer before it has come around this one.
        reach = np.maximum.accumulate(norms)[:-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(later > 0, reach / later, 1.0)
        ends = {output.layer for output in start.run.outputs}
        ratio[np.isin(paths[:-1], list(ends))] = 1.0
        worst = int(np.argmin(ratio))
        if ratio[worst] >= AT_START:
            return []
        low = [paths[at] for at in np.flatnonzero(ratio < AT_START * 10)]
        low.sort(key=lambda path: norms[paths.index(path)])
        return [
            self.at_start(
                "critical",
                low,
                {
                    "kind": "at_start",
                    "grad_norm": norms_by_layer(gradient),
                    "ratio": float(ratio[worst]),
                    "threshold": AT_START,
                },
                f"Before any training {paths[worst]} gets "
                f"{_less(norms[worst], later[worst])} a layer behind it. "
                f"The norms are {number(norms[worst])} and "
                f"{number(later[worst])}. Gradient norms from input to output: "
                f"{profile_text(norms)}.",
                for_vanishing(start.run, low),
            )
        ]


def cut_off(norms):
    """Return the bool mask (J,) of layers that no gradient reaches at all.

    One that fades over the layers arrives small before it is gone; one that
    is cut off arrives whole at the next layer that has any.

    Args:
        norms: Float array (J,), of the first gradient, in forward order.
    """
    zero = norms == 0
    mask = np.zeros(len(norms), bool)
    for at in np.flatnonzero(zero):
        behind = norms[at + 1 :][~zero[at + 1 :]]
        mask[at] = len(behind) and behind[0] >= WHOLE * norms.max()
    return mask


def _ratio_to_later(logs):
    """Return (B, J) log ratios of a layer to the largest behind it."""
    ratio = np.zeros_like(logs)
    later = np.fmax.accumulate(logs[:, ::-1], axis=1)[:, ::-1]
    ratio[:, :-1] = logs[:, :-1] - later[:, 1:]
    # Where everything behind is zero as well, nothing vanished in between.
    ratio[:, :-1][later[:, 1:] <= LOG_ZERO] = 0.0
    return ratio


def _first_hit(below_of, progress, level, where):
    """Return the first window that shows a layer.

    Args:
        below_of: Float array (B, J) of log ratios.
        progress: `Progress` of the run.
        level: Dict with `ratio`, `window` and, where the loss is judged,
            `learned` and `stalled`.
        where: Bool array (B,). Blocks that may be reported.

    Returns:
        Tuple (last block, window, limit, below) or None.
    """
    limit = level["ratio"]
    below = below_of < np.log(limit)
    judged = "stalled" in level
    window = max(level["window"], progress.window if judged else 1)
    count = count_within(below, window)
    seen = count >= SHARE * window
    good = seen.any(axis=1) & where
    cut_off = level in (CUT_OFF, CUT_OFF_SHARP)
    if judged:
        good &= progress.stalled(window, level["stalled"])
        good &= progress.not_learned(window, level["learned"])
    elif not cut_off:
        good &= np.isnan(progress.loss)
    for last in np.flatnonzero(good):
        if progress.per_batch or not judged:
            return int(last), window, limit, below
        # Losses of whole epochs hide what the first one learned.
        for layer in np.flatnonzero(seen[last]):
            start = stretch_start(below[:, layer], int(last), window)
            if start <= FROM_THE_START:
                return int(last), window, limit, below
    return None


def _message(guilty, layers, norms, worst, top, evidence):
    window = evidence["window"]
    low, high = norms[worst], norms[top]
    loss = ""
    if np.isfinite(evidence["loss"]):
        first, now = evidence["loss_first"], evidence["loss"]
        still = abs(now - first) <= STILL * abs(first)
        loss = (
            f" The loss does not {'move either' if still else 'fall any more'}"
            f": {number(first, 3)} at the start, {number(now, 3)} now."
        )
    least = "is the layer that gets" if len(guilty) == 1 else "get"
    return (
        f"{layers[worst]} gets {_less(low, high)} {layers[top]}. "
        f"The norms are {number(low)} and {number(high)} over steps "
        f"{window['first_step']}-{window['last_step']}: the gradient shrinks "
        f"on its way back through the layers. {names(guilty)} {least} the "
        f"least.{loss} Gradient norms from input to output: "
        f"{profile_text(norms)}."
    )


def _less(low, high):
    """Return in words how much less a layer gets than another."""
    if low > 0:
        return f"{many_times(high / low)} less gradient than"
    return "no gradient at all, unlike"
