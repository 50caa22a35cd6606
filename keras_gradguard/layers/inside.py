"""All layers of a model, those inside of others too."""

from typing import Any

import keras

from keras_gradguard._validation import shown
from keras_gradguard.models.layers import forward_layers


def inside(model: Any) -> list[Any]:
    """Return all layers inside a model, those inside of its layers too.

    Keras lists the layers of a model, not those that a layer of your own or a
    model in it holds. Each comes once, in the order of the forward pass where
    it is known.

    Args:
        model: A Keras model or layer.

    Returns:
        List of layers, without `model`.

    Raises:
        TypeError: If `model` is neither.

    Example:
    >>> import keras
    >>> import keras_gradguard as kgg
    >>> inner = keras.Sequential([keras.layers.Dense(2, name="deep")])
    >>> model = keras.Sequential([inner, keras.layers.Dense(1, name="out")])
    >>> [layer.name for layer in kgg.layers.inside(model)][1:]
    ['deep', 'out']
    """
    if not isinstance(model, keras.Layer):
        raise TypeError(
            f"layers.inside: `model` must be a Keras model or layer. Received: "
            f"model={shown(model)} (of type {type(model).__name__})."
        )
    return forward_layers(model)[1:]
