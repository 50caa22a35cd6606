"""What several rules need to know of a trace: layers to compare, progress."""

import dataclasses
import functools

import numpy as np

from keras_gradguard.diagnosis.evidence.logged import logged_loss
from keras_gradguard.trace.blocks import BLOCK

LOOK_BACK = 64
# Their gradients live on another scale than those of kernels: per channel, or
# only for the rows that a batch looked up.
INCOMPARABLE = ("Normalization", "Embedding", "PReLU", "Scale")
# Projections of an attention layer that only choose what is attended to: where
# that is all alike, as at the start, their gradient is next to nothing, and
# that of the values is not.
_CHOOSING = ("query", "key")
# The logarithm of a gradient that is exactly zero: below any float32.
LOG_ZERO = -104.0


def derived(function):
    """Let a function of a trace be computed once per judgement.

    Args:
        function: Callable that takes a trace and changes nothing.
    """

    @functools.wraps(function)
    def of(trace):
        return trace.derive(function)

    return of


@derived
def judged_layers(trace):
    """Return the bool mask (L,) of layers whose gradients may be compared.

    Those that own a kernel and get a gradient. Normalizations, embeddings,
    the queries and keys of attention and layers with biases only are left out,
    as far as `meta` tells.
    """
    mask = np.zeros(len(trace.layers), bool)
    mask[trace.owners[trace.has_gradient]] = True
    for at, layer in enumerate(trace.layers):
        info = trace.info(layer)
        name = str(info.get("class") or "")
        if any(word in name for word in INCOMPARABLE):
            mask[at] = False
        if name == "EinsumDense" and info.get("name") in _CHOOSING:
            mask[at] = False
        if "shapes" in info and not kernel_shapes(info):
            mask[at] = False
    return mask


def kernel_shapes(info):
    """Return the shapes of more than one axis among a layer's variables.

    Args:
        info: Dict. `Trace.info` of the layer.
    """
    shapes = info.get("shapes")
    shapes = shapes.values() if isinstance(shapes, dict) else ()
    shapes = [shape for shape in shapes if isinstance(shape, list | tuple)]
    return [shape for shape in shapes if len(shape) > 1]


def columns(values, mask):
    """Return `values[:, mask]`, without a copy where that is all of them."""
    return values if mask.all() else values[:, mask]


@derived
def log_profile(trace):
    """Return (B, J) logarithms of gradient norms over the judged layers.

    Exact zeros become `LOG_ZERO`; NaN where a block holds non-finite values.
    """
    blocks, mask = trace.blocks(), judged_layers(trace)
    # Mostly zero within a block, for instance by underflow, counts as zero.
    zero = columns(blocks.zero, mask) > 0.5
    values = np.where(zero, LOG_ZERO, columns(blocks.log_norm, mask))
    values[columns(blocks.nonfinite, mask) > 0] = np.nan
    return values


def count_within(mask, window):
    """Count True in each window of blocks; 0 before the first is complete.

    Args:
        mask: Bool array (B, ...).
        window: Int. Length in blocks.

    Returns:
        Int array (B, ...): of the window that ends with each block.
    """
    total = np.cumsum(mask, axis=0, dtype=np.int64)
    out = np.zeros_like(total)
    if len(mask) >= window:
        out[window - 1 :] = total[window - 1 :]
        out[window:] -= total[:-window]
    return out


def stretch_start(mask, last, window):
    """Return the first block of the unbroken stretch that a window shows.

    Args:
        mask: Bool array (B,).
        last: Int. Last block of the window.
        window: Int. Length in blocks.
    """
    start = last - window + 1
    while start < last and not mask[start]:
        start += 1
    while start > 0 and mask[start - 1]:
        start -= 1
    return start


def stretch_end(mask, last):
    """Return the last block of the stretch that goes on after `last`."""
    after = np.flatnonzero(~mask[last:])
    if len(after) and after[0] > 0:
        return last + int(after[0]) - 1
    return last if len(after) else len(mask) - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """Whether a run learns, from its loss.

    Attributes:
        loss: Float array (B,). Loss around each block, NaN if not known.
        window: Int. Fewest blocks that allow a judgement.
        per_batch: Bool. Whether the loss of each batch is known; else the
            logs of the epochs are used.
    """

    loss: np.ndarray
    window: int
    per_batch: bool
    _halves: dict = dataclasses.field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, trace):
        """Return the progress of a run, block by block."""
        return trace.derive(cls._of)

    @classmethod
    def _of(cls, trace):
        blocks = trace.blocks()
        loss = np.asarray(blocks.loss, np.float64)
        if np.isfinite(loss).any():
            return cls(loss, 1, True)
        per_epoch = logged_loss(trace)
        ends = trace.epoch_steps
        if not len(per_epoch) or not len(blocks):
            return cls(np.full(len(blocks), np.nan), 1, False)
        # Only epochs that were over by then, so that a verdict never changes.
        at = np.searchsorted(ends, blocks.last_step, side="left") - 1
        loss = np.where(at >= 0, per_epoch[np.maximum(at, 0)], np.nan)
        first = max(1, int(ends[0]) - int(blocks.first_step[0]) + 1)
        spacing = int(blocks.last_step[0]) - int(blocks.first_step[0]) + 1
        return cls(loss, max(1, -(-4 * first // max(1, spacing))), False)

    @property
    def known(self):
        """Whether there is any loss to judge."""
        return bool(np.isfinite(self.loss).any())

    @property
    def first(self):
        """Float. The first finite loss, NaN if there is none."""
        finite = np.flatnonzero(np.isfinite(self.loss))
        return float(self.loss[finite[0]]) if len(finite) else float("nan")

    def halves(self, window):
        """Return mean losses (B,) of both halves of the window up to a block.

        NaN where the window is incomplete or holds an unknown loss.
        """
        half = max(1, window // 2)
        if half not in self._halves:
            self._halves[half] = self._compute_halves(half)
        return self._halves[half]

    def _compute_halves(self, half):
        blocks = len(self.loss)
        late = np.full(blocks, np.nan)
        early = np.full(blocks, np.nan)
        if blocks >= half:
            view = np.lib.stride_tricks.sliding_window_view(self.loss, half)
            with np.errstate(all="ignore"):
                late[half - 1 :] = view.mean(axis=1)
        early[half:] = late[: max(0, blocks - half)]
        return early, late

    def stalled(self, window, tolerance):
        """Return (B,): the loss did not fall by `tolerance` in the window."""
        early, late = self.halves(window)
        with np.errstate(invalid="ignore", over="ignore"):
            return early - late <= tolerance * np.abs(early)

    def not_learned(self, window, share):
        """Return (B,): the loss fell by less than `share` of the first."""
        _, late = self.halves(window)
        with np.errstate(invalid="ignore", over="ignore"):
            return self.first - late <= share * abs(self.first)


def mean_known(values):
    """Return the means over the first axis of what is not NaN, in float64."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / known.sum(axis=0)


def median_known(values, infinite=False):
    """Return the median of what is known in each row, in float64.

    Args:
        values: Float array (M, J).
        infinite: Bool. Whether infinity counts as known. Defaults to False.

    Returns:
        Float array (M,), NaN where nothing in a row is known.
    """
    known = ~np.isnan(values) if infinite else np.isfinite(values)
    values = np.where(known, values, np.nan).astype(np.float64)
    count = known.sum(axis=1)
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    values = np.sort(values, axis=1)  # NaN comes last
    row = np.arange(len(values))
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    high = np.minimum(high, values.shape[1] - 1)
    low, high = values[row, low], values[row, high]
    return np.where(count > 0, 0.5 * low + 0.5 * high, np.nan)


def records(blocks):
    """Return the number of records in that many blocks."""
    return blocks * BLOCK


def gone_records(trace):
    """Return the bool mask (T,) of records with a non-finite gradient."""
    norms = trace.get("grad_norm", by="variable")[:, trace.has_gradient]
    return ~np.isfinite(norms).all(axis=1)


def growth_before(trace, at):
    """Return how far the global norm grew up to record `at`, as a factor."""
    before = trace.global_norms(max(0, at - LOOK_BACK), at)
    before = before[np.isfinite(before) & (before > 0)]
    if not len(before):
        return 1.0
    lowest = np.minimum.accumulate(before)
    return float((before / lowest).max())


def layers_with_gradient(trace):
    """Return the bool mask (L,) of layers with a gradient."""
    mask = np.zeros(len(trace.layers), bool)
    mask[trace.owners[trace.has_gradient]] = True
    return mask
