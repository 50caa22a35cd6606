"""Batches on the host: structures of NumPy arrays."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_gradguard import _validation


def batch_checksum(batch: Any) -> str:
    """Return the checksum of a batch.

    To find a batch that a capsule names among your data: the same numbers, of
    the same types and shapes, give the same checksum.

    It is the SHA-256 of the arrays one after the other, in the order of tuples
    and lists, and of dicts by their sorted keys. Each array counts as its
    dtype, its shape and its bytes in C order, such as `"float32(16, 4)"` and
    256 bytes. `None` counts for nothing.

    Args:
        batch: Structure of arrays, as the train step gets it: `(x, y)` or
            `(x, y, sample_weight)`. Lists of numbers are arrays, too.

    Returns:
        String of 64 hexadecimal digits.

    Raises:
        TypeError: If it holds something else than numbers and texts.

    Example:
    >>> import numpy as np
    >>> import keras_gradguard as kgg
    >>> x, y = np.ones((16, 4), "float32"), np.zeros((16, 1), "float32")
    >>> kgg.batch_checksum((x, y))[:12]
    'c4e9b93fb0c3'

    Notes:
        `fit` casts float64 arrays to float32 before the train step gets them,
        and sets class weights as sample weights.
    """
    digest = hashlib.sha256()
    for array in leaves(batch):
        array = np.ascontiguousarray(_checked(array))
        little = array.astype(array.dtype.newbyteorder("<"))
        shape = ", ".join(str(length) for length in np.shape(array))
        digest.update(f"{array.dtype.name}({shape})".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()


def _checked(value):
    try:
        array = np.asarray(value)
        texts = array.dtype.kind == "O" and all(
            isinstance(text, bytes | str) for text in array.flat
        )
        if texts or array.dtype.kind in "biufcSUV":
            return plain(array)
    except Exception:
        array = None  # as ragged lists are
    _validation.fail(
        TypeError,
        "batch_checksum",
        "batch",
        "a structure of arrays of numbers or texts",
        value,
        "Pass (x, y), as the train step gets them.",
        show_type=True,
    )


def leaves(structure: Any) -> list[Any]:
    """Return the arrays of a structure, without those that are None.

    Args:
        structure: Tuples, lists and dicts of arrays.
    """
    if structure is None:
        return []
    if isinstance(structure, Mapping):
        return [
            leaf
            for key in sorted(structure, key=str)
            for leaf in leaves(structure[key])
        ]
    if isinstance(structure, tuple):
        return [leaf for part in structure for leaf in leaves(part)]
    if isinstance(structure, list):
        numbers = all(isinstance(p, int | float | bool) for p in structure)
        if structure and numbers:
            return [np.asarray(structure)]
        return [leaf for part in structure for leaf in leaves(part)]
    return [structure]


def plain(array: Any) -> np.ndarray:
    """Return an array of a dtype that NumPy itself has.

    Args:
        array: Array. bfloat16 and its kin become float32, texts bytes.
    """
    array = np.asarray(array)
    if array.dtype.kind == "O":
        return array.astype("S")
    if array.dtype.kind == "V" or array.dtype.type.__module__ != "numpy":
        return array.astype("float32")
    return array


def packed(structure: Any, arrays: list) -> Any:
    """Return a structure as JSON, its arrays moved to a list.

    Args:
        structure: Tuples, lists and dicts of arrays.
        arrays: List to append the arrays to.

    Raises:
        TypeError: If a key of a dict is no str.
    """
    if structure is None:
        return None
    if isinstance(structure, Mapping):
        if not all(isinstance(key, str) for key in structure):
            raise TypeError("the data are a dict with keys that are no str")
        return {"dict": {k: packed(v, arrays) for k, v in structure.items()}}
    if isinstance(structure, tuple | list):
        kind = "tuple" if isinstance(structure, tuple) else "list"
        return {kind: [packed(part, arrays) for part in structure]}
    arrays.append(plain(structure))
    return len(arrays) - 1


def unpacked(structure: Any, arrays: list) -> Any:
    """Return the structure that `packed` took apart.

    Args:
        structure: As `packed` returned it.
        arrays: List of the arrays.
    """
    if structure is None:
        return None
    if isinstance(structure, int):
        return arrays[structure]
    ((kind, parts),) = structure.items()
    if kind == "dict":
        return {key: unpacked(part, arrays) for key, part in parts.items()}
    found = [unpacked(part, arrays) for part in parts]
    return tuple(found) if kind == "tuple" else found
