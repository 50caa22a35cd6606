"""Reads the chunks of a run, and says what of them it left out.

An event file may be damaged, forged or of another release, so nothing in it
is taken for granted. What the front end counts on is checked here, once.
"""

import dataclasses
import math
import types

import numpy as np

from keras_gradguard.findings.causes import ranked
from keras_gradguard.reporting.tensorboard.chunks import BY_SITE
from keras_gradguard.reporting.tensorboard.chunks import BY_VARIABLE
from keras_gradguard.reporting.tensorboard.chunks import HIGH
from keras_gradguard.reporting.tensorboard.chunks import METRICS
from keras_gradguard.reporting.tensorboard.chunks import TIME_LENGTHS
from keras_gradguard.reporting.tensorboard.chunks import TIME_NORMS
from keras_gradguard.reporting.tensorboard.chunks import TIME_STEPS
from keras_gradguard.reporting.tensorboard.chunks import unpack
from keras_gradguard.trace.through_time import TIMES

# JavaScript counts exactly up to here.
_LAST_STEP = 2**53
_NUMBERS = ("NaN", "Infinity", "-Infinity")


@dataclasses.dataclass(slots=True)
class Chunk:
    """A chunk whose order among the others is known.

    Args:
        session: Float. When its fit began.
        part: Int. Its number within the session.
        header: Dict.
        arrays: Dict of name to array.
    """

    session: float
    part: int
    header: dict
    arrays: dict

    @property
    def order(self):
        """What chunks are sorted by."""
        return (self.session, self.part)


class Reader:
    """Checks chunks and what is in them.

    Attributes:
        left_out: Dict of reason to how often something was left out for it.
    """

    def __init__(self):
        self.left_out = {}

    def leave_out(self, reason):
        """Remember that something could not be read."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1

    def chunks(self, parts, kind, key):
        """Return the readable chunks of a tag, in order of writing.

        Args:
            parts: List of chunks, each a sequence of bytes.
            kind: Str. What they hold, for the reasons.
            key: Str. A list that the header must hold.
        """
        found: dict = {}
        for part in parts:
            try:
                chunk = _read(part, key)
            except ValueError as error:
                self.leave_out(f"{kind}: {error}")
                continue
            known = found.setdefault(chunk.order, chunk)
            if known is not chunk and known.header != chunk.header:
                self.leave_out(f"{kind}: two parts have the same number")
        return [found[order] for order in sorted(found)]

    def texts(self, value, what):
        """Return a list of strings, or None if it is none."""
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            return value
        self.leave_out(f"{what} is no list of names")
        return None

    def flags(self, value, length):
        """Return a bool array of one flag per layer, or None."""
        flags = value if isinstance(value, list) else []
        if len(flags) == length and all(isinstance(f, bool) for f in flags):
            return np.array(flags, bool)
        self.leave_out("layers: `active` is not one flag per layer")
        return None

    def series(self, chunk, layers, sites, variables=0):
        """Return the arrays of a chunk of records that fit together.

        Args:
            chunk: `Chunk`.
            layers: Int. Number of layers.
            sites: Int. Number of activations that can die.
            variables: Int. Number of variables. Defaults to 0.

        Returns:
            Steps, or None, and a dict of name to array (T,) on these; and a
            dict of metric to its own (steps, array (M, R) of means, the same
            of maxima).
        """
        arrays, shared, metrics = dict(chunk.arrays), {}, {}
        steps = self._steps(arrays, "step")
        for name, values in arrays.items():
            if name.startswith("shared/"):
                if steps is not None and _is(values, "f", (len(steps),)):
                    shared[name.removeprefix("shared/")] = values
                else:
                    self.leave_out(f"records: {_cut(name)} does not fit")
        for name in METRICS:
            at = self._steps(arrays, f"{name}/step")
            values = arrays.get(name)
            if at is None and values is None:
                continue
            rows = sites if name in BY_SITE else layers
            rows = variables if name in BY_VARIABLE else rows
            if at is None or not _is(values, "f", (len(at), rows)):
                self.leave_out(f"records: {name} does not fit its layers")
                continue
            high = arrays.get(name + HIGH)
            shape = (len(at), rows)
            if high is not None and not _is(high, "f", shape):
                self.leave_out(f"records: {name}{HIGH} does not fit its layers")
                high = None
            metrics[name] = (at, values, values if high is None else high)
        return steps, shared, metrics

    def times(self, chunk, layers):
        """Return the gradients through time of a chunk, or None.

        Args:
            chunk: `Chunk`.
            layers: Int. Number of recurrent layers.

        Returns:
            Tuple of steps (M,), lengths (M, N) and norms (M, N, `TIMES`).
        """
        at = self._steps(chunk.arrays, TIME_STEPS)
        if at is None:
            return None
        lengths = chunk.arrays.get(TIME_LENGTHS)
        norms = chunk.arrays.get(TIME_NORMS)
        shape = (len(at), layers)
        fits = _is(lengths, "i", shape) and _is(norms, "f", (*shape, TIMES))
        if not fits or lengths.min(initial=0) < 0:
            self.leave_out("records: through_time does not fit its layers")
            return None
        return at, lengths, norms

    def _steps(self, arrays, name):
        steps = arrays.get(name)
        if steps is None:
            return None
        if not (steps.dtype.kind == "i" and steps.ndim == 1):
            self.leave_out(f"records: {name} is no list of steps")
            return None
        if len(steps) and (steps[0] < 0 or steps.max() >= _LAST_STEP):
            self.leave_out(f"records: {name} holds impossible steps")
            return None
        if (np.diff(steps) < 0).any():
            self.leave_out(f"records: {name} is not in order")
            return None
        return steps

    def epochs(self, chunk):
        """Return [number, last step, logs] of the epochs of a chunk."""
        good = [epoch for epoch in chunk.header["epochs"] if _is_epoch(epoch)]
        for _ in range(len(chunk.header["epochs"]) - len(good)):
            self.leave_out("records: an epoch is not [number, step, logs]")
        return good

    def findings(self, chunk):
        """Return the findings of a chunk that can be shown."""
        return self._good(chunk.header["findings"])

    def gone(self, chunk):
        """Return the findings of a chunk that do not stand any more."""
        gone = chunk.header.get("gone", [])
        if not isinstance(gone, list):
            self.leave_out("findings: `gone` is no list")
            return []
        return self._good(gone)

    def not_judged(self, chunk):
        """Return why a run without findings may not be called healthy."""
        reasons = chunk.header.get("not_judged", [])
        return self.texts(reasons, "findings: `not_judged`") or []

    def _good(self, findings):
        good = [f for f in findings if _is_finding(f)]
        for _ in range(len(findings) - len(good)):
            self.leave_out("findings: one lacks what a finding must have")
        return good


def in_order(findings):
    """Return findings as a report ranks them: effects behind their cause."""
    plain = [
        types.SimpleNamespace(
            rule=finding["rule"],
            severity=finding["severity"],
            first_step=finding["first_step"],
            cause=finding.get("cause"),
            evidence=finding.get("evidence") or {},
            data=finding,
        )
        for finding in findings
    ]
    return [finding.data for finding in ranked(plain)]


def is_step(value):
    """Whether a value is a step that the tab can show."""
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and 0 <= value < _LAST_STEP
    )


def _read(part, key):
    header, arrays = unpack(part)
    session, number = header.get("session"), header.get("part")
    if not _is_number(session) or not math.isfinite(session):
        raise ValueError("a part has no session")
    if isinstance(number, bool) or not isinstance(number, int):
        raise ValueError("a part has no number")
    if not isinstance(header.get(key), list):
        raise ValueError(f"a part has no list `{key}`")
    return Chunk(float(session), number, header, arrays)


def _is(array, kind, shape):
    return (
        array is not None and array.dtype.kind == kind and array.shape == shape
    )


def _is_number(value):
    if isinstance(value, int):
        # A larger one is no float, and no number in JavaScript.
        return not isinstance(value, bool) and abs(value) < 2**1000
    return isinstance(value, float)


def _is_epoch(value):
    if not isinstance(value, list) or len(value) != 3:
        return False
    number, step, logs = value
    return (
        is_step(number)
        and is_step(step)
        and isinstance(logs, dict)
        and all(_is_number(v) or v in _NUMBERS for v in logs.values())
    )


_FINDING = {
    "rule": str,
    "severity": str,
    "message": str,
    "layers": list,
    "remedies": list,
}


def _is_finding(data):
    return (
        isinstance(data, dict)
        and all(isinstance(data.get(k), kind) for k, kind in _FINDING.items())
        and is_step(data.get("first_step"))
        and is_step(data.get("last_step"))
        and all(isinstance(layer, str) for layer in data["layers"])
        and all(_is_remedy(remedy) for remedy in data["remedies"])
        and isinstance(data.get("cause"), str | None)
        and isinstance(data.get("status", ""), str)
        and isinstance(data.get("evidence"), dict | None)
        and _is_hashable((data.get("evidence") or {}).get("kind"))
        and (
            data.get("resolved_step") is None or is_step(data["resolved_step"])
        )
    )


def _is_hashable(value):
    return not isinstance(value, list | dict)


def _is_remedy(data):
    return (
        isinstance(data, dict)
        and isinstance(data.get("title"), str)
        and isinstance(data.get("why"), str)
        and isinstance(data.get("code", ""), str)
    )


def _cut(text):
    return text if len(text) <= 60 else f"{text[:60]}..."
