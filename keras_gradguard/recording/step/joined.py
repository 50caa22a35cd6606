"""The cells of many tensors, reduced together by few operations."""

import dataclasses
import functools

import numpy as np
from keras import ops

from keras_gradguard import _backend
from keras_gradguard import stats
from keras_gradguard._backend.segments import Segments


class Joined:
    """Cells of several tensors, reduced together.

    A tensor is named by the position of its `Cells` and its own among those
    that they are of. What `number` and `units` return are positions for
    `take`.

    Args:
        cells: List of `Cells`.
        xp: `keras.ops`, or `host_ops`.

    Attributes:
        key: Hashable. Positions are the same where it is.
    """

    def __init__(self, cells, xp):
        self.key = tuple(
            (c.rows, tuple(c.units), tuple(c.parts)) for c in cells
        )
        self._xp = xp
        self._plan = plan = _plan_of(self.key, xp)
        vectors: list = []
        for group in plan.groups:
            vectors += self._of_group(group, [cells[i] for i in group.members])
        columns = self._joined(vectors, 0)
        zeros = xp.cast(xp.equal(columns, 0), "float32")
        means = plan.pieces.mean(xp.stack([columns, zeros], axis=0))
        # Zero comes first, for what has no variance within.
        zero = xp.zeros((1,), "float32")
        means = xp.concatenate([zero, xp.reshape(means, (-1,))], axis=0)
        variance = xp.take(means, plan.within, axis=0)
        variance = variance + xp.take(means, plan.between, axis=0)
        nan = stats.full((1,), float("nan"), xp)
        parts = [nan, means, xp.sqrt(variance), columns]
        self._all = xp.concatenate(parts, axis=0)

    def number(self, tensor, name):
        """Position of a statistic of the whole tensor; of NaN if unknown.

        Args:
            tensor: Tuple of int that names it, or None.
            name: Str, of `Cells.parts`, or `"std"` or `"inactive"`.
        """
        return self._plan.numbers.get((tensor, name), 0)

    def units(self, tensor, name):
        """Positions of a statistic of each unit, None if it is unknown.

        Args:
            tensor: Tuple of int that names it.
            name: Str, of `Cells.parts`.
        """
        piece = self._plan.places.get((tensor, name))
        return None if piece is None else self._plan.start + np.arange(*piece)

    def take(self, positions):
        """Tensor of what stands at an array of positions."""
        positions = np.asarray(positions, "int32")
        return self._xp.take(self._all, positions, axis=0)

    def _of_group(self, group, cells):
        """Vectors of the columns' means, of cells that have as many rows."""
        means = self._joined([c.parts["mean"] for c in cells], 1)
        column = self._xp.mean(means, axis=0)
        off = means - group.parts.spread(group.parts.mean(column))
        vectors = [column, self._xp.mean(off * off, axis=0)]
        rest = [
            part
            for c in cells
            for name, part in c.parts.items()
            if name != "mean"
        ]
        if rest:
            vectors.append(self._xp.mean(self._joined(rest, 1), axis=0))
        return vectors

    def _joined(self, tensors, axis):
        if len(tensors) == 1:
            return tensors[0]
        if self._xp is ops:
            tensors = _backend.current().each_whole(tensors)
        return self._xp.concatenate(tensors, axis)


@dataclasses.dataclass(frozen=True, slots=True)
class _Group:
    """Cells with the same number of rows.

    Attributes:
        members: List of their positions.
        parts: `Segments` of their columns side by side.
    """

    members: list
    parts: Segments


class _Plan:
    """Where what is in the vectors of a `Joined`: the same for all its kind.

    Args:
        key: Its `key`.
        xp: `keras.ops`, or `host_ops`.
    """

    def __init__(self, key, xp):
        members: dict = {}
        for i, (rows, _, _) in enumerate(key):
            members.setdefault((rows, i if rows is None else 0), []).append(i)
        self.groups = [
            _Group(chosen, Segments([n for i in chosen for n in key[i][1]], xp))
            for chosen in members.values()
        ]
        self.places: dict = {}
        for chosen in members.values():
            for name in ("mean", "between"):
                self._note([(i, name) for i in chosen], key)
            self._note(
                [(i, n) for i in chosen for n in key[i][2] if n != "mean"], key
            )
        sizes = [stop - start for start, stop in self.places.values()]
        self.pieces = Segments(sizes, xp)
        order = {place: i for i, place in enumerate(self.places)}
        tensors = [t for t, name in order if name == "mean"]
        within = [1 + order.get((t, "within"), -1) for t in tensors]
        between = [1 + order[t, "between"] for t in tensors]
        self.within = np.asarray(within, "int32")
        self.between = np.asarray(between, "int32")
        # Behind NaN and zero; then the shares of zeros, spreads and columns.
        start = 2
        self.numbers = {place: start + i for place, i in order.items()}
        start += len(order)
        for (t, name), i in order.items():
            if name == "active":
                self.numbers[t, "inactive"] = start + i
        start += len(order)
        for i, t in enumerate(tensors):
            self.numbers[t, "std"] = start + i
        self.start = start + len(tensors)

    def _note(self, parts, key):
        *_, (_, at) = (0, 0), *self.places.values()
        for i, name in parts:
            for member, units in enumerate(key[i][1]):
                self.places[(i, member), name] = at, at + units
                at += units


_plan_of = functools.lru_cache(maxsize=64)(_Plan)
