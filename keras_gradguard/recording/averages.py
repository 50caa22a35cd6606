"""How far the averages of BatchNormalization still are from the data."""

import keras
import numpy as np

from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.layers import layer_path
from keras_gradguard.models.values import host_copy

# Of their start this is left at least, or rounding tells what is.
_LEFT = 1e-4


class Averages:
    """Watches the variances that a model keeps for its predictions.

    Each batch moves one to the batch's by a share of `1 - momentum`. So what
    is left of its start is known, and with it the mean variance of the data.

    Args:
        model: A built Keras model.
    """

    def __init__(self, model):
        self._layers = [
            layer
            for layer in forward_layers(model)
            if isinstance(layer, keras.layers.BatchNormalization)
            and layer.built
            and layer.trainable
            and 0 < layer.momentum < 1
        ]
        self._starts = self._read()

    def of_the_data(self, updates):
        """Return how many times as large as the data's they still are.

        Args:
            updates: Int. Batches since they were watched first.

        Returns:
            Dict from the path of a layer to the median over its channels, of
            those that their start has a share in; None without such layers.
        """
        if not self._layers:
            return None
        found = {}
        for layer, start, now in zip(
            self._layers, self._starts, self._read(), strict=True
        ):
            left = layer.momentum**updates
            if not _LEFT < left < 1:
                continue
            seen = (now - left * start) / (1 - left)
            # Below that is rounding.
            seen = np.maximum(seen, 1e-6 * np.abs(now))
            with np.errstate(all="ignore"):
                times = float(np.median(now / seen))
            if np.isfinite(times):
                found[layer_path(layer)] = times
        return found

    def _read(self):
        return [
            host_copy(layer.moving_variance).astype(np.float64)
            for layer in self._layers
        ]
