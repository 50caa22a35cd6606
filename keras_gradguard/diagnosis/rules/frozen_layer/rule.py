"""Layers whose weights do not move.

Longer than 350 lines, since one rule is one class, and a third its words.
"""

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.alone import normalizations
from keras_gradguard.diagnosis.evidence.alone import softmaxes
from keras_gradguard.diagnosis.evidence.ended import without_slope
from keras_gradguard.diagnosis.evidence.harm import began
from keras_gradguard.diagnosis.evidence.harm import dated
from keras_gradguard.diagnosis.evidence.stretches import LOG_ZERO
from keras_gradguard.diagnosis.evidence.stretches import columns
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.evidence.stretches import judged_layers
from keras_gradguard.diagnosis.evidence.stretches import log_profile
from keras_gradguard.diagnosis.evidence.stretches import stretch_end
from keras_gradguard.diagnosis.evidence.stretches import stretch_start
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.remedies.rates import RANGES
from keras_gradguard.diagnosis.rules.exploding_gradient.start import (
    no_slope_at_ends,
)
from keras_gradguard.diagnosis.rules.frozen_layer import cures
from keras_gradguard.diagnosis.rules.frozen_layer import few_rows
from keras_gradguard.diagnosis.rules.frozen_layer import no_gradient
from keras_gradguard.diagnosis.rules.frozen_layer import nothing_trains
from keras_gradguard.diagnosis.rules.frozen_layer import one_number
from keras_gradguard.diagnosis.rules.frozen_layer import rounded
from keras_gradguard.diagnosis.rules.frozen_layer.alone import row_alone
from keras_gradguard.diagnosis.rules.frozen_layer.attention import (
    scores_cut_off,
)
from keras_gradguard.diagnosis.rules.frozen_layer.averages import stale_averages
from keras_gradguard.diagnosis.rules.frozen_layer.features import dull_features
from keras_gradguard.diagnosis.rules.frozen_layer.no_slope import flat
from keras_gradguard.diagnosis.rules.frozen_layer.no_slope import no_slope
from keras_gradguard.diagnosis.rules.frozen_layer.nothing_counts import (
    nothing_counts,
)
from keras_gradguard.diagnosis.rules.frozen_layer.only_offsets import (
    only_offsets,
)
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import ADJUSTABLE
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import LONG
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import MEASURED
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import ZERO_BLOCKS
from keras_gradguard.diagnosis.rules.frozen_layer.untracked import in_words
from keras_gradguard.diagnosis.rules.frozen_layer.untracked import untracked
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.diagnosis.rules.vanishing_gradient import cut_off
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.findings.remedy import Remedy


class FrozenLayer(Rule):
    """Finds trainable layers whose weights do not change.

    * A layer of the user's own gives the same number for every input, so that
      nothing comes back through it.
    * Frozen layers give nearly the same for every input, and the run does not
      learn.
    * The gradient is exactly zero in every layer in the first 10 records,
      though no unit is dead or saturated: the loss does not depend on the
      weights. Of a short plan 4 % is enough, and 3 records. So it is where
      some layers get no gradient by the structure of the model.
    * Batches have one row, and layers before a BatchNormalization get a
      gradient of exactly zero: a row less its own mean is 0. Of two rows a
      BatchNormalization behind a dense layer leaves signs alone, which is
      told of a run that has explained less than 60 % after a quarter.
    * A LayerNormalization has one number to normalize, and gives its offset
      for every input. Of two numbers it leaves which is larger: told of a run
      that does not learn.
    * Every kernel was made untrainable and only offsets train, and the run
      does not learn.
    * Loss and gradients are exactly zero at once, though the outputs are not
      the targets: no sample counts.
    * Batches hold one row each, and a loss of one's own is zero with all its
      gradients from the first record on, though offsets of zero show that
      nothing was learnt: it compares rows.
    * It is zero in some layers for 4 % of the plan, 8 to 100 records, and 16
      at least where batches are under 8 samples. The
      layers behind get a whole one: these are cut off from the loss.
    * A layer with a kernel gets a gradient of exactly zero for 100 records,
      while layers in front of it and behind it get one: a dead or
      disconnected branch. (If nothing in front gets one either, that is
      `vanishing_gradient`.)
    * A layer gets a gradient of usual size, and other layers moved. Its
      weights moved by less than 1e-8 of their norm in 5 measurements in a row
      over 100 steps: the optimizer leaves it out, or the steps are lost to
      rounding.
    * Averages of BatchNormalization keep over a twentieth of their start up to
      the planned end, training learns and validation does not.
    * Query and key of an attention get less than a millionth of the gradient
      of its value in the first records, and little is learnt. Its scores have
      no effect then. So it is where a mask leaves only padding.
    * The model calls layers that it does not know, as those in an object of
      another class or in a function, and little is learnt.
    * All layers with weights were made untrainable: no weight will change.
    * The first step ended with the error of a backend that finds no gradient.
    * No layer ever moved in 100 steps although gradients arrive: the rate is
      zero, or weights in half precision swallow the steps. All are meant.

    Some layers that were made untrainable, or do not run, get no gradient at
    all and are no finding.
    """

    id = "frozen_layer"
    thresholds = ADJUSTABLE

    def check(self, trace):
        """See `Rule.check`."""
        if not len(trace.steps) and nothing_trains.nothing_trains(trace.run):
            first = began(trace)
            told = _untrainable(self, trace.run)
            return [dated(trace, told, first, first)]
        if without_slope(trace):
            first = began(trace)
            told = flat(self, "The first step ended with an error", trace.run)
            return [dated(trace, told, first, first)]
        cut = few_rows.of_one_row(trace)
        cut = (
            cut
            or scores_cut_off(trace)
            or dull_features(trace)
            or (one_number.in_run(trace) if len(trace.steps) else None)
            or (only_offsets(trace) if len(trace.steps) else None)
            or untracked(trace)
            or nothing_counts(trace)
            or row_alone(trace)
            or no_gradient.of_all(trace)
            or no_gradient.of_some(trace)
            or few_rows.of_two_rows(trace)
        )
        if cut is not None:
            return [cut]
        blocks = trace.blocks()
        mask = judged_layers(trace)
        if not mask.any() or not len(blocks):
            return []
        found = self._all_still(trace, mask) or self._still(trace, blocks, mask)
        found += self._no_gradient(trace, blocks, mask)
        averages = stale_averages(trace)
        return found if averages is None else [*found, averages]

    def check_start(self, start):
        """Find a loss whose first gradient is exactly zero in every layer."""
        if nothing_trains.nothing_trains(start.run):
            return [_untrainable(self, start.run)]
        coarse = rounded.takes_no_step(start.run)
        if coarse:
            return [
                self.at_start(
                    "critical",
                    list(coarse),
                    dict(rounded.EVIDENCE),
                    rounded.in_words(coarse),
                    rounded.remedies(coarse),
                )
            ]
        if start.run.untracked:
            start.notes.append(in_words(start.run.untracked))
        layers = normalizations(start.run)
        if layers:
            return [
                self.at_start(
                    "warning",
                    layers,
                    dict(one_number.EVIDENCE),
                    one_number.words(layers),
                    one_number.remedies(layers),
                )
            ]
        first = start.gradient
        closed = ("output_mismatch", "dead_relu", "saturated_activation")
        if first is None or start.tells(*closed, "poor_initialization"):
            return []
        if no_slope_at_ends(start):
            # It depends on them, but for what is exactly 0 or 1.
            return []
        missing = cut_off(first.norms)
        missing &= ~np.isin(first.paths, first.opening)
        missing &= not no_gradient.some_without_loss(start.run)
        if missing.any() and np.isfinite(first.norms).all():
            paths = [first.paths[at] for at in np.flatnonzero(missing)]
            lone = softmaxes(start.run)
            if lone:
                return [
                    self.at_start(
                        "warning",
                        lone,
                        dict(one_number.EVIDENCE),
                        one_number.words_of_softmax(lone),
                        one_number.for_softmax(start.run, lone),
                    )
                ]
            return [
                self.at_start(
                    "warning",
                    paths,
                    {"kind": "cut_off", "grad_norm": 0.0, "threshold": 0.0},
                    f"{names(paths)}: the first gradient is exactly zero, "
                    f"while other layers get one. {no_gradient.CUT_OFF}",
                    cures.for_cut_off(start.run, paths),
                )
            ]
        return no_slope(self, start)

    def _no_gradient(self, trace, blocks, mask):
        logs = log_profile(trace)
        zero = logs <= LOG_ZERO
        alive = np.isfinite(logs) & ~zero
        in_front = np.cumsum(alive, axis=1) > 0
        behind = np.cumsum(alive[:, ::-1], axis=1)[:, ::-1] > 0
        dead = zero & in_front & behind
        seen = count_within(dead, ZERO_BLOCKS) == ZERO_BLOCKS
        if not seen.any():
            return []
        last = int(np.argmax(seen.any(axis=1)))
        culprits = np.flatnonzero(seen[last])
        start = stretch_start(dead[:, culprits[0]], last, ZERO_BLOCKS)
        end = stretch_end(dead[:, culprits[0]], last)
        layers = [str(layer) for layer in trace.layers[mask][culprits]]
        first, stop = int(blocks.first_step[start]), int(blocks.last_step[last])
        return [
            in_a_run(
                trace,
                rule=self.id,
                severity="warning",
                layers=layers,
                first_step=first,
                last_step=int(blocks.last_step[end]),
                evidence={
                    "grad_norm": 0.0,
                    "threshold": 0.0,
                    "window": {"first_step": first, "last_step": stop},
                },
                message=(
                    f"{names(layers)}: the gradient is exactly zero from step "
                    f"{first} to {stop}. Layers in front and behind get one. "
                    "These weights do not learn."
                ),
                remedies=for_frozen(trace.run, layers),
            )
        ]

    def _still(self, trace, blocks, mask):
        steps, ratio = trace.measured("update_ratio")
        # Steps whose block is not complete are judged later.
        done = int(np.searchsorted(steps, blocks.last_step[-1], "right"))
        steps, ratio = steps[:done], columns(ratio[:done], mask)
        if len(steps) < MEASURED:
            return []
        at = np.searchsorted(blocks.first_step, steps, side="right") - 1
        logs = log_profile(trace)[np.maximum(at, 0)]
        top = np.fmax.reduce(logs, axis=1, initial=LOG_ZERO)[:, None]
        with np.errstate(invalid="ignore"):
            fed = logs > top + np.log(1e-3)
            moved = (ratio > 1e-6).any(axis=1)[:, None]
            still = (ratio < self.limit("still")) & fed & moved
        seen = count_within(still, MEASURED) == MEASURED
        for last, layer in np.argwhere(seen):
            start = stretch_start(still[:, layer], int(last), MEASURED)
            if steps[last] - steps[start] >= LONG:
                return [
                    self._still_finding(
                        trace, steps, still, ratio, mask, start, int(last)
                    )
                ]
        return []

    def _still_finding(self, trace, steps, still, ratio, mask, start, last):
        same = still[start : last + 1].all(axis=0)
        layers = [str(name) for name in trace.layers[mask][same]]
        first, stop = int(steps[start]), int(steps[last])
        end = stretch_end(still[:, np.argmax(same)], last)
        value = float(np.nanmax(ratio[start : last + 1, same]))
        return in_a_run(
            trace,
            rule=self.id,
            severity="warning",
            layers=layers,
            first_step=first,
            last_step=int(steps[end]),
            evidence={
                "update_ratio": value,
                "threshold": self.limit("still"),
                "window": {"first_step": first, "last_step": stop},
            },
            message=(
                f"{names(layers)}: the weights hardly move, though a gradient "
                f"of usual size arrives. From step {first} to {stop} a step "
                f"moved them by at most {number(value)} of their size."
            ),
            remedies=for_frozen(trace.run, layers),
        )

    def _all_still(self, trace, mask):
        steps, update = trace.measured("update_norm")
        update = columns(update, mask)
        known = ~np.isnan(update).all(axis=1)
        if not known.all():
            steps, update = steps[known], update[known]
        if len(steps) < MEASURED:
            return []
        moved = np.flatnonzero((update != 0).any(axis=1))
        stop = int(moved[0]) if len(moved) else len(steps)
        far = np.flatnonzero(steps[:stop] - steps[0] >= LONG)
        far = far[far >= MEASURED - 1]
        if not len(far):
            return []
        with np.errstate(invalid="ignore"):
            if not (trace.get("grad_norm", by="variable") > 0).any():
                return []
        first, until = int(steps[0]), int(steps[far[0]])
        coarse = rounded.of_run(trace.run)
        return [
            in_a_run(
                trace,
                rule=self.id,
                severity="critical",
                layers=list(coarse),
                first_step=first,
                last_step=int(steps[stop - 1]),
                evidence={
                    **(rounded.EVIDENCE if coarse else {}),
                    "update_norm": 0.0,
                    "threshold": 0.0,
                    "window": {"first_step": first, "last_step": until},
                },
                message=(
                    f"No weight changed from step {first} to {until}, though "
                    f"gradients arrive. {rounded.in_words(coarse)}"
                ),
                remedies=rounded.remedies(coarse) or for_frozen(trace.run, []),
            )
        ]


def for_frozen(run, layers):
    """Return remedies for layers that do not move."""
    if not layers:
        usual = RANGES.get(run.optimizer.name, (0, 0, 1e-3))[2]
        return [
            training.learning_rate(
                run.optimizer,
                f"{usual:g} is usual for {run.optimizer.name or 'Adam'}.",
                usual,
            ),
            Remedy(
                "Check the learning rate and its schedule",
                "Gradients arrive but the weights do not change.",
                "print(float(model.optimizer.learning_rate))",
            ),
        ]
    listed = ", ".join(repr(str(layer)) for layer in layers)
    return [
        Remedy(
            "Check that the output depends on these layers",
            "Their gradient is zero, or the optimizer leaves them out.",
            f"for path in [{listed}]:\n"
            "    own = [w.path for w in model.trainable_variables]\n"
            "    print([name for name in own if name.startswith(path)])",
        ),
        Remedy(
            "Freeze them on purpose",
            "If they are meant to stay as they are, say so and save the work.",
            f"frozen = [{listed}]\n"
            "for layer in model.layers:\n"
            "    if layer.path in frozen:\n"
            "        layer.trainable = False",
        ),
    ]


def _untrainable(rule, run):
    return rule.at_start(
        "critical",
        [],
        nothing_trains.evidence(run),
        nothing_trains.WORDS,
        nothing_trains.remedies(run),
    )
