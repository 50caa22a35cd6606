"""What updates did to the weights, on its way to the host."""

import numpy as np

from keras_gradguard import _backend


class Updates:
    """Norms of weights and of their changes, until they are read.

    Args:
        taps: List of `GradientTap`.
        numbered: Bool. Whether updates are numbered by executions.

    Attributes:
        execution: Int, number of the execution that runs.
    """

    def __init__(self, taps, numbered):
        self._taps = taps
        self._numbered = numbered
        self._backend = _backend.current()
        self._noted: list = []
        self.execution = 0

    def note(self, tap, norms, before, after):
        """Keep what was measured of an optimizer's update.

        Args:
            tap: Its `GradientTap`.
            norms: Tensor (2 V,): norms of the weights, then of their change.
            before: Integer scalar, its batches before.
            after: The same after it.
        """
        self._noted.append((tap, norms, before, after, self.execution))

    def take(self):
        """What was noted since the last time, for `read`."""
        noted, self._noted = self._noted, []
        return noted

    def read(self, taken):
        """Bring updates to the host. Those that were skipped are left out.

        Args:
            taken: List of what `take` returned.

        Returns:
            Dict from the `id` of each tap to `(steps, norms)`: an integer
            array (n,) and a float32 array (n, 2 V).
        """
        found: dict = {id(tap): {} for tap in self._taps}
        to_numpy = self._backend.to_numpy
        for tap, norms, before, after, execution in taken:
            every = tap.optimizer.gradient_accumulation_steps or 1
            first, last = (int(to_numpy(n)) // every for n in (before, after))
            if last > first:
                step = execution if self._numbered else last - 1
                found[id(tap)][step] = to_numpy(norms)
        return {
            id(tap): _arrays(found[id(tap)], 2 * len(tap.records.expected))
            for tap in self._taps
        }


def _arrays(by_step, width):
    steps = sorted(by_step)
    norms = np.zeros((len(steps), width), "float32")
    for row, step in zip(norms, steps, strict=True):
        row[:] = by_step[step]
    return np.asarray(steps, "int64"), norms
