"""The rule that finds gradients that grow without bound."""

import dataclasses

from keras_gradguard._text import names
from keras_gradguard.diagnosis.evidence.harm import facts_of
from keras_gradguard.diagnosis.evidence.rates import risen_by
from keras_gradguard.diagnosis.evidence.recurrent import unbounded
from keras_gradguard.diagnosis.evidence.recurrent import unbounded_by
from keras_gradguard.diagnosis.remedies.gradients import for_exploding
from keras_gradguard.diagnosis.remedies.training import keep_rate
from keras_gradguard.diagnosis.rules.exploding_gradient.at_once import at_once
from keras_gradguard.diagnosis.rules.exploding_gradient.free_state import (
    free_state,
)
from keras_gradguard.diagnosis.rules.exploding_gradient.lasting import (
    over_depth,
)
from keras_gradguard.diagnosis.rules.exploding_gradient.lasting import over_time
from keras_gradguard.diagnosis.rules.exploding_gradient.signal import (
    through_layers,
)
from keras_gradguard.diagnosis.rules.exploding_gradient.start import (
    certain_outputs,
)
from keras_gradguard.diagnosis.rules.exploding_gradient.start import far_outputs
from keras_gradguard.diagnosis.rules.exploding_gradient.start import (
    growth_over_depth,
)
from keras_gradguard.diagnosis.rules.exploding_gradient.start import huge_output
from keras_gradguard.diagnosis.rules.exploding_gradient.sudden import burst
from keras_gradguard.diagnosis.rules.exploding_gradient.sudden import lost
from keras_gradguard.diagnosis.rules.exploding_gradient.sudden import runaway
from keras_gradguard.diagnosis.rules.exploding_gradient.sudden import (
    to_nonfinite,
)
from keras_gradguard.diagnosis.rules.exploding_gradient.through_time import (
    through_time,
)
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.findings.remedy import edits_of

_WAYS = (
    at_once,
    to_nonfinite,
    through_layers,
    burst,
    runaway,
    lost,
    free_state,
    over_time,
    over_depth,
    through_time,
)


class ExplodingGradient(Rule):
    """Finds gradients that grow without bound.

    Ten ways to show it, each scale-free:

    * at the first step the outputs are 1000 times as large as inputs and
      targets. The loss or the gradient is a million times what such targets
      can give: critical, however short the run;
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
    * after at least 40 records it is, on one, over 100 times its median of the
      32 before, and the loss over twice the first. The loss, which had fallen
      by 30 %, is back near the first for the 40 records after and more, and
      does not come down: critical;
    * the outputs of a recurrent layer whose activation sets no bound to the
      state become a hundred times as large as they were, and the loss lies by
      half above that of then: critical;
    * at the first step the signal grows over a millionfold through the layers
      and no gradient is finite: critical;
    * it is over 1000 times larger near the input than at the output for 100
      records while the loss stalls and has not fallen by 15 %: warning.
      AUTOTRAINER warns from 70 on; deep tanh nets that learn reach 140;
    * through time: at the first time step of a recurrent layer it is over 1000
      times as large as at the last, and over ten times the number of time
      steps. Three measurements in a row must show it, while the loss stalls as
      over depth (warning), or is over twice the first (critical). It takes
      `GradientMonitor(through_time=True)`.

    References:
        - [Zhang et al., AUTOTRAINER, ICSE 2021](https://github.com/shiningrain/AUTOTRAINER)
        - [Pascanu et al., 2013](https://arxiv.org/abs/1211.5063)
    """

    id = "exploding_gradient"
    effects = (
        "dead_relu",
        "saturated_activation",
        "vanishing_gradient",
        "nonfinite_gradient",
        "update_ratio",
        "oscillating_loss",
        "frozen_layer",
        "slow_convergence",
        "loss_plateau",
    )

    def check(self, trace):
        """See `Rule.check`."""
        seen = [way(trace) for way in _WAYS]
        seen = [growth for growth in seen if growth is not None]
        if not seen:
            return []
        # What was complete first is reported, also when more is known later.
        growth = min(seen, key=lambda growth: growth.told_at)
        layers, text = _cause_first(trace.run, growth.layers, growth.message)
        return [
            in_a_run(
                trace,
                rule=self.id,
                severity=growth.severity,
                layers=layers,
                first_step=growth.first_step,
                last_step=growth.last_step,
                evidence=growth.evidence,
                message=text,
                remedies=_remedies(trace, growth),
            )
        ]

    def check_start(self, start):
        """Find signals, and gradients over depth, that have exploded."""
        if start.beyond:
            # What comes behind an index without a row says nothing.
            return []
        found = huge_output(start) or certain_outputs(start)
        found = found or far_outputs(start) or growth_over_depth(start)
        if found is None:
            return []
        layers, evidence, text = found
        cures = for_exploding(start.run, layers, _facts_of(start))
        return [self.at_start("critical", layers, evidence, text, cures)]


def _facts_of(start):
    """Return the `DataFacts` of inputs and targets, None if one is unknown."""
    inputs = start.inputs
    if start.facts is None or inputs is None or inputs.several:
        return None
    inputs = inputs.facts
    return dataclasses.replace(
        start.facts, input_mean=inputs.input_mean, input_std=inputs.input_std
    )


def _cause_first(run, layers, text):
    """Return layers and text that begin with states that nothing bounds."""
    free = unbounded(run)
    if not free or "every time step" in text:
        return layers, text
    why = (
        f"{names(free)}: {unbounded_by(run, free[0])} sets no bound to the "
        "state, which grows at every time step."
    )
    return [*free, *(at for at in layers if at not in free)], f"{why} {text}"


def _remedies(trace, growth):
    found = for_exploding(trace.run, growth.layers, facts_of(trace))
    before = risen_by(trace, growth.told_at)
    if before is None:
        return found
    # At the rate before the rise all was well: no other one is advised.
    rest = [remedy for remedy in found if not _sets_rate(remedy)]
    return [keep_rate(trace, before), *rest]


def _sets_rate(remedy):
    return any(action == "set_learning_rate" for action, _ in edits_of(remedy))
