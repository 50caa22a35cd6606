"""What a rule is."""

import abc
from collections.abc import Iterable
from typing import Any

from keras_gradguard.findings.build import before_a_run
from keras_gradguard.findings.finding import Finding
from keras_gradguard.findings.remedy import Remedy
from keras_gradguard.findings.start import Start
from keras_gradguard.trace.trace import Trace


class Rule(abc.ABC):
    """Base of all rules: judges a trace and returns findings.

    A rule sees the trace and nothing else: no model, no Keras. It must cope
    with any trace (empty, one step, NaN, missing statistics) and must be
    *steady*: what it finds on the first part of a run it still finds, with
    the same `first_step`, on the whole run. Judging `trace.blocks()` from the
    first on gives that for free.

    Attributes:
        id: Str. Name of the rule, as in `Finding.rule`.
        effects: Tuple of str. Ids of the rules whose findings may follow from
            one of this rule: a report tells those as its effects.
        thresholds: Dict from a name to a number: what users may move with
            `rules={id: {name: value}}`. `limit` reads them.

    Example:
    >>> from keras_gradguard import Finding, Rule
    >>> class LargeLoss(Rule):
    ...     id = "large_loss"
    ...
    ...     def check(self, trace):
    ...         for at, loss in enumerate(trace.logs.get("loss", [])):
    ...             if loss > 1e6:
    ...                 step = int(trace.epoch_steps[at])
    ...                 text = f"The loss is {loss:.3g} in epoch {at}."
    ...                 evidence = {"loss": loss, "threshold": 1e6}
    ...                 return [Finding(self.id, "warning", [], step, step,
    ...                                 at, evidence, text)]
    ...         return []
    >>> from keras_gradguard import Trace, diagnose
    >>> trace = Trace(["a"], ["a/kernel"], [0])
    >>> trace.append_epoch(0, 9, {"loss": 2e6})
    >>> print(diagnose(trace, rules=[LargeLoss()]).findings[0].message)
    The loss is 2e+06 in epoch 0.
    """

    id = ""
    effects: tuple[str, ...] = ()
    thresholds: dict[str, float] = {}  # noqa: RUF012
    # Those that a user has moved.
    _moved: dict[str, float] = {}  # noqa: RUF012

    def limit(self, name: str) -> float:
        """Return a threshold: the user's, or else that of `thresholds`.

        Args:
            name: Str. A key of `thresholds`.
        """
        return self._moved.get(name, self.thresholds[name])

    @abc.abstractmethod
    def check(self, trace: Trace) -> list[Finding]:
        """Judge a trace.

        Args:
            trace: `keras_gradguard.Trace`.

        Returns:
            List of `Finding`, empty if nothing is wrong.
        """

    def notes(self, trace: Trace) -> list[str]:
        """Say what is no finding and yet worth knowing of a run.

        Args:
            trace: `keras_gradguard.Trace`.

        Returns:
            List of str, sentences for `report.notes`. Empty by default.
        """
        del trace
        return []

    def check_start(self, start: Start) -> list[Finding]:
        """Judge a model before its first step, for `kgg.check`.

        Args:
            start: `keras_gradguard.findings.start.Start`. Rules whose findings
                may be the cause of one of this rule were asked before:
                `start.found` holds what they said.

        Returns:
            List of `Finding`, empty if nothing is wrong or this rule judges
            runs only.
        """
        del start
        return []

    def at_start(
        self,
        severity: str,
        layers: Iterable[Any],
        evidence: dict[str, Any],
        message: str,
        remedies: Iterable[Remedy] = (),
    ) -> Finding:
        """Return a finding of this rule, of before the first step.

        Args:
            severity: Str. `"warning"` or `"critical"`.
            layers: Sequence of layer paths, the culprits first.
            evidence: Dict of what JSON can hold.
            message: Str.
            remedies: Sequence of `Remedy`.
        """
        return before_a_run(
            self.id, severity, layers, evidence, message, remedies
        )
