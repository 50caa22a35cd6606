"""How a ring's store is laid out, the same on every backend.

The store is one float array of shape `(rows + 1, HEAD + columns)`. A record
is `[step // BASE, step % BASE, flag, *values]`: float32 holds both halves of
the step exactly. The last row begins with the cursor, the number of records
written so far, modulo `wrap(rows)`.
"""

import numpy as np

HEAD = 3
BASE = 1 << 16
# As many as `wrap` allows.
MOST_ROWS = 512


def wrap(rows):
    """Modulus of the cursor: a multiple of `rows` that float32 counts to."""
    return rows << 15


def unread(store, cursor):
    """Records that came in since the last look, oldest first.

    Args:
        store: Float array of shape `(rows + 1, HEAD + columns)`.
        cursor: Number of records read or lost so far.

    Returns:
        `(steps, flags, values, cursor)`: integer arrays `(n,)`, float array
        `(n, columns)`, and the number of records written so far.
    """
    rows = len(store) - 1
    written = cursor + (int(store[rows, 0]) - cursor) % wrap(rows)
    first = max(cursor, written - rows)
    records = store[np.arange(first, written) % rows]
    steps = records[:, 0].astype("int64") * BASE + records[:, 1].astype("int64")
    flags = records[:, 2].astype("int64")
    return steps, flags, records[:, HEAD:], written


def amend(store, amended, start, stop):
    """Put columns that were kept apart into the records of their steps.

    Args:
        store: Float array of shape `(rows + 1, HEAD + columns)`; changed.
        amended: Float array of shape `(rows + 1, HEAD + stop - start)`, with
            a flag of one where a record is to be amended.
        start: First column of `store` to overwrite.
        stop: Column behind the last one.

    Returns:
        `store`.
    """
    rows = len(store) - 1
    used = min(written(store), rows)
    by_step = {tuple(r[:2]): i for i, r in enumerate(store[:used])}
    for record in amended[:-1][amended[:-1, 2] == 1]:
        row = by_step.get(tuple(record[:2]))
        if row is not None:
            store[row, start:stop] = record[HEAD:]
    return store


def written(store):
    """Number of records written so far, modulo `wrap`."""
    return int(store[-1, 0])
