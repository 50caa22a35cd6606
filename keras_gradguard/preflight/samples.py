"""Takes a few rows of whatever `fit` takes, and measures them."""

import collections.abc
import dataclasses
import itertools

import keras
import numpy as np

from keras_gradguard._validation import shown
from keras_gradguard.trace.facts import DataFacts

_OWNER = "check"
# Arrays up to so many numbers are read whole, of larger ones some rows.
_READ_WHOLE = 20_000_000
_SOME_ROWS = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class Samples:
    """Some rows to run the model on, and all that could be read.

    Attributes:
        x: Structure of arrays that the model takes.
        y: Structure of targets, or None.
        all_x: Structure of as many inputs as were read at no great cost.
        all_y: The same for the targets, or None.
        notes: Tuple of str. What was taken of `x` that `fit` will not get.
        batches: Bool. Whether `x` gives batches and is no array.
    """

    x: object
    y: object
    all_x: object
    all_y: object
    notes: tuple = ()
    batches: bool = False


def take(x, y=None, rows=128, batch_size=32):
    """Take rows of data.

    Of arrays, rows evenly spaced over all of them, so that sorted data are
    seen as a whole; of a `tf.data.Dataset`, `PyDataset` or loader, the first
    batches; of a generator, one batch, which it will not give again.

    Args:
        x: Array, list, tuple or dict of arrays; or anything that gives
            batches `(x,)`, `(x, y)` or `(x, y, sample_weight)`.
        y: Targets, if they do not come with `x`.
        rows: Int. Rows to take. Defaults to 128.
        batch_size: Int. Rows a batch. Defaults to 32.

    Returns:
        `Samples`.

    Raises:
        ValueError: If there are no rows, or `y` comes twice.
        TypeError: If `x` is nothing that `fit` takes.
    """
    if gives_batches(x):
        if y is not None:
            raise ValueError(
                f"{_OWNER}: `y` must be None where `x` gives batches. "
                f"Received: x of type {type(x).__name__} and y of type "
                f"{type(y).__name__}. Put the targets into the batches."
            )
        notes = _taken(x)
        x, y = _from_batches(x, max(1, rows // max(1, batch_size)))
        return Samples(x, y, x, y, notes, batches=True)
    x = _structure(x)
    y = None if y is None else _structure(y)
    if not _leaves(x):
        raise TypeError(
            f"{_OWNER}: `x` must hold the data that `fit` gets. Received: "
            f"x={shown(x)}, in which there is no array."
        )
    leaves = _leaves((x, y))
    if any(np.ndim(leaf) == 0 for leaf in leaves):
        raise ValueError(
            f"{_OWNER}: `x` and `y` must hold arrays with one row per sample. "
            f"Received: x={_shapes(x)}, y={_shapes(y)}, shapes of which one "
            "is (). Pass the data that `fit` gets."
        )
    lengths = {len(leaf) for leaf in leaves}
    if not lengths or 0 in lengths:
        raise ValueError(
            f"{_OWNER}: `x` must hold at least one row. Received: "
            f"x={_shapes(x)}. Pass the data that `fit` gets."
        )
    if len(lengths) > 1:
        raise ValueError(
            f"{_OWNER}: `x` and `y` must have the same number of rows. "
            f"Received: x={_shapes(x)}, y={_shapes(y)}. Align them."
        )
    count = lengths.pop()
    return Samples(
        _rows(x, count, rows),
        _rows(y, count, rows),
        _affordable(x, count),
        _affordable(y, count),
    )


def _leaves(structure):
    return [leaf for leaf in keras.tree.flatten(structure) if leaf is not None]


def _shapes(value):
    shapes = [np.shape(leaf) for leaf in _leaves(value)]
    return shapes[0] if len(shapes) == 1 else shapes


def gives_batches(x):
    """Return whether something gives batches, unlike arrays.

    Args:
        x: What `fit` takes.
    """
    if isinstance(x, keras.utils.PyDataset):
        return True
    if isinstance(x, list | tuple | dict | str | bytes | set | range):
        return False
    if hasattr(x, "shape"):
        return False
    return hasattr(x, "element_spec") or isinstance(
        x, collections.abc.Iterator | collections.abc.Iterable
    )


def _structure(value):
    if isinstance(value, list) and (not value or np.isscalar(value[0])):
        return to_numpy(value)
    nested = isinstance(value, list) and isinstance(value[0], list)
    if nested or not isinstance(value, list | tuple | dict):
        return to_numpy(value)
    return keras.tree.map_structure(to_numpy, value)


def to_numpy(value):
    """Return an array of whatever framework as NumPy.

    Args:
        value: The array.

    Raises:
        TypeError: If it is none.
    """
    if value is None or isinstance(value, np.ndarray):
        return value
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        array = None
        cause = error
    if array is None or (array.dtype.kind in "OUS" and not array.ndim):
        raise TypeError(
            f"{_OWNER}: `x` and `y` must hold arrays, or be something that "
            f"gives batches of them. Received: {shown(value)} (of type "
            f"{type(value).__name__}). Pass NumPy arrays."
        ) from (cause if array is None else None)
    return array


def _from_batches(source, count):
    if isinstance(source, keras.utils.PyDataset):
        length = source.num_batches
        length = count if length is None else min(count, length)
        batches = [source[at] for at in range(length)]
    else:
        if isinstance(source, collections.abc.Iterator):
            count = 1  # What is taken is gone.
        batches = list(itertools.islice(source, count))
    if not batches:
        raise ValueError(
            f"{_OWNER}: `x` must hold at least one batch. Received: an empty "
            f"{type(source).__name__}. Pass the data that `fit` gets."
        )
    parts = []
    for batch in batches:
        if isinstance(batch, list):
            batch = tuple(batch)
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        parts.append(
            (
                keras.tree.map_structure(to_numpy, x),
                keras.tree.map_structure(to_numpy, y),
            )
        )
    sizes = {_shapes_behind(part) for part in parts}
    if len(sizes) > 1:
        parts = parts[:1]  # Padded to different lengths: one is enough.
    return tuple(
        keras.tree.map_structure(
            lambda *arrays: (
                None if arrays[0] is None else np.concatenate(arrays)
            ),
            *(part[at] for part in parts),
        )
        for at in (0, 1)
    )


def _taken(source):
    """Return in words what reading some batches takes away from `fit`."""
    if isinstance(source, collections.abc.Iterator):
        return (
            "One batch was taken from the generator: `fit` begins with the "
            "next.",
        )
    if hasattr(source, "element_spec") and _draws(source):
        return (
            "A pass of the `tf.data` pipeline was begun, which draws at "
            "random: `fit` gets the pass after it. Make the pipeline anew if "
            "that matters.",
        )
    return ()


def _draws(dataset):
    """Whether the passes of a `tf.data` pipeline may differ.

    Its parts are no public names of TensorFlow's: what cannot be read is taken
    to differ.
    """
    stack = [dataset]
    while stack:
        part = stack.pop()
        kind = type(part).__name__
        if any(word in kind for word in ("Shuffle", "Random", "Generator")):
            return True
        function = getattr(part, "_map_func", None)
        try:
            if function is not None:
                graph = function.function.graph
                if any(op.op_def.is_stateful for op in graph.get_operations()):
                    return True
            stack.extend(part._inputs())
        except AttributeError:
            return True
    return False


def _shapes_behind(part):
    return tuple(leaf.shape[1:] for leaf in _leaves(part))


def _rows(structure, count, rows):
    if structure is None:
        return None
    if count <= rows:
        return structure
    at = np.linspace(0, count - 1, rows).astype(int)
    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else leaf[at], structure
    )


def _affordable(structure, count):
    if structure is None:
        return None
    size = sum(leaf.size for leaf in _leaves(structure))
    return (
        structure
        if size <= _READ_WHOLE
        else _rows(structure, count, _SOME_ROWS)
    )


def numbers(array):
    """Return whether an array holds numbers that can be measured."""
    return array is not None and array.dtype.kind in "biufc" and array.size > 0


def input_facts(arrays):
    """Return the `DataFacts` of what comes into the first layers.

    Args:
        arrays: List of float arrays (rows, ..., features).
    """
    arrays = [a.astype(np.float64) for a in arrays if numbers(a)]
    if not arrays or not all(np.isfinite(a).all() for a in arrays):
        return DataFacts()
    count = sum(a.size for a in arrays)
    mean = sum(a.sum() for a in arrays) / count
    square = sum(np.square(a).sum() for a in arrays) / count
    found = []
    for array in arrays:
        flat = array.reshape(-1, array.shape[-1])
        if len(flat) > 1:
            found.append(flat.std(axis=0))
    scales = np.concatenate(found) if found else np.zeros(0)
    scales = scales[scales > 1e-12 * max(1.0, scales.max(initial=0.0))]
    return DataFacts(
        input_min=float(min(a.min() for a in arrays)),
        input_max=float(max(a.max() for a in arrays)),
        input_mean=float(mean),
        input_std=float(np.sqrt(max(0.0, square - mean**2))),
        feature_scale_min=float(scales.min()) if len(scales) else None,
        feature_scale_max=float(scales.max()) if len(scales) else None,
    )


def target_facts(y, prediction=None):
    """Return the `DataFacts` of targets and of what the model gives for them.

    Args:
        y: Array of targets.
        prediction: Array of outputs of the model for some rows, or None.
    """
    facts: dict = {}
    if prediction is not None and np.isfinite(prediction).all():
        flat = prediction.astype(np.float64).reshape(len(prediction), -1)
        facts |= {
            "output_min": float(flat.min()),
            "output_max": float(flat.max()),
            "output_columns": int(prediction.shape[-1])
            if prediction.ndim > 1
            else 1,
            "output_spread": float(flat.std(axis=0).mean()),
        }
    if not numbers(y) or y.dtype.kind == "c":
        return DataFacts(**facts)
    values = y.astype(np.float64)
    if not np.isfinite(values).all():
        return DataFacts(**facts)
    columns = 1
    if values.ndim > 1 and (
        prediction is None or values.ndim >= prediction.ndim
    ):
        columns = int(values.shape[-1])
    total = values.sum(axis=-1) if columns > 1 else None
    return DataFacts(
        **facts,
        target_min=float(values.min()),
        target_max=float(values.max()),
        target_mean=float(values.mean()),
        target_std=float(values.std()),
        target_integer=bool((values == np.round(values)).all()),
        target_columns=columns,
        target_row_sum_is_one=None
        if total is None
        else bool(
            (np.isclose(total, 1, atol=1e-3) | (total == 0)).all()
            and (total != 0).any()
        ),
    )
