"""A trace's epochs: where each ended, and its logs."""

import numpy as np

from keras_gradguard import _validation


class Epochs:
    """One row per epoch that ended.

    Args:
        tables: `TraceTables`, which keep the rows.
    """

    def __init__(self, tables):
        self._tables = tables

    def __len__(self):
        return self._tables.epochs.count

    def append(self, epoch, step, logs):
        """Append the logs of an epoch; see `Trace.append_epoch`."""
        owner = "Trace.append_epoch"
        epoch = _validation.check_int(owner, "epoch", epoch)
        step = _validation.check_int(owner, "step", step)
        values = {"epoch": [epoch], "step": [step]}
        for name, value in _validation.check_dict(owner, "logs", logs).items():
            try:
                number = float(value)
            except (TypeError, ValueError, OverflowError):
                continue
            values[f"log/{name}"] = [number]
        self._tables.append_epoch(values)

    @property
    def numbers(self):
        """Int array (E,): numbers of the epochs that ended."""
        return self._tables.epochs.get("epoch")

    @property
    def last_steps(self):
        """Int array (E,): last step of each epoch."""
        return self._tables.epochs.get("step")

    @property
    def logs(self):
        """Dict of name to float64 array (E,): logs of each epoch."""
        table = self._tables.epochs
        names = [name for name in table.names if name.startswith("log/")]
        return {name[4:]: table.get(name) for name in names}

    def of(self, step):
        """Return the epoch of a step, that after the last where none ended.

        Call it only once an epoch ended.
        """
        at = int(np.searchsorted(self.last_steps, step))
        if at < len(self):
            return int(self.numbers[at])
        return int(self.numbers[-1]) + 1
