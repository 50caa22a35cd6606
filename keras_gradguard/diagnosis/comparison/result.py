"""What a comparison of two runs found."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_gradguard._files import jsonable
from keras_gradguard._text import names as listed
from keras_gradguard._text import number
from keras_gradguard.diagnosis.comparison.differences import Difference
from keras_gradguard.findings.finding import Finding


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _About:
    layers: list[str]
    only_a: list[str]
    only_b: list[str]
    steps: tuple[int, int] | None
    factor: float
    names: tuple[str, str]
    matched_by: str
    findings_only_a: list[Finding]
    findings_only_b: list[Finding]


class Comparison:
    """Which layers of two runs differ, since when, and by how much.

    `keras_gradguard.compare` makes it.

    Args:
        rows: List of `Difference`, the earliest first.
        **about: What was compared; each becomes an attribute.

    Attributes:
        rows: List of `Difference`: `layer`, `series`, `first_step`,
            `last_step`, `lasts`, `epoch`, `a`, `b`, `ratio`.
        layers: List of str, paths of the layers that were compared.
        only_a: List of str, layers that only the first run has.
        only_b: List of str, layers that only the second run has.
        steps: Tuple of the first and last step that both have, or None.
        factor: Float. What counts as a difference.
        names: Tuple of two str, what the runs are called.
        matched_by: Str. `"path"`, `"name"` or `"order"`: how layers were
            matched.
        findings_only_a: List of `Finding` whose rule is silent in the second.
        findings_only_b: List of `Finding` whose rule is silent in the first.
    """

    def __init__(self, rows: list[Difference], **about: Any) -> None:
        known = _About(**about)
        self.rows = list(rows)
        self.layers = known.layers
        self.only_a = known.only_a
        self.only_b = known.only_b
        self.steps = known.steps
        self.factor = known.factor
        self.names = known.names
        self.matched_by = known.matched_by
        self.findings_only_a = known.findings_only_a
        self.findings_only_b = known.findings_only_b

    @property
    def differ(self) -> list[str]:
        """List of str: paths of the layers that differ, the earliest first."""
        return list(dict.fromkeys(row.layer for row in self.rows))

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return jsonable(
            {
                "verdict": self._verdict(),
                "rows": [dataclasses.asdict(row) for row in self.rows],
                "layers": self.layers,
                "only_a": self.only_a,
                "only_b": self.only_b,
                "steps": None if self.steps is None else list(self.steps),
                "factor": self.factor,
                "names": list(self.names),
                "matched_by": self.matched_by,
                "findings_only_a": [f.to_dict() for f in self.findings_only_a],
                "findings_only_b": [f.to_dict() for f in self.findings_only_b],
            }
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.rows)

    def __bool__(self) -> bool:
        raise TypeError(
            "Comparison: a comparison is neither true nor false. Ask "
            "`comparison.differ`, the list of layers that differ."
        )

    def __str__(self) -> str:
        lines = [self._verdict()]
        if self.matched_by == "order":
            lines.append("The layers were matched by their order.")
        if self.rows:
            lines += ["", *map(self._line, self.rows)]
        a, b = self.names
        ends = [
            (f"Only in {a}", self.only_a),
            (f"Only in {b}", self.only_b),
            (f"Found only in {a}", _told(self.findings_only_a)),
            (f"Found only in {b}", _told(self.findings_only_b)),
        ]
        shown = [f"{what}: {listed(names)}." for what, names in ends if names]
        return "\n".join([*lines, *([""] if shown else []), *shown])

    def __repr__(self) -> str:
        return f"<Comparison: {len(self.differ)} of {len(self.layers)} differ>"

    def _verdict(self) -> str:
        if self.steps is None:
            return "Nothing to compare: the runs have no steps in common."
        if not self.layers:
            return "Nothing to compare: the runs have no layers in common."
        steps = f"over steps {self.steps[0]} to {self.steps[1]}"
        many, all_of = len(self.differ), len(self.layers)
        layers = "layer" if all_of == 1 else "layers"
        verb = "differs" if 1 in (many, all_of) else "differ"
        count = "None" if not many else str(many)
        return (
            f"{count} of {all_of} {layers} {verb} by more than "
            f"{number(self.factor)} times, {steps}."
        )

    def _line(self, row: Difference) -> str:
        a, b = self.names
        epoch = "" if row.epoch is None else f" (epoch {row.epoch + 1})"
        until = "" if row.lasts else f", until step {row.last_step}"
        return (
            f"{row.layer}: {row.series} is {_said(row.a)} in {a}, "
            f"{_said(row.b)} in {b}{_times(row)}, since step "
            f"{row.first_step}{epoch}{until}."
        )


def _said(value: float) -> str:
    return number(value) if np.isfinite(value) else "not finite"


def _times(row: Difference) -> str:
    if not np.isfinite(row.ratio) or row.ratio == 0:
        return ""
    if row.ratio > 1:
        return f" ({number(row.ratio)} times more)"
    return f" ({number(1 / row.ratio)} times less)"


def _told(findings: list[Finding]) -> list[str]:
    return list(dict.fromkeys(finding.rule for finding in findings))
