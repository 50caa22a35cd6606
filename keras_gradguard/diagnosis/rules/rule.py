"""What a rule is."""

import abc


class Rule(abc.ABC):
    """Base of all rules: judges a trace and returns findings.

    A rule sees the trace and nothing else: no model, no Keras. It must cope
    with any trace (empty, one step, NaN, missing statistics) and must be
    *steady*: what it finds on the first part of a run it still finds, with
    the same `first_step`, on the whole run. Judging `trace.blocks()` from the
    first on gives that for free.

    Attributes:
        id: Str. Name of the rule, as in `Finding.rule`.

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

    @abc.abstractmethod
    def check(self, trace):
        """Judge a trace.

        Args:
            trace: `keras_gradguard.Trace`.

        Returns:
            List of `Finding`, empty if nothing is wrong.
        """
