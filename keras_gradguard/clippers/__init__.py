"""Algorithms that decide how far a gradient is clipped.

Each is a small class over the functions in `clippers.functional`; `AutoClip`
takes one by name or as an object.
"""

from collections.abc import Iterable
from typing import Any

import keras

from keras_gradguard._validation import shown
from keras_gradguard.clippers.clipper import Clipped
from keras_gradguard.clippers.clipper import Clipper
from keras_gradguard.clippers.clipper import NormClipper
from keras_gradguard.clippers.fixed import FixedNorm
from keras_gradguard.clippers.fixed import FixedValue
from keras_gradguard.clippers.per_tensor import PerTensor
from keras_gradguard.clippers.percentile import Percentile
from keras_gradguard.clippers.spikes import Spikes
from keras_gradguard.clippers.unit_axes import unit_axes
from keras_gradguard.clippers.unitwise import Unitwise
from keras_gradguard.clippers.zscore import ZScore

__all__ = [
    "Clipped",
    "Clipper",
    "FixedNorm",
    "FixedValue",
    "NormClipper",
    "PerTensor",
    "Percentile",
    "Spikes",
    "Unitwise",
    "ZScore",
    "get",
    "unit_axes",
]

_BY_NAME = {
    "spikes": Spikes,
    "percentile": Percentile,
    "zscore": ZScore,
    "unitwise": Unitwise,
    "per_tensor": PerTensor,
    "norm": FixedNorm,
    "value": FixedValue,
}


def get(identifier: str | dict | Clipper, **arguments: Any) -> Clipper:
    """The clipper that a name, a config or an object stands for.

    Args:
        identifier: `"spikes"`, `"percentile"`, `"zscore"`, `"unitwise"`,
            `"per_tensor"`, `"norm"`, `"value"`, a serialized clipper, or a
            `Clipper`.
        **arguments: Arguments of the clipper, with a name only.

    Returns:
        A `Clipper`.

    Raises:
        TypeError: If `identifier` is none of these, or the clipper does not
            take the arguments.
        ValueError: If there is no clipper of that name, or if arguments come
            with an object that has its own.

    Example:
        >>> import keras_gradguard as kgg
        >>> kgg.clippers.get("percentile", percentile=50)
        Percentile(percentile=50.0, window=256)
    """
    if isinstance(identifier, str):
        return _from_name(identifier, arguments)
    if isinstance(identifier, dict) and "class_name" in identifier:
        identifier = keras.saving.deserialize_keras_object(identifier)
    if not isinstance(identifier, Clipper):
        raise TypeError(
            "AutoClip: `clipper` must be a name or a `kgg.clippers.Clipper`. "
            f"Received: clipper={shown(identifier)} (of type "
            f'{type(identifier).__name__}). Pass for instance "percentile" or '
            "`kgg.clippers.ZScore()`."
        )
    if arguments:
        raise ValueError(
            f"AutoClip: {_quoted(arguments)} must be given to the clipper "
            f"itself. Received: clipper={shown(identifier)}. Pass "
            f"`{type(identifier).__name__}({next(iter(arguments))}=...)`."
        )
    return identifier


def _from_name(name: str, arguments: dict) -> Clipper:
    if name not in _BY_NAME:
        names = ", ".join(repr(n) for n in _BY_NAME)
        raise ValueError(
            f"AutoClip: `clipper` must be one of {names}. "
            f"Received: clipper={shown(name)}. For another algorithm, pass a "
            "`kgg.clippers.Clipper`."
        )
    known = list(_BY_NAME[name]().get_config())
    unknown = [argument for argument in arguments if argument not in known]
    if unknown:
        raise TypeError(
            f"AutoClip: {_quoted(unknown)} must be an argument of AutoClip or "
            f"of clipper={shown(name)}. Received: {unknown[0]}="
            f"{shown(arguments[unknown[0]])}. That clipper takes "
            f"{_quoted(known)}."
        )
    return _BY_NAME[name](**arguments)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
