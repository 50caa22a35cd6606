"""A verdict on a run, to read or to save."""

import json
import os
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_gradguard import _paths
from keras_gradguard import _validation
from keras_gradguard._files import write_atomically
from keras_gradguard.findings import causes
from keras_gradguard.findings.finding import Finding
from keras_gradguard.reporting.lives import state
from keras_gradguard.reporting.lives import what_became_of
from keras_gradguard.trace.trace import Trace

_SKILL = "skill: 1 is perfect, 0 predicts no better than a constant"


class Report:
    """Findings on a run, with what to do about them.

    `str(report)` is the verdict in words. A healthy run is one line. What
    follows from another finding stands behind it, without remedies of its
    own.

    Args:
        findings: List of `Finding`, in order of `first_step`.
        trace: The `Trace` they were found on, or None. Defaults to None.
        notes: List of str. What else to tell: what was not judged, and why.
        attempts: List of `Attempt`. What `heal` tried, in order.
        not_judged: List of str. Why a run without findings may not be called
            healthy. Defaults to none.
        history: List of `Finding`. All that were made, those that are
            resolved or withdrawn, too. Defaults to `findings`.

    Attributes:
        findings: List of `Finding`.
        trace: The trace, or None.
        notes: List of str.
        attempts: List of `Attempt`.
        not_judged: List of str. What could not be judged, and why.
        run_dir: Str or None. The directory of files it was read from.

    Example:
    >>> import numpy as np
    >>> from keras_gradguard import Trace, diagnose
    >>> trace = Trace(["a", "b"], ["a/kernel", "b/kernel"], [0, 1])
    >>> loss = 3 * np.exp(-np.arange(200) / 50)
    >>> trace.append(np.arange(200), np.ones((200, 2)), extra={"loss": loss})
    >>> print(diagnose(trace))
    Healthy: nothing found in 200 recorded steps of 2 layers.
    """

    def __init__(
        self,
        findings: Iterable[Finding],
        trace: Trace | None = None,
        notes: Iterable[str] = (),
        attempts: Iterable[Any] = (),
        not_judged: Iterable[Any] = (),
        history: Iterable[Finding] | None = None,
    ) -> None:
        self.findings = _list("findings", findings, "Finding", "rule")
        self.history = _list(
            "history",
            self.findings if history is None else history,
            "Finding",
            "rule",
        )
        self.trace = trace
        self.notes = _validation.check_names("Report", "notes", notes)
        self.run_dir: str | None = None
        self.attempts = _list("attempts", attempts, "Attempt", "to_dict")
        self.not_judged = _validation.check_names(
            "Report", "not_judged", not_judged
        )

    @property
    def healthy(self) -> bool | None:
        """Bool or None. Whether nothing is wrong.

        False where a finding stands. True where nothing was found and all was
        judged: the rules had the records they ask for, and the loss fell by
        more than its noise or is at its floor. None where too little was
        judged to say so, or nothing was recorded; `not_judged` says why.
        """
        if self.findings:
            return False
        return None if self.not_judged else True

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __bool__(self) -> bool:
        raise TypeError(
            "Report: a report is neither true nor false. Ask "
            "`report.healthy`, which is True, False, or None where too "
            "little was judged; `report.not_judged` says why."
        )

    @property
    def verdict(self) -> str:
        """Str. The verdict in one sentence."""
        from keras_gradguard.reporting.tables import verdict

        return verdict(self.trace, self.findings, self.not_judged)

    @property
    def ranked(self) -> list[Finding]:
        """List of `Finding`: causes first, each before what follows from it."""
        return causes.ranked(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: verdict, findings, summary and more."""
        data = {
            "healthy": self.healthy,
            "verdict": self.verdict,
            "not_judged": self.not_judged,
            "findings": [finding.to_dict() for finding in self.findings],
            "summary": self._summary(),
        }
        gone = causes.ended(self.history)
        if gone:
            data["gone"] = [finding.to_dict() for finding in gone]
        if self.notes:
            data["notes"] = self.notes
        if self.attempts:
            data["attempts"] = [attempt.to_dict() for attempt in self.attempts]
        return data

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as a page, text or data.

        Args:
            path: Str or path. The ending decides: `.html` is one page that
                opens offline, `.md` is Markdown, `.json` is `to_dict()`. Its
                folder is made if need be.

        Raises:
            ValueError: If the ending is another.
            OSError: If the file cannot be written.
        """
        path = Path(_paths.check_path("Report.save", "path", path))
        kind = path.suffix.lower()
        if kind == ".json":
            text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
        elif kind == ".md":
            from keras_gradguard.reporting.markdown import to_markdown

            text = to_markdown(self)
        elif kind == ".html":
            from keras_gradguard.reporting.html import to_html

            text = to_html(self)
        else:
            raise ValueError(
                "Report.save: `path` must end in .html, .json or .md. "
                f"Received: path={_validation.shown(str(path))}."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(
            path, lambda file: file.write(text.encode(errors="replace"))
        )

    def _summary(self) -> dict[str, Any]:
        trace = self.trace
        if trace is None:
            return {}
        from keras_gradguard._files import jsonable
        from keras_gradguard.reporting.tables import layer_rows

        logs = {
            name: series[-1]
            for name, series in trace.logs.items()
            if len(series)
        }
        return jsonable(
            {
                "records": trace.records_seen,
                "first_step": trace.steps[0] if len(trace.steps) else None,
                "last_step": trace.steps[-1] if len(trace.steps) else None,
                "epochs": len(trace.epochs),
                "last_logs": logs,
                "layers": layer_rows(trace, self.findings),
                "meta": trace.meta,
            }
        )

    def __str__(self) -> str:
        lines = [self.verdict, *self.notes, *what_became_of(self.history)]
        if self.attempts:
            lines += ["", f"Tried ({_SKILL}):"]
            lines += [f"  {attempt}" for attempt in self.attempts]
        for finding in self.ranked:
            lines.append("")
            follows = f", follows from {finding.cause}" if finding.cause else ""
            lines.append(
                f"{finding.rule} ({state(finding, self.trace)}), since step "
                f"{finding.first_step}{follows}: {finding.message}"
            )
            if finding.cause:
                continue
            for remedy in finding.remedies:
                lines.append(f"  - {remedy.title}. {remedy.why}")
                lines += [f"      {line}" for line in remedy.code.splitlines()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return what a notebook shows of it."""
        from keras_gradguard.reporting.notebook import report_html

        return report_html(self)

    def __repr__(self) -> str:
        rules = [finding.rule for finding in self.findings]
        nothing = "healthy" if self.healthy else "nothing found"
        return f"<Report: {rules if rules else nothing}>"


def _list(name: Any, value: Any, kind: Any, attribute: Any) -> Any:
    """Return a list of records that have an attribute."""
    entries = [None]
    if np.iterable(value) and not isinstance(value, str | bytes):
        entries = list(value)
    if not all(hasattr(entry, attribute) for entry in entries):
        what = f"a list of {kind}"
        _validation.fail(TypeError, "Report", name, what, value)
    return entries
