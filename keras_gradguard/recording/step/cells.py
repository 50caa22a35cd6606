"""Statistics of many tensors of a step by few operations.

Each operation is a kernel under XLA, which takes longer to compile than the
whole to run. So a tensor is reduced alone to cells, one for each sample and
unit, by sums, for which XLA has kernels. All that follows is done for the
cells of all tensors together, in the step or on the host.
"""

import dataclasses

import numpy as np
from keras import ops

from keras_gradguard import _backend
from keras_gradguard._backend.kernels import AT_ONCE
from keras_gradguard.recording.step import side_by_side

# Each gives several sums.
_TOGETHER = AT_ONCE // 2
_OF_INPUTS = "samples", "size", "sum", "scatter"

# How many numbers a cell has: the same for all.
_SIZES = "size", "samples"

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
    return _by_slices(tensor, lambda part: _Reduction(part, -1).sums())


def same_as_input(site, sums):
    """What `sums_of_inputs` would make of a tensor, or None if it is unknown.

    Args:
        site: `Site` of a layer that gave the tensor.
        sums: What `sums_of_outputs` made of it.
    """
    if not isinstance(sums, dict):
        return sums
    if site.unit_axis != -1:
        return None
    return {name: part for name, part in sums.items() if name in _OF_INPUTS}


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
    return _by_slices(tensor, lambda part: _of_outputs(site, part))


def _of_outputs(site, tensor):
    """The sums of a slice."""
    reduction = _Reduction(tensor, site.unit_axis)
    sums, values = reduction.sums(), reduction.values
    sums["nonzero"] = reduction.sum(reduction.scratch.nonzero())
    if len(tensor.shape) > 1:
        # A sum of what is never negative is that of its magnitudes.
        sums["magnitude"] = (
            sums["sum"]
            if site.positive
            else reduction.sum(reduction.scratch.magnitude())
        )
    if site.bounds is not None:
        low, high = site.bounds
        sums["beyond"] = reduction.sum(_beyond(values, low, high, ops))
    return sums


def _by_slices(tensor, sums_of):
    """Reduce a tensor slice by slice, none of which shares a cell.

    Args:
        tensor: Tensor of any shape.
        sums_of: Function that returns the dict of sums of a slice.
    """
    rank = len(tensor.shape)
    # Samples of a table are added up, so its columns are what is apart.
    axis = 1 if rank == 2 else 0
    parts = [(tensor,)]
    if rank > 1:
        parts = _backend.current().slices([tensor], axis)
    found = [sums_of(part) for (part,) in parts]
    if len(found) == 1:
        return found[0]
    return {
        name: value
        if name in _SIZES
        else ops.concatenate([sums[name] for sums in found], axis=axis)
        for name, value in found[0].items()
    }


class _Reduction:
    """The cells of a tensor.

    Args:
        tensor: Tensor of any shape.
        unit_axis: Axis of the units.

    Attributes:
        values: The tensor as float32.
        scratch: `Scratch` of them.
    """

    def __init__(self, tensor, unit_axis):
        rank = len(tensor.shape)
        if rank < 2:
            tensor, rank = ops.reshape(tensor, (-1, 1)), 2
        self.scratch = _backend.current().Scratch(tensor)
        self.values = self.scratch.values
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
        squared = self.scratch.squared(total / size, wide)
        of = "samples" if self._over_batch else "size"
        return {of: size, "sum": total, "scatter": self.sum(squared)}

    def sum(self, values):
        """Sum of each cell, (rows, units)."""
        return self.scratch.sum(values, self._axes, self._over_batch)


def _float(number):
    return ops.cast(number, "float32")


def over_samples(many):
    """Fold the rows of cells into one, where the way to the host is long.

    Sums of the same shape are taken together, so that it costs few kernels.

    Args:
        many: List of dicts of sums, as the functions above return them.

    Returns:
        List of dicts of sums whose mean over the one row is that of all. What
        varies between the rows is in `"scatter"`.
    """
    alike: dict = {}
    for i, sums in enumerate(many):
        if "size" in sums:
            alike.setdefault(sums["sum"].shape, []).append(i)
    folded = list(many)
    for places in alike.values():
        for at in range(0, len(places), _TOGETHER):
            chosen = places[at : at + _TOGETHER]
            for i, sums in zip(chosen, _folded(many, chosen), strict=True):
                folded[i] = sums
    return folded


def _folded(many, places):
    """Fold some of the sums, which have one shape."""
    kept = [dict(many[i]) for i in places]
    for sums in kept:
        if "nonzero" in sums:
            sums["active"] = ops.cast(sums["nonzero"] > 0, "float32")
    totals = ops.stack([sums["sum"] for sums in kept], axis=0)
    means = ops.mean(totals, axis=1, keepdims=True)
    between = ops.mean(ops.square(totals - means), axis=1, keepdims=True)
    rest = [
        (sums, name)
        for sums in kept
        for name in sums
        if name not in ("size", "sum")
    ]
    table = ops.stack([sums[name] for sums, name in rest], axis=0)
    table = ops.mean(table, axis=1, keepdims=True)
    for i, (sums, name) in enumerate(rest):
        sums[name] = table[i]
    for i, sums in enumerate(kept):
        sums["sum"] = means[i]
        sums["scatter"] = sums["scatter"] + between[i] / sums["size"]
    return kept


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
    if "samples" in sums:
        cells.parts["active"] = nonzero / size
    else:
        active = sums.get("active")
        if active is None:
            active = xp.cast(nonzero > 0, "float32")
        cells.parts["active"] = active
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
