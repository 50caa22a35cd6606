"""Statistics of many tensors of a step by few operations.

Each operation is a kernel under XLA, which takes longer to compile than the
whole to run. So a tensor is reduced alone to cells, one for each sample and
unit, by sums, for which XLA has kernels. All that follows is done for the
cells of all tensors together, in the step or on the host.
"""

import dataclasses
import functools

import numpy as np
from keras import ops

from keras_gradguard import _backend
from keras_gradguard import stats
from keras_gradguard._backend.segments import Segments
from keras_gradguard.recording.step import side_by_side

# In the step: sums over what makes one cell. They are kept as dicts, which
# leave a function of JAX as they are; small tensors are kept whole.


def sums_of_inputs(tensor):
    """Reduce a tensor of which only mean and spread are wanted.

    Args:
        tensor: Tensor of any shape.

    Returns:
        Dict of sums, as `of_inputs` takes it; the tensor if it is small.
    """
    if side_by_side.is_small(tensor):
        return tensor
    return _Reduction(tensor, -1).sums()


def sums_of_outputs(site, tensor):
    """Reduce what a layer gave.

    Args:
        site: Its `Site`.
        tensor: Tensor (batch, ...).

    Returns:
        Dict of sums, as `of_outputs` takes it; the tensor if it is small.
    """
    if side_by_side.is_small(tensor):
        return tensor
    reduction = _Reduction(tensor, site.unit_axis)
    sums, values = reduction.sums(), reduction.values
    sums["nonzero"] = reduction.sum(ops.cast(values != 0, "float32"))
    if len(tensor.shape) > 1:
        # A sum of what is never negative is that of its magnitudes.
        sums["magnitude"] = (
            sums["sum"] if site.positive else reduction.sum(ops.abs(values))
        )
    if site.bounds is not None:
        sums["beyond"] = reduction.sum(_beyond(values, *site.bounds, ops))
    return sums


class _Reduction:
    """The cells of a tensor.

    Args:
        tensor: Tensor of any shape.
        unit_axis: Axis of the units.

    Attributes:
        values: The tensor as float32.
    """

    def __init__(self, tensor, unit_axis):
        self.values = ops.cast(tensor, "float32")
        rank = len(tensor.shape)
        if rank < 2:
            self.values, rank = ops.reshape(self.values, (-1, 1)), 2
        unit = unit_axis % rank
        inner = tuple(i for i in range(1, rank) if i != unit)
        self._over_batch = not inner
        self._axes = inner or (0,)

    def sums(self):
        """Dict of the size of a cell, its sum and that of what it is off."""
        shape = ops.shape(self.values)
        size: object = 1
        for axis in self._axes:
            length = shape[axis]
            known = isinstance(length, int) and isinstance(size, int)
            size = length * size if known else _float(length) * _float(size)
        total = self.sum(self.values)
        wide = [1 if i in self._axes else n for i, n in enumerate(shape)]
        off = self.values - ops.reshape(total / size, wide)
        of = "samples" if self._over_batch else "size"
        return {of: size, "sum": total, "scatter": self.sum(off * off)}

    def sum(self, values):
        """Sum of each cell, (rows, units)."""
        return ops.sum(values, axis=self._axes, keepdims=self._over_batch)


def _float(number):
    return ops.cast(number, "float32")


# Behind it, in the step or on the host.


@dataclasses.dataclass(slots=True)
class Cells:
    """A tensor, or several, as a table.

    Attributes:
        parts: Dict from a statistic to its tensor (rows, columns), whose mean
            is that of the whole. `"mean"` is one; `"within"`, the variance
            inside of the cells, is absent where a cell is one number.
        units: List of int, columns of each tensor.
    """

    parts: dict
    units: list

    @property
    def rows(self):
        """Number of rows, None if it is not known."""
        rows = self.parts["mean"].shape[0]
        return None if rows is None else int(rows)


def of_inputs(sums):
    """Cells of a tensor.

    Args:
        sums: What `sums_of_inputs` made of it.
    """
    size = _size(sums)
    parts = {"mean": sums["sum"] / size, "within": sums["scatter"] / size}
    return Cells(parts, [int(sums["sum"].shape[1])])


def of_outputs(sums, xp):
    """Cells of what a layer gave.

    Args:
        sums: What `sums_of_outputs` made of it.
        xp: `keras.ops`, or `host_ops`.
    """
    cells, size = of_inputs(sums), _size(sums)
    nonzero = sums["nonzero"]
    cells.parts["zero"] = (size - nonzero) / size
    cells.parts["active"] = (
        nonzero / size if "samples" in sums else xp.cast(nonzero > 0, "float32")
    )
    for name in ("magnitude", "beyond"):
        if name in sums:
            cells.parts[name] = sums[name] / size
    return cells


def of_small(tensors, xp):
    """Cells of small tensors of one batch: their own numbers, side by side.

    Args:
        tensors: List of tensors (batch, columns).
        xp: `keras.ops`, or `host_ops`.
    """
    table = side_by_side.Columns(tensors, xp)
    return Cells({"mean": table.table}, table.parts.sizes.tolist())


def of_small_outputs(sites, tensors, xp):
    """The same of what layers gave.

    Args:
        sites: List of their `Site`.
        tensors: List of tensors (batch, units).
        xp: `keras.ops`, or `host_ops`.
    """
    table = side_by_side.Columns(tensors, xp)
    cells = Cells({"mean": table.table}, table.parts.sizes.tolist())
    cells.parts["zero"] = 1.0 - table.nonzero
    cells.parts["magnitude"] = xp.abs(table.table)
    cells.parts["active"] = table.nonzero
    if any(site.bounds for site in sites):
        bounds = [site.bounds or (-np.inf, np.inf) for site in sites]
        low, high = map(table.constants, zip(*bounds, strict=True))
        cells.parts["beyond"] = _beyond(table.table, low, high, xp)
    return cells


def _size(sums):
    return sums["samples"] if "samples" in sums else sums["size"]


def _beyond(values, low, high, xp):
    flat = xp.logical_or(
        xp.less_equal(values, low), xp.greater_equal(values, high)
    )
    return xp.cast(flat, "float32")


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
