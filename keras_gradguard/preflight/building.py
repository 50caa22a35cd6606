"""Makes a model ready to be run beside its training."""

from typing import Any

import keras

from keras_gradguard._text import error_in_words
from keras_gradguard.models import graph
from keras_gradguard.models import keras_private
from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.rebuild import compile_like
from keras_gradguard.preflight import probe
from keras_gradguard.preflight import random_states

_OF_LAYERS = ("name", "trainable", "dtype")


class CannotRun(Exception):
    """A model could not be run on its data."""


def cannot_run(model: Any) -> str | None:
    """Return why a model can never be called, None if it can."""
    own = type(model).call is not keras.Model.call
    if own or graph.is_graph(model):
        return None
    return f"{type(model).__name__} has no `call` of its own."


def fixed_batch(model: Any) -> int | None:
    """Return the rows of a batch that a model is made for, None if any."""
    if not graph.is_graph(model):
        return None
    try:
        sizes = {tensor.shape[0] for tensor in model.inputs}
    except (AttributeError, ValueError):
        return None  # A `Sequential` that does not know its inputs yet.
    return min(sizes - {None}, default=None)


def trains_its_own_way(model: Any) -> bool:
    """Whether `fit` may do something else with a batch than to call a model."""
    return type(model).train_step is not keras.Model.train_step


def built(
    model: Any, x: Any, batch_size: int, notes: list[str]
) -> tuple[Any, bool]:
    """Return a model all of whose layers are built, and if it is a copy.

    Args:
        model: A Keras model.
        x: Structure of arrays.
        batch_size: Int. Rows of a batch.
        notes: List of str. What was done is added to it.

    Raises:
        CannotRun: If it cannot be called on the data.
    """
    if model.built and all(layer.built for layer in forward_layers(model)):
        return model, False
    x = keras.tree.map_structure(
        lambda leaf: None if leaf is None else leaf[:batch_size], x
    )
    copy = None
    if not model.built:
        with random_states.random_state_kept():
            copy = _copy(model)
            if copy is not None:
                _build(copy, x)
    if copy is not None and copy.built:
        notes.append(
            "The model is not built yet: a copy with weights of its own was "
            "judged."
        )
        return copy, True
    fresh, before = not model.built, len(model.weights)
    # Its weights are drawn here and not in `fit`, from the same numbers.
    _build(model, x)
    if len(model.weights) > before:
        what = (
            "The model was not built yet, and no copy could be made"
            if fresh
            else "Some layers were not built yet"
        )
        notes.append(f"{what}: built now, as `fit` would have done.")
    return model, fresh


def _build(model: Any, x: Any) -> None:
    try:
        keras_private.build_from(model, x, **probe.training_argument(model))
    except Exception as error:
        raise failure(error) from error


def failure(error: Exception) -> CannotRun:
    """Return what to raise where a model fails on its data."""
    return CannotRun(
        "check: running the model failed on the first batch with "
        f"{error_in_words(error)}. Expected `x` as `fit` takes it. Compare "
        "its shapes and types with the model's inputs. Where the rows of a "
        "batch belong together, pass the `batch_size` of `fit`."
    )


@keras_private.without_tensorflow()
def _copy(model: Any) -> Any:
    """Return a compiled copy of a model, None where none can be made."""
    try:
        # Passes on layers that a user's own class makes.
        copy = _like(model)
        compile_like(copy, model)
    except Exception:
        return None
    return copy if copy.compiled is model.compiled else None


def _like(model: Any) -> Any:
    """Return a model of the same class, made with the same arguments."""
    config = model.get_config()
    try:
        return type(model).from_config(config)
    except TypeError:
        # Keras notes what every layer takes, and many classes take none of it.
        return type(model)(
            **{k: v for k, v in config.items() if k not in _OF_LAYERS}
        )
