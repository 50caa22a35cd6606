"""What a step computed, one operation at a time: the same for each backend."""

import contextlib
import dataclasses
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

_LABEL = re.compile(r"kgglayer(\d+)x")
# What an operation may be, besides a computation.
BATCH, STATE, CONSTANT = "batch", "state", "constant"
OPERATION = "operation"


@dataclasses.dataclass(slots=True)
class Operation:
    """One operation, or a source of numbers.

    Attributes:
        kind: `OPERATION`, or where numbers come from: `BATCH`, `STATE` (weights
            and what else a model and an optimizer hold) or `CONSTANT`.
        name: Str, what the backend calls it.
        label: Int, the innermost of the labels that it ran under; -1: none.
        frames: List of `(file, line, function)`, outermost first, of the code
            that asked for it.
        inputs: List of int, those that its inputs come from.
        backward: Whether it is part of the gradient.
        nans: Count of NaN in its outputs.
        infinities: Count of infinite entries in its outputs.
        size: Count of entries.
        low: The smallest finite entry, NaN if there is none.
        high: The largest.
    """

    kind: str
    name: str
    label: int = -1
    frames: list = dataclasses.field(default_factory=list)
    inputs: list[int] = dataclasses.field(default_factory=list)
    backward: bool = False
    nans: int = 0
    infinities: int = 0
    size: int = 0
    low: float = float("nan")
    high: float = float("nan")

    @property
    def is_finite(self):
        """Whether no output is NaN or infinite."""
        return not (self.nans or self.infinities)

    @property
    def largest(self):
        """Largest absolute value of the finite outputs, 0 if there is none."""
        return float(np.nanmax([abs(self.low), abs(self.high), 0.0]))

    def take_in(self, array):
        """Take account of an output.

        Args:
            array: NumPy array of floats.
        """
        array = np.asarray(array)
        if array.dtype.kind != "f":
            array = array.astype("float32")
        finite = np.isfinite(array)
        nans = int(np.isnan(array).sum())
        infinities = array.size - int(finite.sum()) - nans
        low = high = float("nan")
        if finite.any():
            inside = array[finite]
            low, high = float(inside.min()), float(inside.max())
        self.add(nans, infinities, array.size, low, high)

    def add(self, nans, infinities, size, low, high):
        """Take account of an output that has been counted.

        Args:
            nans: Count of NaN.
            infinities: Count of infinite entries.
            size: Count of entries.
            low: Smallest finite entry, NaN if there is none.
            high: Largest.
        """
        self.nans += int(nans)
        self.infinities += int(infinities)
        self.size += int(size)
        self.low = float(np.fmin(self.low, low))
        self.high = float(np.fmax(self.high, high))


@dataclasses.dataclass(slots=True)
class Step:
    """What a step computed.

    Attributes:
        operations: List of `Operation`, in the order in which they ran.
        loss: List of int, operations that give the loss.
        gradients: List of int, operations that give the gradients.
        error: The exception that broke the step off, or None.
        broken: Int, the operation that raised it; -1 if it is not known.
    """

    operations: list[Operation] = dataclasses.field(default_factory=list)
    loss: list[int] = dataclasses.field(default_factory=list)
    gradients: list[int] = dataclasses.field(default_factory=list)
    error: Any = None
    broken: int = -1

    def mark_backward(self):
        """Call the gradient's all that the loss does not need."""
        needed, todo = set(), list(self.loss)
        while todo:
            at = todo.pop()
            if at not in needed:
                needed.add(at)
                todo += self.operations[at].inputs
        for at, operation in enumerate(self.operations):
            own = operation.kind == OPERATION
            operation.backward = own and at not in needed


def label_text(label):
    """Return the text that stands for a label among a backend's scopes."""
    return f"kgglayer{label}x"


def label_in(text):
    """Return the innermost label among a backend's scopes, -1 if none.

    Args:
        text: Str.
    """
    found = _LABEL.findall(text)
    return int(found[-1]) if found else -1


def raised_in(error):
    """Return `(file, line, function)` of where an exception came through.

    Args:
        error: The exception, outermost first.
    """
    frames, at = [], error.__traceback__
    while at is not None:
        code = at.tb_frame.f_code
        frames.append((code.co_filename, at.tb_lineno, code.co_name))
        at = at.tb_next
    return frames


def calling_frames():
    """Return `(file, line, function)` of who called the caller of this."""
    frames = []
    frame: Any = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        frames.append((code.co_filename, frame.f_lineno, code.co_name))
        frame = frame.f_back
    return frames[::-1]


@contextlib.contextmanager
def pushed(stack: list, value: Any) -> Iterator[None]:
    """Have a value on a stack.

    Args:
        stack: List.
        value: What to push.
    """
    stack.append(value)
    try:
        yield
    finally:
        stack.pop()
