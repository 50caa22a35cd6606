"""Finds gradients that are NaN or infinite, and where that began."""

import numpy as np

from keras_gradguard._text import count
from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.ended import ended
from keras_gradguard.diagnosis.evidence.ended import index_beyond
from keras_gradguard.diagnosis.evidence.ended import last_step
from keras_gradguard.diagnosis.evidence.ended import no_numbers
from keras_gradguard.diagnosis.evidence.harm import began
from keras_gradguard.diagnosis.evidence.harm import dated
from keras_gradguard.diagnosis.evidence.harm import facts_of
from keras_gradguard.diagnosis.evidence.logged import logged_loss
from keras_gradguard.diagnosis.evidence.origin import OF_THE_LOSS
from keras_gradguard.diagnosis.evidence.origin import origin_of
from keras_gradguard.diagnosis.evidence.stretches import LOOK_BACK
from keras_gradguard.diagnosis.evidence.stretches import gone_records
from keras_gradguard.diagnosis.evidence.stretches import growth_before
from keras_gradguard.diagnosis.evidence.stretches import layers_with_gradient
from keras_gradguard.diagnosis.evidence.way import way_gone
from keras_gradguard.diagnosis.remedies.gradients import for_nonfinite
from keras_gradguard.diagnosis.rules.nonfinite_gradient import at_start
from keras_gradguard.diagnosis.rules.nonfinite_gradient.refused import refused
from keras_gradguard.diagnosis.rules.nonfinite_gradient.thresholds import EPOCHS
from keras_gradguard.diagnosis.rules.nonfinite_gradient.thresholds import GROWTH
from keras_gradguard.diagnosis.rules.nonfinite_gradient.thresholds import OFTEN
from keras_gradguard.diagnosis.rules.nonfinite_gradient.thresholds import (
    OVERTURNED,
)
from keras_gradguard.diagnosis.rules.nonfinite_gradient.thresholds import (
    SKIPPED_IN_A_ROW,
)
from keras_gradguard.diagnosis.rules.nonfinite_gradient.thresholds import TIMES
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.findings.build import in_a_run

# Growth before says nothing where the step shows the origin itself.
_CERTAIN = ("index", "data")
# What a step that was too large may have led to.
_AFTER_A_STEP = ("output", "batch", "unknown")


class NonfiniteGradient(Rule):
    """Finds gradients that are NaN or infinite.

    One such gradient, once applied, is enough: the weights do not recover.
    Updates that a loss-scale optimizer skips are how it finds its scale, so
    only 30 skipped updates in a row are a finding.

    What the step shows tells where it came from: an index that an embedding
    has no row for, data that are not finite, weights that were lost before, a
    layer whose outputs are not finite. Where the outputs are finite and the
    loss is not, it is the loss function; where the loss is finite, its slope.
    Where the step before changed the weights by half of their size, it is said.
    Else layers are named in the order of the way back. A loss that is NaN all
    along, beside finite gradients, is reported at the end of an epoch. One that
    is so in a tenth of the steps is reported after two such epochs. Where a
    backend stops the run at outputs that are NaN, or at an index, that is said.
    """

    id = "nonfinite_gradient"

    def check(self, trace):
        """See `Rule.check`."""
        if index_beyond(trace):
            told = at_start.ended(trace.run, self.at_start, ended(trace))
            return [_at_the_end(trace, told)]
        gone = gone_records(trace)
        if not gone.any() and no_numbers(trace):
            told = refused(trace, self.at_start, ended(trace))
            return [_at_the_end(trace, told)]
        if not gone.any():
            return self._loss_alone(trace)
        applied = np.flatnonzero(gone & ~trace.skipped)
        row = _first_run(gone & trace.skipped, SKIPPED_IN_A_ROW)
        if len(applied) and (row is None or applied[0] <= row):
            return [self._applied(trace, gone, int(applied[0]))]
        if row is not None:
            return [self._skipped(trace, gone, row)]
        return []

    def _loss_alone(self, trace):
        """Tell of a loss that is NaN though each gradient is finite."""
        per_epoch = np.asarray(logged_loss(trace), np.float64)
        loss = trace.extra.get("loss")
        bad = np.isnan(per_epoch)
        known = loss is not None and np.isfinite(loss).any()
        part = _share_gone(loss) if known else 1.0
        if part >= OFTEN and bad.sum() >= EPOCHS:
            known = False
        ends = [trace.data(f"output_{end}") for end in ("min", "max")]
        if (
            known
            or not len(trace.steps)
            or not bad.any()
            or not all(np.isfinite(e).any() for e in ends)
        ):
            return []
        at = np.flatnonzero(bad)[0 if part == 1 else EPOCHS - 1]
        step = int(trace.epoch_steps[at])
        often = "" if part == 1 else f" in {number(100 * part)} % of the steps"
        return [
            in_a_run(
                trace,
                rule=self.id,
                severity="warning",
                layers=[],
                first_step=int(trace.steps[0]),
                last_step=int(trace.steps[-1]),
                evidence={
                    "kind": "NaN",
                    "origin": "loss",
                    "loss_nonfinite": True,
                    "share": part,
                    "threshold": "one epoch",
                    "window": {
                        "first_step": int(trace.steps[0]),
                        "last_step": step,
                    },
                },
                message=(
                    f"The loss is NaN{often}, though outputs and gradients are "
                    "finite. "
                    f"{OF_THE_LOSS}. Zero times a logarithm of zero does so, "
                    "too. No callback can follow such a loss."
                ),
                remedies=for_nonfinite(
                    trace.run,
                    list(trace.run.layers),
                    "loss",
                    facts=facts_of(trace),
                ),
            )
        ]

    def _applied(self, trace, gone, at):
        norms = trace.layer_norms(at, at + 1)[0]
        active = layers_with_gradient(trace)
        bad = ~np.isfinite(norms) & active
        layers = [str(layer) for layer in trace.layers[bad][::-1]]
        everywhere = bool((bad == active).all())
        step = int(trace.steps[at])
        kind = "NaN" if np.isnan(norms[bad]).any() else "infinite"
        loss_gone = _loss_gone(trace, at)
        weights_gone = _weights_gone(trace, step)
        growth = growth_before(trace, at)
        origin = origin_of(trace, at, weights_gone)
        what, clue = origin.what, origin.clue
        # What leads is what the step shows, else the order of the way back.
        layers = origin.layers + [
            layer for layer in layers if layer not in origin.layers
        ]
        if not what and everywhere:
            what = (
                "the loss or the output was not finite, so no layer is spared"
            )
        elif not what:
            what = f"it is so in {names(layers)}"
        if growth >= GROWTH and clue not in _CERTAIN:
            clue = "growth"
            what += (
                f". Before that the gradient had grown "
                f"{number(growth)}-fold within "
                f"{count(min(at, LOOK_BACK), 'step')}"
            )
        elif clue in _AFTER_A_STEP and (moved := _moved_before(trace, step)):
            clue = "growth"
            by = f"{number(100 * moved)} % of"
            by = by if moved < TIMES else f"{number(moved)} times"
            what += (
                f". The step before had changed the weights by {by} their size"
            )
        else:
            what += origin.unless_grown
            if clue == "unknown" and not everywhere:
                clue = "layer"
        return in_a_run(
            trace,
            rule=self.id,
            severity="critical",
            layers=layers,
            first_step=step,
            last_step=int(trace.steps[np.flatnonzero(gone)[-1]]),
            evidence={
                "nonfinite_layers": len(layers),
                "layers": len(trace.layers),
                "kind": kind,
                "origin": origin.clue,
                "loss_nonfinite": loss_gone,
                "weights_nonfinite": weights_gone,
                "growth": growth,
                "skipped": False,
                "threshold": "one applied update",
                "window": {"first_step": step, "last_step": step},
            },
            message=f"At step {step} the gradient became {kind}; {what}.",
            remedies=for_nonfinite(
                trace.run,
                layers,
                clue,
                facts=facts_of(trace),
                capsule=trace.run.capsule,
            ),
        )

    def _skipped(self, trace, gone, at):
        last = at + SKIPPED_IN_A_ROW - 1
        norms = trace.layer_norms(at, at + 1)[0]
        bad = ~np.isfinite(norms) & layers_with_gradient(trace)
        layers = [str(layer) for layer in trace.layers[bad][::-1]]
        step = int(trace.steps[at])
        return in_a_run(
            trace,
            rule=self.id,
            severity="critical",
            layers=layers,
            first_step=step,
            last_step=int(trace.steps[np.flatnonzero(gone)[-1]]),
            evidence={
                "skipped": True,
                "nonfinite_layers": len(layers),
                "threshold": f"{SKIPPED_IN_A_ROW} skipped updates in a row",
                "window": {
                    "first_step": step,
                    "last_step": int(trace.steps[last]),
                    "records": SKIPPED_IN_A_ROW,
                },
            },
            message=(
                f"From step {step} on, {SKIPPED_IN_A_ROW} updates in a row "
                "were skipped: their gradients were not finite. It was so in "
                f"{names(layers)}. Lowering the loss scale does not help, and "
                "the model does not learn."
            ),
            remedies=for_nonfinite(trace.run, layers, "overflow"),
        )

    def check_start(self, start):
        """Find NaN or infinity in the data, the first gradient, the loss."""
        return at_start.judge(start, self.at_start)


def _at_the_end(trace, told):
    """Return a finding on the run up to the error that ended it."""
    first = began(trace)
    return dated(trace, told, first, max(first, last_step(trace)))


def _share_gone(loss):
    """Return how many of the losses are not finite, since the first record."""
    return float((~np.isfinite(loss)).mean())


def _first_run(mask, length):
    """Return where `length` True in a row begin first, or None."""
    total = np.concatenate([[0], np.cumsum(mask)])
    if len(mask) < length:
        return None
    full = np.flatnonzero(total[length:] - total[:-length] == length)
    return int(full[0]) if len(full) else None


def _loss_gone(trace, at):
    loss = trace.extra.get("loss")
    if loss is None:
        return False
    # NaN also means "not recorded": it counts only after a recorded loss.
    known = bool(np.isfinite(loss[: at + 1]).any()) or np.isinf(loss[at])
    return bool(known and not np.isfinite(loss[at]))


def _moved_before(trace, step):
    """Return by how much of their size the step before changed the weights.

    That of the median layer, and 0 where it was not measured, or was usual.
    """
    steps, one, _ = way_gone(trace)
    at = np.searchsorted(steps, step) - 1
    if at < 0 or steps[at] != step - 1 or not np.isfinite(one[at]):
        return 0.0
    return float(one[at]) if one[at] >= OVERTURNED else 0.0


def _weights_gone(trace, step):
    """Return the layers whose weights were not finite by `step`."""
    steps, norms = trace.measured("weight_norm")
    bad = ~np.isfinite(norms[steps <= step])
    if not bad.any():
        return []
    first = bad[np.argmax(bad.any(axis=1))]
    return [str(layer) for layer in trace.layers[first]]
