"""torch: a ring of records in a tensor."""

import torch

from keras_gradguard._backend import ring_layout


class Ring:
    def __init__(self, rows, columns, optimizer, name):
        del name
        self.rows = rows
        self._cursor = 0
        self._store = torch.zeros(
            (rows + 1, ring_layout.HEAD + columns),
            dtype=torch.float64,  # holds the step, too
            device=optimizer.variables[0].value.device,  # its counter
        )

    def write(self, iterations, flag, values):
        row = self._store.select(0, self._cursor % self.rows)
        with torch.no_grad():
            row.select(0, 1).copy_(iterations)
            _set(row.select(0, 2), flag)
            row.narrow(0, ring_layout.HEAD, len(values)).copy_(values)
        self._cursor += 1

    def amend(self, first, values, where, step):
        del step
        start = ring_layout.HEAD + first
        row = self._store.select(0, (self._cursor - 1) % self.rows)
        row = row.narrow(0, start, len(values))
        with torch.no_grad():
            if isinstance(where, torch.Tensor):
                values = torch.where(where, values, row)
            elif not where:
                return
            row.copy_(values)

    def snapshot(self, state=None):
        del state
        store = self._store.clone()
        cursor = self._cursor % ring_layout.wrap(self.rows)
        store.select(0, self.rows).select(0, 0).fill_(cursor)
        return store

    @property
    def variables(self):
        return []


def _set(place, value):
    """Write a number, or a tensor, without a copy from the host."""
    if isinstance(value, torch.Tensor):
        place.copy_(value)
    else:
        place.fill_(value)
