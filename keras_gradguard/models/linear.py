"""Hidden layers between which nothing bends the signal."""

import keras

from keras_gradguard.models import graph
from keras_gradguard.models.layers import layer_path

_L = keras.layers
# What has no weights and is linear; dropout is, but for its draws.
_PLAIN = (
    _L.Dropout,
    _L.Identity,
    _L.Flatten,
    _L.Reshape,
    _L.Permute,
    _L.Rescaling,
    _L.Normalization,
    _L.BatchNormalization,
    _L.ZeroPadding1D,
    _L.ZeroPadding2D,
    _L.AveragePooling1D,
    _L.AveragePooling2D,
    _L.GlobalAveragePooling1D,
    _L.GlobalAveragePooling2D,
    _L.Add,
    _L.Concatenate,
)
_WITH_KERNEL = (_L.Dense, _L.Conv1D, _L.Conv2D)


def linear_layers(model):
    """Return the hidden layers of a model that is linear up to its last ones.

    Layers without an activation between them are together one linear layer,
    however many they are (a product of matrices is a matrix).

    Args:
        model: A Keras model.

    Returns:
        List of str. Paths of the hidden dense and convolutional layers where
        all that stands before the last layers with weights is linear. Empty
        where something is not, where it is not known, or where nothing is
        hidden.
    """
    if not graph.is_graph(model) or not model.built:
        return []
    hidden = []
    for node in graph.nodes(model):
        last = graph.is_output(node)
        if isinstance(node.inner, _WITH_KERNEL):
            if last:
                continue
            if node.inner.activation is not keras.activations.linear:
                return []
            hidden.append(layer_path(node.layer))
        elif not isinstance(node.layer, _PLAIN) and not last:
            return []
    return hidden
