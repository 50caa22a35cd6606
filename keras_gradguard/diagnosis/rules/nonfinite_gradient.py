"""Finds gradients that are NaN or infinite, and where that began."""

import numpy as np

from keras_gradguard._text import count
from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard._text import profile_text
from keras_gradguard.diagnosis.evidence.harm import facts_of
from keras_gradguard.diagnosis.evidence.origin import OF_THE_LOSS
from keras_gradguard.diagnosis.evidence.origin import OF_THE_SLOPE
from keras_gradguard.diagnosis.evidence.origin import SQUARED
from keras_gradguard.diagnosis.evidence.origin import origin_of
from keras_gradguard.diagnosis.evidence.stretches import LOOK_BACK
from keras_gradguard.diagnosis.evidence.stretches import gone_records
from keras_gradguard.diagnosis.evidence.stretches import growth_before
from keras_gradguard.diagnosis.evidence.stretches import layers_with_gradient
from keras_gradguard.diagnosis.remedies.gradients import for_nonfinite
from keras_gradguard.diagnosis.rules.exploding_gradient.start import (
    norms_by_layer,
)
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.findings.build import in_a_run

# Calibration from 2**15 halves the scale at each skipped update.
_SKIPPED_IN_A_ROW = 30
# What counts as growth on the way to the first non-finite gradient.
GROWTH = 100.0
# Growth before says nothing where the step shows the origin itself.
_CERTAIN = ("index", "data")


class NonfiniteGradient(Rule):
    """Finds gradients that are NaN or infinite.

    One such gradient, once applied, is enough: the weights do not recover.
    Updates that a loss-scale optimizer skips are how it finds its scale, so
    only 30 skipped updates in a row are a finding.

    What the step shows tells where it came from: an index that an embedding
    has no row for, data that are not finite, weights that had gone before, a
    layer whose outputs are not finite. Where the outputs are finite and the
    loss is not, it is the loss function; where the loss is finite, its slope.
    Else layers are told in the order of the way back.
    """

    id = "nonfinite_gradient"

    def check(self, trace):
        """See `Rule.check`."""
        gone = gone_records(trace)
        if not gone.any():
            return []
        applied = np.flatnonzero(gone & ~trace.skipped)
        row = _first_run(gone & trace.skipped, _SKIPPED_IN_A_ROW)
        if len(applied) and (row is None or applied[0] <= row):
            return [self._applied(trace, gone, int(applied[0]))]
        if row is not None:
            return [self._skipped(trace, gone, row)]
        return []

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
        elif clue == "unknown":
            clue = "data" if everywhere else "layer"
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
        last = at + _SKIPPED_IN_A_ROW - 1
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
                "threshold": f"{_SKIPPED_IN_A_ROW} skipped updates in a row",
                "window": {
                    "first_step": step,
                    "last_step": int(trace.steps[last]),
                    "records": _SKIPPED_IN_A_ROW,
                },
            },
            message=(
                f"From step {step} on, {_SKIPPED_IN_A_ROW} updates in a row "
                "were skipped: their gradients were not finite. It was so in "
                f"{names(layers)}. Lowering the loss scale does not help, and "
                "the model does not learn."
            ),
            remedies=for_nonfinite(trace.run, layers, "overflow"),
        )

    def check_start(self, start):
        """Find NaN or infinity in the data, the first gradient, the loss."""
        if start.nonfinite:
            return [self._in_data(start)]
        if start.beyond:
            return [self._beyond(start)]
        gradient = start.gradient
        told = ("exploding_gradient", "vanishing_gradient")
        if gradient is None or start.tells(*told):
            return []
        bad = [
            path
            for path, norm in zip(gradient.paths, gradient.norms, strict=True)
            if not np.isfinite(norm)
        ]
        if bad and not start.tells("unscaled_data", "dead_relu"):
            return [self._first_gradient(start, bad)]
        if np.isfinite(gradient.loss) or not start.learns_in_principle:
            return []
        clue, what = _at_start(start)
        return [
            self.at_start(
                "critical",
                [],
                {"kind": "loss_at_start", "loss": str(gradient.loss)},
                f"The loss is {gradient.loss} for the first batch, before any "
                f"training. All inputs and targets are finite.{what}",
                for_nonfinite(start.run, [], clue or "layer"),
            )
        ]

    def _first_gradient(self, start, bad):
        gradient = start.gradient
        message = (
            f"The first gradient is not finite in {names(bad)}. That is before "
            "any training."
        )
        clue, what = _at_start(start)
        if len(bad) < len(gradient.paths) or not clue:
            # Something in between: it grows beyond all bounds on its way.
            profile = profile_text(gradient.norms)
            what = f" Gradient norms from input to output: {profile}."
            clue = "growth"
        facts = start.heads[0].facts if len(start.heads) == 1 else None
        return self.at_start(
            "critical",
            bad,
            {
                "kind": "gradient_at_start",
                "grad_norm": norms_by_layer(gradient),
                "loss": str(gradient.loss),
                "origin": clue,
            },
            message + what,
            for_nonfinite(start.run, bad, clue, facts=facts),
        )

    def _beyond(self, start):
        layers = list(start.beyond)
        top = max(index for index, _ in start.beyond.values())
        first, *more = (
            f"{layer} looks up the index {index}, but its table has the rows 0 "
            f"to {rows - 1}."
            for layer, (index, rows) in start.beyond.items()
        )
        return self.at_start(
            "critical",
            layers,
            {
                "kind": "index",
                "indices": {k: list(v) for k, v in start.beyond.items()},
            },
            " ".join(
                [
                    first,
                    "That gives NaN on JAX, an error or zeros elsewhere.",
                    *more,
                ]
            ),
            for_nonfinite(start.run, layers, "index", top),
        )

    def _in_data(self, start):
        where = {"x": "inputs", "y": "targets"}
        told = " and ".join(
            f"{count(c['values'], 'value')} of the {where[name]} "
            f"({count(c['rows'], 'row')})"
            for name, c in start.nonfinite.items()
        )
        one = [c["values"] for c in start.nonfinite.values()] == [1]
        are = "is" if one else "are"
        return self.at_start(
            "critical",
            [],
            {"kind": "data", "nonfinite": start.nonfinite},
            f"{told} {are} NaN or infinite. One such value makes the loss and "
            "all weights NaN.",
            for_nonfinite(start.run, [], "data"),
        )


def _at_start(start):
    """Return what outputs and loss say of the first gradient.

    Returns:
        Tuple of a clue, "" where there is none, and a sentence behind a space.
    """
    facts = [head.facts for head in start.heads]
    if not facts or None in facts:
        return "", ""
    ends = [end for f in facts for end in (f.output_min, f.output_max)]
    if None in ends or not (np.abs(ends) < SQUARED).all():
        return "", ""
    loss = start.gradient.loss
    if np.isfinite(loss):
        return "slope", f" The loss is finite ({number(loss)}), {OF_THE_SLOPE}."
    return "loss", f" The outputs are finite. {OF_THE_LOSS}."


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


def _weights_gone(trace, step):
    """Return the layers whose weights were not finite by `step`."""
    steps, norms = trace.measured("weight_norm")
    bad = ~np.isfinite(norms[steps <= step])
    if not bad.any():
        return []
    first = bad[np.argmax(bad.any(axis=1))]
    return [str(layer) for layer in trace.layers[first]]
