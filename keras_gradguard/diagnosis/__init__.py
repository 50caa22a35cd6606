"""Judging a trace: rules, findings, remedies, reports."""

import dataclasses
import os
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from keras_gradguard import _paths
from keras_gradguard import _validation
from keras_gradguard.diagnosis.evidence.certainty import not_judged
from keras_gradguard.diagnosis.life import lived
from keras_gradguard.diagnosis.remedies.fitting import fitted
from keras_gradguard.diagnosis.rules import effects_of
from keras_gradguard.diagnosis.rules import left_out
from keras_gradguard.diagnosis.rules import noted
from keras_gradguard.diagnosis.rules import resolve_rules
from keras_gradguard.diagnosis.rules import said_of
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.findings.finding import Finding
from keras_gradguard.reporting.report import Report
from keras_gradguard.trace.trace import Trace


def diagnose(
    trace: Trace | str | os.PathLike[str],
    rules: str
    | Sequence[str | Rule]
    | Mapping[str, Mapping[str, Any]] = "default",
) -> Report:
    """Judge a recorded run; no model is needed.

    Args:
        trace: `keras_gradguard.Trace`, of a running fit or loaded from a file;
            or a path, as for `Trace.load`: the `log_dir` of a run.
        rules: `"default"` for all rules, or a list of `Rule` objects and rule
            ids. A dict from rule ids to dicts takes all rules, too:
            `{"frozen_layer": {"ignore": "embed*"}}` has a rule leave out the
            layers that a pattern, or one of a list of patterns, fits, and
            `{"update_ratio": {"high": 0.2}}` moves a threshold. Each rule's
            `thresholds` lists those. Defaults to `"default"`.

    Returns:
        A `Report`. Its findings are in order of `first_step`; what began at
        the same step has its cause first. `Finding.cause` names the rule of
        the finding that another follows from.

    Raises:
        OSError: If there is no file, or no run in the directory.
        TypeError: If `trace` is none, or `rules` holds what is no rule.
        ValueError: If `rules` holds an unknown rule id, or a file is damaged.

    Example:
    >>> import numpy as np
    >>> from keras_gradguard import Trace, diagnose
    >>> trace = Trace(["a", "b"], ["a/kernel", "b/kernel"], [0, 1])
    >>> loss = 3 * np.exp(-np.arange(200) / 50)
    >>> trace.append(np.arange(200), np.ones((200, 2)), extra={"loss": loss})
    >>> diagnose(trace).healthy
    True
    """
    chosen = resolve_rules(rules)
    if isinstance(trace, str | os.PathLike):
        trace = Trace.load(_paths.check_path("diagnose", "trace", trace))
    if not isinstance(trace, Trace):
        _validation.fail(
            TypeError,
            "diagnose",
            "trace",
            "a Trace, or the directory of a run",
            trace,
            "Pass `monitor.trace`, or the log_dir of a GradientMonitor.",
            show_type=True,
        )
    found: list = []
    with trace.unchanged():
        for rule in chosen:
            fresh = rule.check(trace)
            if trace.thinned:
                fresh = _with_remembered(trace, rule.id, fresh)
            found.extend(fresh)
        reasons = not_judged(trace, left_out(chosen))
        found.sort(key=lambda f: f.first_step)
        stand, history = lived(trace, found, effects_of(chosen))
        stand = fitted(trace.run, stand)
        # One finding has one text, wherever it is read.
        standing = {finding.key: finding for finding in stand}
        history = [standing.get(finding.key, finding) for finding in history]
        notes = [*said_of(chosen, trace), *noted(chosen, trace)]
    return Report(
        stand,
        trace,
        notes=notes,
        not_judged=reasons,
        history=history,
    )


def _with_remembered(
    trace: Trace, rule: str, fresh: list[Finding]
) -> list[Finding]:
    """Add what was found before the steps that prove it were dropped."""
    old = [Finding.from_dict(d) for d in trace.found if d["rule"] == rule]
    if not old:
        return fresh
    known = {finding.key for finding in old}
    later = {finding.key: finding.last_step for finding in fresh}
    old = [
        dataclasses.replace(f, last_step=max(f.last_step, later.get(f.key, 0)))
        for f in old
    ]
    start = min(finding.first_step for finding in old)
    # A finding that starts before a remembered one is an artefact of thinning.
    new = [f for f in fresh if f.key not in known and f.first_step > start]
    return old + new
