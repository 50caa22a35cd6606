"""Statistics of the outputs of layers, as tensors inside the step."""

import numpy as np
from keras import ops

from keras_gradguard import _backend
from keras_gradguard.recording.step import cells as cells_lib
from keras_gradguard.recording.step.joined import Joined
from keras_gradguard.trace.series import OUTPUT_STATISTICS

# How cells call them.
_NAMES = {
    "zero_fraction": "zero",
    "saturated_fraction": "beyond",
    "inactive_fraction": "inactive",
}


def of_call(site, inputs, outputs):
    """Note one call of a layer.

    Args:
        site: Its `Site`.
        inputs: Tensor that its activation took, or anything else.
        outputs: Tensor (batch, ...) that it gave.

    Returns:
        Tuple of what is kept of inputs, maybe None, and outputs: small tensors
        as they are, sums of others.
    """
    gave = cells_lib.sums_of_outputs(site, outputs)
    took = None
    if inputs is outputs:  # of an activation that changes nothing
        took = cells_lib.same_as_input(site, gave)
    if took is None and hasattr(inputs, "dtype"):
        took = cells_lib.sums_of_inputs(inputs)
    return took, gave


def over_samples(seen):
    """Fold the samples of what was kept, where the way to the host is long.

    Args:
        seen: List of tuples: a site or what names it, and what `of_call`
            kept of each of its calls.

    Returns:
        The same with fewer numbers.
    """
    parts = [part for _, calls in seen for call in calls for part in call]
    folded = iter(
        cells_lib.over_samples([p for p in parts if isinstance(p, dict)])
    )
    parts = [next(folded) if isinstance(p, dict) else p for p in parts]
    pairs = iter(zip(parts[::2], parts[1::2], strict=True))
    return [(site, [next(pairs) for _ in calls]) for site, calls in seen]


class Calls:
    """Statistics of calls, several of which may be of one layer.

    Args:
        sites: List of n `Site`.
        calls: List of n tuples that `of_call` returned.
        xp: `keras.ops`, or `host_ops`.

    Attributes:
        key: Hashable. Positions are the same where it is, of the same sites.
    """

    def __init__(self, sites, calls, xp):
        cells: list = []
        outputs = _join([o for _, o in calls], cells, xp, sites)
        inputs = _join([i for i, _ in calls], cells, xp)
        self._xp = xp
        self._joined = Joined(cells, xp)
        self.key = self._joined.key
        self._calls = list(zip(sites, inputs, outputs, strict=True))

    def of_site(self, calls):
        """Positions of what some calls of one layer show.

        Args:
            calls: List of int, positions of the calls.

        Returns:
            Int arrays: (calls, statistics) of the `OUTPUT_STATISTICS`; of the
            units' mean absolute output and share of active samples, (calls,
            units), or None where calls differ in units or there are none.
        """
        chosen = [self._calls[i] for i in calls]
        units = self._joined.units
        return (
            np.asarray([self._table(*call) for call in chosen]),
            _alike([units(o, "magnitude") for _, _, o in chosen]),
            _alike(
                [
                    units(o, "active") if s.can_die else None
                    for s, _, o in chosen
                ]
            ),
        )

    def take(self, positions):
        """Vector of what stands at some positions.

        Args:
            positions: List of int arrays (calls, n), each with the function
                that goes over the calls.
        """
        single = np.concatenate([places[0] for places, _ in positions])
        vector = self._joined.take(single)
        if all(len(places) == 1 for places, _ in positions):
            return vector
        parts, at = [], 0
        for places, over in positions:
            stop = at + places.shape[1]
            parts.append(
                vector[at:stop]
                if len(places) == 1
                else over(self._joined.take(places), axis=0)
            )
            at = stop
        return self._xp.concatenate(parts, axis=0)

    def _table(self, site, inputs, outputs):
        lacks: set = {None}
        if site.bounds is None:
            lacks.add("saturated_fraction")
        if not site.can_die:
            lacks.add("inactive_fraction")
        number = self._joined.number
        return [
            number(inputs, "std")
            if name == "input_std"
            else number(
                None if name in lacks else outputs, _NAMES.get(name, name)
            )
            for name in OUTPUT_STATISTICS
        ]


def _alike(rows):
    """Rows as an array, None where some are unknown or differ in length."""
    lengths = {None if row is None else len(row) for row in rows}
    if len(lengths) > 1 or not lengths - {None, 0}:
        return None
    return np.asarray(rows)


def _join(tensors, cells, xp, sites=None):
    """Add `Cells` of tensors to a list, small ones together.

    Args:
        tensors: List of tensors, of dicts of sums or of None.
        cells: List to add to.
        xp: `keras.ops`, or `host_ops`.
        sites: List of the `Site` whose outputs they are; else they are inputs.

    Returns:
        List of what names each in the list, for `Joined`.
    """
    names: list = [None] * len(tensors)
    small: dict = {}
    for i, tensor in enumerate(tensors):
        if isinstance(tensor, dict):
            names[i] = len(cells), 0
            cells.append(
                cells_lib.of_inputs(tensor)
                if sites is None
                else cells_lib.of_outputs(tensor, xp)
            )
        elif tensor is not None:
            small.setdefault(int(tensor.shape[0]), []).append(i)
    for group in small.values():
        for member, i in enumerate(group):
            names[i] = len(cells), member
        chosen = [tensors[i] for i in group]
        if sites is None:
            cells.append(cells_lib.of_small(chosen, xp))
        else:
            of = [sites[i] for i in group]
            cells.append(cells_lib.of_small_outputs(of, chosen, xp))
    return names


def largest(parts):
    """Return the largest of several vectors, entry by entry."""
    result = parts[0]
    for part in parts[1:]:
        result = ops.maximum(result, part)
    return result


def of_samples(outputs, site):
    """Return (batch, units): zero where a sample has nothing but zero.

    Args:
        outputs: Tensor (batch, ...).
        site: Its `Site`.
    """
    rank = len(outputs.shape)
    axes = tuple(i for i in range(1, rank) if i != site.unit_axis % rank)
    if not axes:
        return outputs
    parts = _backend.current().slices([outputs], 0)
    shown = [_over_places(part, site, axes) for (part,) in parts]
    return ops.concatenate(shown, axis=0) if len(shown) > 1 else shown[0]


def _over_places(outputs, site, axes):
    """The same of some samples, over axes that there are."""
    # Zero only if all are. On torch a tenth of the time of a maximum, and on
    # XLA a third of that of `any` of a comparison. A TensorFlow graph spends
    # as long on `abs` as on the sum.
    return ops.sum(outputs if site.positive else ops.abs(outputs), axis=axes)
