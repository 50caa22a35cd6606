"""Histograms of gradients, counted inside the optimizer's step.

The bins are powers of two, so an entry's bin is the exponent of its float32:
integers that are the same on every backend, whatever it is fused with.
"""

from typing import Any

import numpy as np
from keras import ops

from keras_gradguard import _backend
from keras_gradguard._backend import ring_layout
from keras_gradguard.trace.histogram import COLUMNS
from keras_gradguard.trace.histogram import OCTAVES
from keras_gradguard.trace.histogram import GradientHistogram

# Behind the bins; zeros come last and are not counted.
_NONFINITE, _ZERO = 2 * OCTAVES, 2 * OCTAVES + 1
_MANTISSA_BITS, _BIAS, _SPECIAL = 23, 127, 255


def octave_counts(tensors, xla=False):
    """Count the entries of tensors by sign and exponent.

    Under XLA nothing is reshaped or scattered: reductions alone read the
    tensors, as Keras's own norms do when it clips. Anything else would change
    how XLA fuses what those tensors are made of, and so their last bits.

    Args:
        tensors: List of n dense float tensors.
        xla: Whether the code is compiled by XLA.

    Returns:
        Float32 tensor of shape `(n, COLUMNS)`, as `GradientHistogram.unpack`
        takes it. Zeros are not counted.
    """
    if not tensors:
        return ops.zeros((0, COLUMNS), "float32")
    return ops.stack([_counts(tensor, xla) for tensor in tensors], axis=0)


def _counts(tensor, xla):
    """Counts (COLUMNS,) of the entries of a tensor."""
    if 0 in tensor.shape:
        return ops.zeros((COLUMNS,), "float32")
    parts = _backend.current().entries(tensor)
    if len(parts) == 1:
        shown = _exponents(tensor)
        top = _top(shown)
        counts = _slot_counts(shown, top, xla)
    else:
        # To work them out twice takes less memory than to keep them.
        tops = [_top(_exponents(part)) for part in parts]
        top = ops.max(ops.stack(tops, axis=0))
        found = [_slot_counts(_exponents(part), top, xla) for part in parts]
        counts = ops.sum(ops.stack(found, axis=0), axis=0)
    counts = ops.cast(counts, "float32")
    top = ops.reshape(ops.cast(top - _BIAS, "float32"), (1,))
    return ops.concatenate(
        [top, counts[_NONFINITE:], counts[:_NONFINITE]], axis=0
    )


def _exponents(tensor):
    """The bits of the entries, and their exponents."""
    bits = _backend.current().bits(ops.cast(tensor, "float32"))
    magnitude = ops.bitwise_and(bits, np.int32(0x7FFFFFFF))
    return bits, ops.right_shift(magnitude, np.int32(_MANTISSA_BITS))


def _top(shown):
    """The largest exponent of a number; 0 where there is none."""
    _, exponent = shown
    return ops.max(ops.where(ops.equal(exponent, _SPECIAL), 0, exponent))


def _slot_counts(shown, top, xla):
    """Integers (`_ZERO`,): entries in each bin, and those not finite."""
    bits, exponent = shown
    nonfinite = ops.equal(exponent, _SPECIAL)
    zero = ops.equal(exponent, 0)
    slots = ops.minimum(top - exponent, OCTAVES - 1)
    slots = ops.where(bits < 0, slots + OCTAVES, slots)
    slots = ops.where(nonfinite, _NONFINITE, ops.where(zero, _ZERO, slots))
    slots = ops.cast(slots, "int32")
    return _backend.current().bin_counts(slots, _ZERO, xla)


class HistogramRing:
    """The latest histograms of one optimizer's variables, on the device.

    Args:
        optimizer: Leaf optimizer.
    """

    def __init__(self, optimizer):
        self._optimizer = optimizer
        self._ring: Any = None
        self._flag: Any = None
        self._asked = False
        self._read = 0

    def prepare(self, count, rows):
        """Make the variable, once the optimizer is built.

        Args:
            count: Integer, the number of variables.
            rows: Integer, the updates that one execution may make.
        """
        if self._ring is None:
            backend = _backend.current()
            self._ring = backend.Ring(
                rows, count * COLUMNS, self._optimizer, "gradguard_histograms"
            )
            self._flag = backend.Flag("gradguard_asked", self._asked)

    def ask(self, wanted):
        """Have the updates of the coming execution counted, or not.

        Args:
            wanted: Bool.
        """
        self._asked = wanted  # the coming step may make the flag
        if self._flag is not None:
            self._flag.set(wanted)

    def write(self, iterations, flag, count, always):
        """Keep the histograms of an update, if it was asked for.

        Args:
            iterations: Integer scalar, the optimizer's step.
            flag: Python int or scalar, stored with it.
            count: Function that returns a float tensor of shape
                `(variables, COLUMNS)`.
            always: Bool. Whether the step runs only if it was.
        """
        step = ops.convert_to_tensor(iterations)

        def write():
            self._ring.write(step, flag, ops.reshape(count(), (-1,)))

        if always:
            write()
        else:
            self._flag.when_raised(write)

    @property
    def variables(self):
        """Variables that had to be added to the optimizer."""
        if self._ring is None:
            return []
        return self._ring.variables

    def snapshot(self, state):
        """Copy on the device, None if there is nothing yet.

        Args:
            state: As for the `Ring` of the backend.
        """
        return None if self._ring is None else self._ring.snapshot(state)

    def read(self, store):
        """Read a copy.

        Args:
            store: What `snapshot` returned.

        Returns:
            `(step, rows)` of the first update since the last time: rows of
            shape `(variables, COLUMNS)`; None if no step wrote.
        """
        if store is None:
            return None
        store = _backend.current().to_numpy(store)
        steps, _, values, self._read = ring_layout.unread(store, self._read)
        if not len(steps):
            return None
        return int(steps[0]), values[0].reshape(-1, COLUMNS)


class HistogramRequests:
    """Who waits for histograms, and those on their way to the host.

    Args:
        taps: List of `GradientTap`.

    Attributes:
        taken: List of what was taken and not read yet.
    """

    def __init__(self, taps):
        self._taps = taps
        self._asking = []
        self.taken = []

    def ask(self, subscriber):
        """Ask for the histograms of the next update.

        Args:
            subscriber: Who gets them.
        """
        if subscriber not in self._asking:
            self._asking.append(subscriber)

    @property
    def waiting(self):
        """Whether the next update is to be counted."""
        return bool(self._asking)

    def raise_flags(self):
        """Have the coming execution count."""
        for tap in self._taps:
            tap.histograms.ask(True)

    def take(self, state):
        """Copy what a step counted; call it right after the step.

        Args:
            state: As for the `Ring` of the backend.
        """
        asking, self._asking = self._asking, []
        for tap in self._taps:
            tap.histograms.ask(False)
        copies = [tap.histograms.snapshot(state) for tap in self._taps]
        self.taken.append((copies, asking))

    def read(self, table):
        """Bring to the host what was taken.

        Args:
            table: `LayerTable` of the model.

        Returns:
            List of `(histogram, subscribers)`: `GradientHistogram` of the
            table's variables, and the list of those who asked.
        """
        taken, self.taken = self.taken, []
        delivered = []
        for copies, asking in taken:
            rows = np.full((len(table.variables), COLUMNS), np.nan)
            last = None
            for tap, copy in zip(self._taps, copies, strict=True):
                found = tap.histograms.read(copy)
                if found is None:
                    continue
                step, values = found
                last = step if last is None else max(last, step)
                rows[[table.index[id(v)] for v in tap.records.variables]] = (
                    values
                )
            if last is not None:
                found = GradientHistogram.unpack(last, rows, table.sizes)
                delivered.append((found, asking))
        return delivered
