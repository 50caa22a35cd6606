"""What a replay has found, in words."""

import dataclasses
from typing import Any

from keras_gradguard._text import count
from keras_gradguard._text import number


@dataclasses.dataclass(frozen=True, slots=True)
class Replay:
    """Which batch, which layer and which operation were at fault.

    Attributes:
        reason: `"nonfinite"`, `"spike"` or `"error"`: why the capsule was
            written.
        epoch: Int, from 0.
        index: Int, the batch's place in that epoch, from 0.
        step: Int, the optimizer's step, from 0.
        checksum: Str, `batch_checksum` of the batch.
        rows: `(first, last)` of the arrays, where `fit` got arrays and did not
            shuffle them; else None.
        layer: Str, path of the layer; `"the loss"` for a loss function. None
            where no operation could be named.
        operation: Str, as it is called in Keras, or by the backend. None where
            none could be named.
        backward: Bool, whether it was the slope of the operation.
        line: `"file:line"` of the user's code that asked for it, or None.
        source: `"batch"` or `"state"` where the operation was given what was
            not finite already; else None.
        exact: Bool, whether gradients and losses on the way were those of the
            run, bit for bit. None where the run recorded none.
        replayed: Int, batches that were run.
        what: Str, what happened, in a sentence.
    """

    reason: str
    epoch: int
    index: int
    step: int
    checksum: str
    rows: tuple[int, int] | None
    layer: str | None
    operation: str | None
    backward: bool
    line: str | None
    source: str | None
    exact: bool | None
    replayed: int
    what: str

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as plain JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        lines = [
            f"Epoch {self.epoch + 1}, batch {self.index} (step {self.step}): "
            f"{self.what}",
            f"  batch      index {self.index}, {self._rows()}"
            f"checksum {self.checksum}",
        ]
        if self.layer is not None:
            lines.append(f"  layer      {self.layer}")
        if self.operation is not None:
            way = "its slope, on the way back" if self.backward else "forward"
            at = "" if self.line is None else f", {self.line}"
            lines.append(f"  operation  {self.operation} ({way}{at})")
        lines += [f"  replayed   {self._exact()}", *self._remedy()]
        return "\n".join(lines)

    def _rows(self):
        if self.rows is None:
            return ""
        first, last = self.rows
        return f"rows {first} to {last}, "

    def _exact(self):
        run = count(self.replayed, "batch", "batches")
        if self.exact is None:
            return f"{run}; the run left no record to compare with"
        if self.exact:
            return f"{run}, bit for bit as in the run"
        return (
            f"{run}, not bit for bit: something else changed the weights, or "
            "drew random numbers"
        )

    def _remedy(self):
        why = "To see whether the batch is the cause, train without it:"
        if self.rows is None:
            batches = f'["{self.checksum}"]'
            return [why, f"  data = kgg.without_batches(data, {batches})"]
        first, last = self.rows
        size = first // self.index if self.index else last - first + 1
        return [
            why,
            f"  data = kgg.without_batches((x, y), [{self.index}], "
            f"batch_size={size})",
        ]


def said_of_growth(before, after):
    """Say by how much numbers have grown.

    Args:
        before: Float, the largest with the batch before.
        after: Float, the largest now.
    """
    return (
        f"numbers up to {number(after)} came out, and up to {number(before)} "
        "with the batch before"
    )
