"""Fits too short to judge, as a loop around `fit` makes them.

After eight steps nobody knows whether a network learns, and fifty fits of
eight steps each would say so fifty times. So a short fit is judged together
with the short ones before it that it goes on from.
"""

import dataclasses
import weakref
from typing import Any

from keras_gradguard._text import count
from keras_gradguard.diagnosis.evidence.certainty import ENOUGH
from keras_gradguard.trace.resuming import joined
from keras_gradguard.trace.trace import Trace

# A rate that somebody has changed by more makes another run of it.
_OTHER_RATE = 3.0


@dataclasses.dataclass(frozen=True)
class ShortFits:
    """What the short fits of a model have recorded, one behind the other.

    Attributes:
        trace: `Trace` of all of them.
        fits: How many they were.
        next_step: The optimizer's step at which a fit goes on from them.
        optimizer: Weak reference to the optimizer, or None.
        facts: Dict of what the model told of itself.
        said: Dict from the keys of findings to the status that was said.
        verdict: What was said at the end.
    """

    trace: Trace
    fits: int
    next_step: int
    optimizer: Any
    facts: dict
    said: dict
    verdict: Any

    def goes_on(self, model, first_step, facts):
        """Whether a fit is one more of them.

        Args:
            model: The model that is about to train.
            first_step: The optimizer's step.
            facts: Dict of what the model tells of itself and what is planned.
        """
        planned = facts.get("epochs_planned"), facts.get("steps_per_epoch")
        return (
            self.next_step == first_step > 0
            and self.optimizer is not None
            and self.optimizer() is model.optimizer
            and self.facts["loss_name"] == facts["loss_name"]
            and _near(self.facts["learning_rate"], facts["learning_rate"])
            and (None in planned or planned[0] * planned[1] < ENOUGH)
        )


# What the short fits of each model left, by what was recorded of them.
_LEFT: Any = weakref.WeakKeyDictionary()


class Together:
    """Joins a fit with the short ones that it goes on from.

    Args:
        model: The model that is about to train.
        first_step: The optimizer's step.
        facts: Dict of what the model tells of itself and what is planned.
        recorded: Str. What is recorded of the fit: others are kept apart.
    """

    def __init__(self, model, first_step, facts, recorded=""):
        self._model, self._facts, self._recorded = model, facts, recorded
        before = _LEFT.setdefault(model, {}).get(recorded)
        goes_on = before and before.goes_on(model, first_step, facts)
        self._before: Any = before if goes_on else None

    @property
    def goes_on(self):
        """Whether there are any that it goes on from."""
        return self._before is not None

    @property
    def said(self):
        """Dict from the keys of findings to the status that was said before."""
        return self._before.said if self._before else {}

    def judged(self, trace):
        """Return what is judged of a fit: its trace, or one of all fits.

        Args:
            trace: `Trace` of the fit, as far as it is.
        """
        if self._before is None or trace.records_seen >= ENOUGH:
            return trace
        whole = joined(self._before.trace, trace, numbers_on=True)
        if whole is not trace:
            # How many fits will follow is not known.
            planned = {"epochs_planned": None, "steps_per_epoch": None}
            whole.meta = {**trace.meta, **planned}
        return whole

    @property
    def note(self):
        """What a report says of it."""
        before = count(self._before.fits, "fit")
        return f"Judged together with the {before} before, as short as this."

    def end(self, trace, whole, next_step, judge):
        """Keep what there is for a fit that goes on, if this one was short.

        Args:
            trace: `Trace` of the fit.
            whole: What `judged` gave.
            next_step: The optimizer's step behind it.
            judge: `Judge` that judged it.

        Returns:
            Whether the fit before ended with the same verdict.
        """
        stand = frozenset(finding.key for finding in judge.findings)
        enough = whole.records_seen >= ENOUGH
        verdict = stand, bool(judge.not_judged), enough
        before, left = self._before, _LEFT[self._model]
        left.pop(self._recorded, None)
        if 0 < trace.records_seen < ENOUGH:
            optimizer = getattr(self._model, "optimizer", None)
            left[self._recorded] = ShortFits(
                whole,
                1 + (before.fits if before and whole is not trace else 0),
                next_step,
                None if optimizer is None else weakref.ref(optimizer),
                self._facts,
                judge.said,
                verdict,
            )
        return before is not None and before.verdict == verdict


def _near(before, after):
    if not all(
        isinstance(rate, float) and rate > 0 for rate in (before, after)
    ):
        return before == after
    return 1 / _OTHER_RATE <= after / before <= _OTHER_RATE
