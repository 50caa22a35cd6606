"""Columns of equal length that stay bounded however long a run lasts."""

import numpy as np

_FIRST_ROWS = 64


class ThinnedColumns:
    """A small table that forgets evenly when it is full.

    The newest two fifths of the rows, up to a half where the caller wants
    little kept, keep full resolution. Of the older rows every
    `stride`-th survives, and the stride doubles whenever those overflow their
    quarter of the table. The first and the last row, and the rows that the
    caller wants kept, always survive; should these alone fill the table, it
    grows rather than lose one. A thinning costs time in proportion to the
    capacity and frees at least a quarter of it, so that the cost per row is
    constant.

    Args:
        capacity: Largest number of rows before thinning, at least 16.

    Attributes:
        count: Rows present.
        seen: Rows ever appended.
        stride: Distance of surviving old rows, in rows as appended; 1 as long
            as nothing was dropped.
    """

    def __init__(self, capacity):
        self.capacity = max(16, int(capacity))
        self.count = 0
        self.seen = 0
        self.stride = 1
        self._rows = min(_FIRST_ROWS, self.capacity)
        self._data = {"_order": np.zeros(self._rows, np.int64)}
        self._fill = {"_order": 0}

    def __contains__(self, name):
        return name in self._data

    @property
    def names(self):
        """Names of the columns, in the order they were added."""
        return [name for name in self._data if name != "_order"]

    @property
    def nbytes(self):
        """Bytes that the table occupies."""
        return sum(column.nbytes for column in self._data.values())

    def add(self, name, shape=(), dtype=np.float32, fill=np.nan):
        """Add a column; rows appended before hold `fill`."""
        self._data[name] = np.full((self._rows, *shape), fill, dtype)
        self._fill[name] = fill

    def get(self, name):
        """Return the filled part of a column, a read-only view."""
        view = self._data[name][: self.count]
        view.flags.writeable = False
        return view

    def append(self, rows, values, keep=None):
        """Append `rows` rows.

        Args:
            rows: Number of rows.
            values: Dict from column name to an array of `rows` rows. A column
                that is absent gets its fill value.
            keep: Called before a thinning, without arguments; returns the bool
                mask of present rows that must survive. Defaults to none.
        """
        start = 0
        while start < rows:
            if self.count == self.capacity:
                self._thin(keep() if keep is not None else None)
            stop = min(rows, start + self.capacity - self.count)
            self._write(values, start, stop)
            start = stop

    def _write(self, values, start, stop):
        first, last = self.count, self.count + stop - start
        if last > self._rows:
            self._resize(min(self.capacity, max(last, 2 * self._rows)))
        for name, column in self._data.items():
            if name in values:
                column[first:last] = values[name][start:stop]
            else:
                column[first:last] = self._fill[name]
        self._data["_order"][first:last] = np.arange(
            self.seen, self.seen + last - first
        )
        self.seen += last - first
        self.count = last

    def _resize(self, rows):
        for name, old in self._data.items():
            new = np.full((rows, *old.shape[1:]), self._fill[name], old.dtype)
            new[: self.count] = old[: self.count]
            self._data[name] = new
        self._rows = rows

    def _thin(self, wanted):
        order = self._data["_order"][: self.count]
        if wanted is None:
            wanted = np.zeros(self.count, bool)
        # What is wanted takes a part of its room from the newest.
        newest = self.capacity // 2
        held = int(np.count_nonzero(wanted[: self.count - newest]))
        newest -= min(held, self.capacity // 10)
        old = np.arange(self.count) < self.count - newest
        keep = ~old | wanted
        keep[0] = True
        on_stride = old & (order % self.stride == 0)
        while np.count_nonzero(on_stride) > self.capacity // 4:
            self.stride *= 2
            on_stride = old & (order % self.stride == 0)
        keep |= on_stride
        left = int(np.count_nonzero(keep))
        if left > self.capacity * 7 // 8:
            self.capacity += self.capacity // 4
        for column in self._data.values():
            column[:left] = column[: self.count][keep]
        self.count = left

    def state(self):
        """Return the arrays and counters that `restore` takes."""
        arrays = {
            name: column[: self.count].copy()
            for name, column in self._data.items()
        }
        counters = {
            "capacity": self.capacity,
            "seen": self.seen,
            "stride": self.stride,
        }
        return arrays, counters

    def restore(self, arrays, counters):
        """Take over what `state` returned."""
        for name, array in arrays.items():
            if name not in self._data:
                self.add(name, array.shape[1:], array.dtype)
        self.count = len(arrays["_order"])
        self.capacity = int(counters["capacity"])
        self.seen = int(counters["seen"])
        self.stride = int(counters["stride"])
        self._rows = max(self.count, 1)
        for name, old in self._data.items():
            # A series that an older release did not record yet is unknown.
            shape = (self._rows, *old.shape[1:])
            if self.count and name in arrays:
                self._data[name] = np.array(arrays[name])
            else:
                dtype = arrays[name].dtype if name in arrays else old.dtype
                self._data[name] = np.full(shape, self._fill[name], dtype)
