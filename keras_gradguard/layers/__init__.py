"""Keras layers that pair weights, activation, normalization and dropout."""

from keras_gradguard.layers.inside import inside
from keras_gradguard.layers.paired import PairedConv1D
from keras_gradguard.layers.paired import PairedConv2D
from keras_gradguard.layers.paired import PairedConv3D
from keras_gradguard.layers.paired import PairedDense
from keras_gradguard.models.residual import Residual
from keras_gradguard.models.residual import ScaledAdd

__all__ = [
    "PairedConv1D",
    "PairedConv2D",
    "PairedConv3D",
    "PairedDense",
    "Residual",
    "ScaledAdd",
    "inside",
]
