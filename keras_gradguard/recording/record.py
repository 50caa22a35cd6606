"""Where each number stands in a record of the device."""

import numpy as np

from keras_gradguard._backend import ring_layout
from keras_gradguard.trace.series import RECORDED
from keras_gradguard.trace.series import UPDATED

_RING_BYTES = 512 * 1024


def ring_rows(columns):
    """Capacity of a ring of records with so many values."""
    return int(np.clip(_RING_BYTES // (4 * columns), 16, ring_layout.MOST_ROWS))


class Layout:
    """The columns of a record, as the series are declared.

    Args:
        variables: Int, number of variables.
        updates: Bool. Whether the record holds what the update did, too.

    Attributes:
        width: Int, number of columns.
        updates: Slice of the columns of the update, empty where it has none.
    """

    def __init__(self, variables, updates):
        self._columns = {}
        at = 0
        for series in RECORDED:
            width = variables if series.per == "variable" else 1
            self._columns[series.name] = slice(at, at + width)
            at += width
        self.width = at + len(UPDATED) * variables * updates
        self.updates = slice(at, self.width)

    def row(self, values):
        """The parts of a record in their order.

        Args:
            values: Dict of series to tensor, of shape `(1,)` or `(n,)`.

        Returns:
            List of tensors.
        """
        return [values[name] for name in self._columns]

    def split(self, records):
        """Give records back by series.

        Args:
            records: Float array `(r, width)`.

        Returns:
            Dict of series to array, `(r,)` for those per step, else `(r, n)`.
        """
        return {
            series.name: records[:, columns][:, 0]
            if series.per == "step"
            else records[:, columns]
            for series, columns in zip(
                RECORDED, self._columns.values(), strict=True
            )
        }
