"""Leaves batches out of what goes into `fit`."""

import functools
import operator
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_gradguard import _validation

_OWNER = "without_batches"
_KINDS = (
    "arrays, a tf.data.Dataset, a PyDataset, a torch DataLoader or a generator"
)
_OF_KERAS = 32


def without_batches(
    data: Any, batches: Sequence[int], batch_size: int | None = None
) -> Any:
    """Return data for `fit` that lacks some batches.

    For a run that goes wrong at a known batch: train without it, and see
    whether that was the cause. All other batches stay what they were, in their
    order.

    What counts as batch `i`, from 0:

    * arrays, or a structure of arrays such as `(x, y)`: the rows from
      `i * batch_size` on. `fit` has to get `shuffle=False` and the same
      `batch_size`.
    * `tf.data.Dataset`: the i-th element of each pass over it. Keras knows no
      more how many there are, and warns at the end of the first epoch.
    * `keras.utils.PyDataset`: the one with index i, also where `fit` shuffles
      the indices.
    * torch `DataLoader`: the i-th of each epoch.
    * generator: the i-th that it gives from now on, over all epochs.

    Args:
        data: Arrays, dataset or generator, as `fit` takes it.
        batches: List of integers >= 0. Which batches to leave out.
        batch_size: Integer >= 1, for arrays only. Defaults to 32, as in `fit`.

    Returns:
        Data of the same kind: arrays for arrays, in the same structure.

    Raises:
        TypeError: If `data` is none of these, or `batches` no list of
            integers.
        ValueError: If a batch does not exist, no batch is left, arrays differ
            in length, or `batch_size` is passed for what has batches already.

    Example:
    >>> import numpy as np
    >>> import keras_gradguard as kgg
    >>> x, y = np.arange(10), np.arange(10) % 2
    >>> x, y = kgg.without_batches((x, y), [1], batch_size=4)
    >>> x.tolist()
    [0, 1, 2, 3, 8, 9]

    Notes:
        Only `fit` gets less. What was computed from the data before still knows
        the batches: class weights, the statistics of a `Normalization` layer, a
        vocabulary. So does `validation_data`, if the samples are in it, too.
        `validation_split` takes its share of what is left, so it moves.
        `steps_per_epoch` has to be lowered by the batches that are left out.
    """
    left_out = _check(batches)
    kind = type(data)
    if isinstance(data, keras.utils.PyDataset):
        wrap: Any = _WithoutIndices
    elif _is_of(kind, "tensorflow.") and hasattr(data, "enumerate"):
        wrap = _dataset
    elif _is_of(kind, "torch.utils.data") and hasattr(data, "batch_sampler"):
        wrap = _loader
    elif isinstance(data, Iterator):
        wrap = _generator
    else:
        return _arrays(data, left_out, batch_size)
    if batch_size is not None:
        _validation.fail(
            ValueError,
            _OWNER,
            "batch_size",
            f"None for a {kind.__name__}",
            batch_size,
            "It has batches already.",
        )
    return wrap(data, left_out)


def _check(batches: Any) -> list[int]:
    try:
        # Of a str, letters would be told.
        given = None if isinstance(batches, str) else list(batches)
    except TypeError:
        given = None
    if given is None:
        _validation.fail(
            TypeError,
            _OWNER,
            "batches",
            "a list of integers",
            batches,
            "Pass [17] to leave out the batch with index 17.",
            show_type=True,
        )
    hint = "They count from 0."
    return sorted(
        {
            _validation.check_int(_OWNER, "batches", b, minimum=0, hint=hint)
            for b in given or ()
        }
    )


def _is_of(kind: type, module: str) -> bool:
    return any(c.__module__.startswith(module) for c in kind.__mro__)


def _check_range(left_out: list[int], count: int) -> None:
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


def _arrays(data: Any, left_out: list[int], batch_size: int | None) -> Any:
    flat = [leaf for leaf in tree.flatten(data) if leaf is not None]
    if not flat or not all(getattr(leaf, "shape", ()) for leaf in flat):
        _validation.fail(
            TypeError, _OWNER, "data", _KINDS, data, show_type=True
        )
    size = _validation.check_int(
        _OWNER,
        "batch_size",
        _OF_KERAS if batch_size is None else batch_size,
        minimum=1,
        hint="Pass what `fit` gets.",
    )
    lengths = sorted({int(leaf.shape[0]) for leaf in flat})
    if len(lengths) > 1:
        _validation.fail(
            ValueError, _OWNER, "data", "arrays of one length", lengths
        )
    _check_range(left_out, -(-lengths[0] // size))
    batch = np.arange(lengths[0]) // size
    rows = np.flatnonzero(~np.isin(batch, left_out))
    return tree.map_structure(lambda leaf: _take(leaf, rows), data)


def _take(leaf: Any, rows: np.ndarray) -> Any:
    if leaf is None:
        return None
    if hasattr(leaf, "iloc"):
        return leaf.iloc[rows]
    if _is_of(type(leaf), "tensorflow."):
        return leaf.numpy()[rows]
    return leaf[rows]


class _WithoutIndices(keras.utils.PyDataset):
    """A `PyDataset` without some of its batches."""

    def __init__(self, data: Any, left_out: list[int]) -> None:
        super().__init__(
            workers=data.workers,
            use_multiprocessing=data.use_multiprocessing,
            max_queue_size=data.max_queue_size,
        )
        self._data, self._left_out = data, left_out
        if data.num_batches is not None:
            _check_range(left_out, data.num_batches)

    @property
    def num_batches(self) -> int | None:
        count = self._data.num_batches
        return None if count is None else count - len(self._left_out)

    def __getitem__(self, index: int) -> Any:
        for batch in self._left_out:
            index += batch <= index
        return self._data[index]

    def on_epoch_begin(self) -> None:
        self._data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._data.on_epoch_end()


def _dataset(data: Any, left_out: list[int]) -> Any:
    # TensorFlow is not imported here: its tensors know these operators.
    def stays(index: Any, *_: Any) -> Any:
        others = (index != batch for batch in left_out)
        return functools.reduce(operator.and_, others, index >= 0)

    def batch_of(_: Any, *batch: Any) -> Any:
        return batch if len(batch) > 1 else batch[0]

    return data.enumerate().filter(stays).map(batch_of)


class _WithoutDraws:
    """A batch sampler of torch without some of what it draws."""

    def __init__(self, sampler: Any, left_out: list[int]) -> None:
        self._sampler, self._left_out = sampler, set(left_out)

    def __iter__(self) -> Iterator[Any]:
        for at, indices in enumerate(self._sampler):
            if at not in self._left_out:
                yield indices

    def __len__(self) -> int:
        return len(self._sampler) - len(self._left_out)


def _loader(data: Any, left_out: list[int]) -> Any:
    if data.batch_sampler is None:
        _validation.fail(
            TypeError,
            _OWNER,
            "data",
            "a DataLoader that draws batches of indices",
            data,
            "One over an IterableDataset has none: pass `iter(loader)`.",
        )
    _check_range(left_out, len(data))
    return type(data)(
        data.dataset,
        batch_sampler=_WithoutDraws(data.batch_sampler, left_out),
        collate_fn=data.collate_fn,
        num_workers=data.num_workers,
        pin_memory=data.pin_memory,
        worker_init_fn=data.worker_init_fn,
        generator=data.generator,
        persistent_workers=data.persistent_workers,
    )


def _generator(data: Iterator[Any], left_out: list[int]) -> Iterator[Any]:
    skipped = set(left_out)
    return (batch for at, batch in enumerate(data) if at not in skipped)
