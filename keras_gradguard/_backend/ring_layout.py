"""How a ring's store is laid out, the same on every backend.

The store is one float array of shape `(rows + 1, HEAD + columns)`. A record
is `[step // BASE, step % BASE, flag, *values]`: float32 holds both halves of
the step exactly. The last row begins with the cursor, the number of records
written so far, modulo `wrap(rows)`.
"""

import numpy as np

HEAD = 3
BASE = 1 << 16


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


def written(store):
    """Number of records written so far, modulo `wrap`."""
    return int(store[-1, 0])
