"""Which batches `without_batches` leaves out."""

import re
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_gradguard import _validation
from keras_gradguard.capsule.batches import batch_checksum

_OWNER = "without_batches"


class LeftOut:
    """Which batches are left out: indices, in order, and checksums."""

    def __init__(self, indices: list[int], checksums: set[str]) -> None:
        self.indices, self.checksums = indices, checksums

    def names(self, batch: Any) -> bool:
        """Whether a batch has one of the checksums.

        Args:
            batch: Structure of arrays, as it is or as `fit` will cast it.
        """
        if not self.checksums:
            return False
        forms = (batch, tree.map_structure(_cast, batch))
        return any(batch_checksum(form) in self.checksums for form in forms)


def _cast(leaf: Any) -> Any:
    """An array as Keras hands it to the train step."""
    if leaf is None:
        return None
    array = np.asarray(leaf)
    if array.dtype.kind == "f":
        return array.astype(keras.config.floatx())
    small = array.dtype.kind == "i" and keras.backend.backend() == "jax"
    return array.astype("int32") if small else array


def check(batches: Any) -> LeftOut:
    """Return what `without_batches` gets as `batches`, checked.

    Args:
        batches: List of integers and checksums.
    """
    try:
        # Of a str, its letters would be listed.
        given = None if isinstance(batches, str) else list(batches)
    except TypeError:
        given = None
    if given is None:
        _validation.fail(
            TypeError,
            _OWNER,
            "batches",
            "a list of integers or of checksums",
            batches,
            "Pass [17] to leave out the batch with index 17.",
            show_type=True,
        )
    given = given or []
    checksums = {str(one).lower() for one in given if isinstance(one, str)}
    for one in checksums:
        if not re.fullmatch("[0-9a-f]{64}", one):
            _validation.fail(
                ValueError,
                _OWNER,
                "batches",
                "integers, or checksums of 64 hexadecimal digits",
                one,
                "`replay` prints the first digits: pass its `.checksum`.",
            )
    hint = "They count from 0."
    indices = {
        _validation.check_int(_OWNER, "batches", one, minimum=0, hint=hint)
        for one in given
        if not isinstance(one, str)
    }
    return LeftOut(sorted(indices), checksums)


def check_range(left_out: list[int], count: int) -> None:
    """Raise an error where batches do not exist or none is left.

    Args:
        left_out: List of int, in order.
        count: Int. How many there are.
    """
    if left_out and left_out[-1] >= count:
        _validation.fail(
            ValueError,
            _OWNER,
            "batches",
            f"below {count}, the number of batches",
            left_out[-1],
            "Batches count from 0.",
        )
    if len(left_out) >= count:
        _validation.fail(
            ValueError,
            _OWNER,
            "batches",
            f"fewer than all {count} batches",
            left_out,
            "Nothing would be left to train on.",
        )
