"""The first batch, for models that take no other number of rows."""

import dataclasses

import keras


def first_rows(data, count):
    """Return `Samples` of the first rows, the whole read as before.

    Args:
        data: `Samples`.
        count: Int. Rows that the model is run on, as they lie in the data.
    """
    x, y = (
        whole if _length(whole) >= count else some
        for some, whole in ((data.x, data.all_x), (data.y, data.all_y))
    )
    x, y = (
        keras.tree.map_structure(
            lambda leaf: None if leaf is None else leaf[:count], part
        )
        for part in (x, y)
    )
    return dataclasses.replace(data, x=x, y=y)


def _length(structure):
    leaves = [
        leaf for leaf in keras.tree.flatten(structure) if leaf is not None
    ]
    return min(map(len, leaves), default=0)
