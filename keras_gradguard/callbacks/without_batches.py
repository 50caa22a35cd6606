"""Leaves batches out of what goes into `fit`."""

import functools
import operator
import sys
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_gradguard import _validation
from keras_gradguard.callbacks.left_out import LeftOut
from keras_gradguard.callbacks.left_out import check
from keras_gradguard.callbacks.left_out import check_range

_OWNER = "without_batches"
_KINDS = (
    "arrays, a tf.data.Dataset, a PyDataset, a torch DataLoader or a generator"
)
_OF_KERAS = 32


def without_batches(
    data: Any, batches: Sequence[int | str], batch_size: int | None = None
) -> Any:
    """Return data for `fit` that lacks some batches.

    For a run that goes wrong at a known batch: train without it, and see
    whether that was the cause. All other batches stay what they were, in their
    order. A batch is named by its index, or by its checksum, as a capsule and
    `kgg.batch_checksum` give it: then it is left out wherever it comes, also
    where the data are shuffled.

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

    By a checksum, each batch is looked at as it comes:

    * arrays: the batches of rows as above. Where `fit` shuffled them, a batch
      of a capsule is none of these, and an error says so.
    * `keras.utils.PyDataset`: Keras has counted the batches before, so the
      place of one is taken by that with the next index.
    * torch `DataLoader`: each batch is read twice, first to look at it. Keras
      warns at the end of an epoch that is shorter than it counted.

    Args:
        data: Arrays, dataset or generator, as `fit` takes it.
        batches: List of integers >= 0, or checksums of 64 hexadecimal digits,
            or both. Which batches to leave out.
        batch_size: Integer >= 1, for arrays only. Defaults to 32, as in `fit`.

    Returns:
        Data of the same kind: arrays for arrays, in the same structure.

    Raises:
        TypeError: If `data` is none of these, or `batches` no list of
            integers and checksums.
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
        A checksum is that of the batch as the train step got it: with class
        weights, or with noise that is drawn anew, no batch has it again.
    """
    left_out = check(batches)
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


def _is_of(kind: type, module: str) -> bool:
    return any(c.__module__.startswith(module) for c in kind.__mro__)


def _arrays(data: Any, left_out: LeftOut, batch_size: int | None) -> Any:
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
    count = -(-lengths[0] // size)
    batch = np.arange(lengths[0]) // size
    named = {*left_out.indices}
    if left_out.checksums:
        found = {
            at
            for at in range(count)
            if left_out.names(_rows(data, np.flatnonzero(batch == at)))
        }
        if not found:
            _validation.fail(
                ValueError,
                _OWNER,
                "batches",
                f"checksums of some of the {count} batches of {size} rows",
                sorted(left_out.checksums),
                "Where `fit` shuffled the rows, its batches are none of "
                "these: train with shuffle=False, or pass a dataset.",
            )
        named |= found
    indices = sorted(named)
    check_range(indices, count)
    rows = np.flatnonzero(~np.isin(batch, indices))
    return _rows(data, rows)


def _rows(data: Any, rows: np.ndarray) -> Any:
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

    def __init__(self, data: Any, left_out: LeftOut) -> None:
        super().__init__(
            workers=data.workers,
            use_multiprocessing=data.use_multiprocessing,
            max_queue_size=data.max_queue_size,
        )
        self._data, self._named = data, left_out
        self._left_out = left_out.indices
        if data.num_batches is not None:
            check_range(self._left_out, data.num_batches)

    @property
    def num_batches(self) -> int | None:
        count = self._data.num_batches
        return None if count is None else count - len(self._left_out)

    def __getitem__(self, index: int) -> Any:
        count = self.num_batches
        for more in range(count or sys.maxsize):
            at = index + more if count is None else (index + more) % count
            for batch in self._left_out:
                at += batch <= at
            found = self._data[at]
            if not self._named.names(found):
                return found
        check_range([], 0)  # none is left
        return None

    def on_epoch_begin(self) -> None:
        self._data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._data.on_epoch_end()


def _dataset(data: Any, left_out: LeftOut) -> Any:
    def stays(index: Any, *_: Any) -> Any:
        others = (index != batch for batch in left_out.indices)
        return functools.reduce(operator.and_, others, index >= 0)

    def batch_of(_: Any, *batch: Any) -> Any:
        return batch if len(batch) > 1 else batch[0]

    data = data.enumerate().filter(stays).map(batch_of)
    if not left_out.checksums:
        return data
    # Who has such data has imported it. Nobody else has to.
    tensorflow: Any = sys.modules["tensorflow"]

    def unnamed(*arrays: Any) -> Any:
        return np.bool_(not left_out.names(arrays))

    def other(*batch: Any) -> Any:
        arrays = tree.flatten(batch)
        return tensorflow.numpy_function(unnamed, arrays, tensorflow.bool)

    return data.filter(other)


class _WithoutDraws:
    """A batch sampler of torch without some of what it draws."""

    def __init__(self, loader: Any, left_out: LeftOut) -> None:
        self._loader, self._named = loader, left_out
        self._left_out = set(left_out.indices)

    def __iter__(self) -> Iterator[Any]:
        for at, indices in enumerate(self._loader.batch_sampler):
            if at not in self._left_out and not self._is_named(indices):
                yield indices

    def _is_named(self, indices: Any) -> bool:
        if not self._named.checksums:
            return False
        rows = [self._loader.dataset[at] for at in indices]
        return self._named.names(self._loader.collate_fn(rows))

    def __len__(self) -> int:
        return len(self._loader.batch_sampler) - len(self._left_out)


def _loader(data: Any, left_out: LeftOut) -> Any:
    if data.batch_sampler is None:
        _validation.fail(
            TypeError,
            _OWNER,
            "data",
            "a DataLoader that draws batches of indices",
            data,
            "One over an IterableDataset has none: pass `iter(loader)`.",
        )
    check_range(left_out.indices, len(data))
    return type(data)(
        data.dataset,
        batch_sampler=_WithoutDraws(data, left_out),
        collate_fn=data.collate_fn,
        num_workers=data.num_workers,
        pin_memory=data.pin_memory,
        worker_init_fn=data.worker_init_fn,
        generator=data.generator,
        persistent_workers=data.persistent_workers,
    )


def _generator(data: Iterator[Any], left_out: LeftOut) -> Iterator[Any]:
    skipped = set(left_out.indices)
    return (
        batch
        for at, batch in enumerate(data)
        if at not in skipped and not left_out.names(batch)
    )
