"""Finds weights that no training should start from."""

import dataclasses
import math

import numpy as np

from keras_gradguard._text import count
from keras_gradguard._text import names
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.harm import not_learnt_until
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.evidence.soon import alike_at
from keras_gradguard.diagnosis.evidence.soon import flat_at
from keras_gradguard.diagnosis.remedies.initialization import for_initialization
from keras_gradguard.diagnosis.remedies.initialization import for_kernels
from keras_gradguard.diagnosis.rules.poor_initialization.kernel_words import (
    in_words,
)
from keras_gradguard.diagnosis.rules.poor_initialization.kernels import (
    wrong_kernels,
)
from keras_gradguard.diagnosis.rules.poor_initialization.linear import (
    all_linear,
)
from keras_gradguard.diagnosis.rules.poor_initialization.linear import (
    in_words as in_words_of_linear,
)
from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import DEAD
from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import (
    FAR_TOO_WIDE,
)
from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import LONG
from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import (
    NO_WAY_ROUND,
)
from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import (
    OF_KIND,
)
from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import (
    OF_PLAN,
)
from keras_gradguard.diagnosis.rules.poor_initialization.thresholds import SAME
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.findings.build import in_a_run

# Nobody wants these.
_SURE = ("one_sided", "one_unit", "wide", "wide_table", "gates")
# These show in the outputs of the first steps; small weights grow.
_SHOWN = ("constant", *_SURE)
# Kinds of problems before the first step that keep a net from learning.
_GRAVE = ("constant", "symmetric")


class PoorInitialization(Rule):
    """Finds weights that start constant, far too small or far too large.

    The kernels of dense and convolutional layers are judged at the first step,
    by their gain: root mean square times the root of the inputs of a unit. It
    is about 1 where the signal keeps its size. These are poor:

    * a hidden kernel that is constant: all its units stay the same. Of a layer
      that recurs both kernels have to be;
    * a gain below a tenth of Glorot's, or several that multiply to less than a
      thousandth of it over the hidden layers. Branches in layers of your own
      that the signal passes by are not judged so;
    * hidden layers with ReLU behind which less than 3 % of the signal is left,
      by their gains and as measured, so that the outputs hardly differ;
    * kernels whose weights all start with one sign, at a gain above 0.7,
      recurrent ones as well. Of an initializer of one's own it is measured:
      behind a ReLU hardly anything is 0, and the signal is over three times
      what the gain makes of it;
    * a gain above 5, of a recurrent kernel as well;
    * biases of a recurrent layer, of a root mean square of 4 and more, which
      hold its gates shut or wide open;
    * numbers of an embedding with a deviation above 10, with no normalization
      behind it;
    * hidden layers with no activation anywhere between them, where the weights
      moved by a tenth of their size and nothing was learnt;
    * a hidden layer of one unit with an activation, a recurrent one as well,
      which is reported too.

    Many such nets learn all the same, above all shallow ones. A run is
    reported only if it has not learnt after 30 records, or its gradient ran
    away. One with weights of one sign, or too large, also if it has not
    learnt a good part by a third of the plan, one with a layer of one unit by
    1.4 % of it. The first 17 records, fewer of a short plan, are enough
    where the outputs are the same for every input all along, or a layer is
    flat.

    References:
        - [Glorot and Bengio, 2010](https://proceedings.mlr.press/v9/glorot10a.html)
        - [He et al., 2015](https://arxiv.org/abs/1502.01852)
    """

    id = "poor_initialization"
    effects = (
        "dead_relu",
        "saturated_activation",
        "exploding_gradient",
        "vanishing_gradient",
        "nonfinite_gradient",
        "frozen_layer",
        "oscillating_loss",
        "slow_convergence",
        "loss_plateau",
    )

    def check(self, trace):
        """See `Rule.check`."""
        learning = Learning.of(trace)
        steps = trace.update_steps
        if not len(learning) or not len(steps) or not len(trace.steps):
            return []
        # Weights of a run that goes on were not initialised for it.
        if steps[0] > trace.steps[0] or trace.steps[0] > 0:
            return []
        wrong = wrong_kernels(trace)
        if not wrong:
            found = all_linear(trace)
            return [] if found is None else [found]
        (kind, guilty), *more = wrong
        harmed = harmed_at(trace)
        seen = [harmed, _plain_at(trace, kind)]
        if kind in _SURE:
            gain = math.prod(float(k["gain"]) for k in guilty)
            if any(trace.info(at).get("normalization") for at in trace.layers):
                gain = 1.0  # it gives the signal its size back
            seen.append(_behind_at(trace, learning, kind, gain))
        seen = [step for step in seen if step is not None]
        if not seen:
            return []
        # Who is only behind, or begins badly, may learn all the same.
        severity = "warning" if harmed is None else "critical"
        found = _finding(trace, kind, guilty, min(seen), more)
        return [dataclasses.replace(found, severity=severity)]

    def check_start(self, start):
        """Find weights that no training should start from.

        Without a run only what cannot learn is a finding. Of the rest it is
        noted what is unusual: plain autoencoders and decoders of images begin
        with a twentieth of the signal, and learn.
        """
        grave = [p for p in start.weights if p.kind in _GRAVE]
        if not grave and _dies(start):
            grave = [p for p in start.weights if p.left < 1]
        problems = grave or start.weights
        if start.run.linear and not start.trained:
            start.notes.append(in_words_of_linear(start.run.linear))
        if not problems:
            return []
        if not grave:
            start.notes += _notes(problems)
            return []
        first = problems[0]
        layers = list(dict.fromkeys(p.layer for p in problems))
        layers += [key for key in first.layers[1:] if key not in layers]
        return [
            self.at_start(
                "critical",
                layers,
                {
                    "kind": first.kind,
                    "measured_std": first.measured_std,
                    "expected_std": first.expected_std,
                    "problems": [
                        {"layer": p.layer, "kind": p.kind} for p in problems
                    ],
                },
                first.message + _rest(problems),
                for_initialization(
                    start.run,
                    layers,
                    first.preset,
                    all(p.kind == "constant" for p in problems),
                ),
            )
        ]


def _plain_at(trace, kind):
    """Return the step by which the start shows that nothing passes, or None."""
    if kind not in _SHOWN:
        return None
    found = [alike_at(trace)]
    if kind in ("one_sided", "wide", "wide_table", "gates"):
        found.append(flat_at(trace))
    return min((step for step in found if step is not None), default=None)


def _notes(problems):
    """Return what is unusual about weights, one sentence for each kind."""
    kinds: dict = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    return [
        f"{alike[0].message}{_rest(alike)} Many such models learn all the "
        "same. `GradientMonitor` says so if this one does not."
        for alike in kinds.values()
    ]


def _rest(problems):
    more = len(problems) - 1
    have = "has" if more == 1 else "have"
    what = "one unit" if problems[0].kind == "one_unit" else "such weights"
    return f" {count(more, 'more layer')} {have} {what}." if more else ""


def _behind_at(trace, learning, kind, gain):
    """Return the step by which a run should have learnt and had not, or None.

    Where it learns later, the finding is resolved.
    """
    plan, data = planned_steps(trace), trace.run.data
    # A code of one number is what some autoencoders are made for.
    wide = data.input_shape and data.input_shape != [1]
    if plan is None or (wide and data.input_shape == data.target_shape):
        return None
    run = learning.steps - int(trace.steps[0])
    wait = max(LONG, OF_PLAN * plan)
    if kind == "one_unit":
        wait = max(NO_WAY_ROUND[0], NO_WAY_ROUND[1] * plan)
    behind = (run >= wait) & ~learning.good
    if kind == "wide" and gain >= FAR_TOO_WIDE["gain"]:
        soon = run >= max(FAR_TOO_WIDE["steps"], FAR_TOO_WIDE["of_plan"] * plan)
        unrelated = learning.follows < FAR_TOO_WIDE["follows"]
        behind |= soon & unrelated & learning.little(FAR_TOO_WIDE["fallen"])
    seen = np.flatnonzero(behind)
    return int(learning.steps[seen[0]]) if len(seen) else None


def _dies(start):
    """Whether next to nothing of the inputs is left in the outputs."""
    left = math.prod(p.left for p in start.weights)
    last = [layer.output for layer in start.layers if layer.last]
    spread = [float(np.ptp(values, axis=0).max()) for values in last]
    return left < DEAD and all(size < SAME for size in spread)


def _finding(trace, kind, guilty, seen, more):
    layers = [k["layer"] for k in guilty]
    first = int(trace.steps[0])
    text = f"{names(layers)}: {in_words(kind, guilty)}."
    remedies = for_kernels(trace.run, kind, layers)
    for other, others in more:
        concerned = [k["layer"] for k in others]
        text += f" Besides, {names(concerned)}: {in_words(other, others)}."
        # What nothing else makes up for comes first.
        cures = for_kernels(trace.run, other, concerned)
        # With more that is wrong, one change alone is not enough.
        remedies = [*cures[::-1], *remedies]
        layers += [layer for layer in concerned if layer not in layers]
    return in_a_run(
        trace,
        rule=PoorInitialization.id,
        severity="critical",
        layers=layers,
        first_step=first,
        last_step=max(first, not_learnt_until(trace, seen)),
        evidence={
            "kind": kind,
            "gain": {k["layer"]: float(k["gain"]) for k in guilty},
            "threshold": OF_KIND[kind],
            "window": {"first_step": first, "last_step": seen},
        },
        message=f"{text} The run has not learnt since.",
        remedies=remedies,
    )
