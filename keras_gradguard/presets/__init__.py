"""Initializer and activation pairings, for any activation and any layer."""

from keras_gradguard.presets.arguments import for_activation
from keras_gradguard.presets.arguments import get
from keras_gradguard.presets.gains import Moments
from keras_gradguard.presets.gains import gain
from keras_gradguard.presets.gains import moments
from keras_gradguard.presets.initializers import GateBias
from keras_gradguard.presets.initializers import PairedInitializer
from keras_gradguard.presets.initializers import PerGate
from keras_gradguard.presets.pairings import Pairing
from keras_gradguard.presets.pairings import names
from keras_gradguard.presets.pairings import pairing
from keras_gradguard.presets.pairings import squared_relu

__all__ = [
    "GateBias",
    "Moments",
    "PairedInitializer",
    "Pairing",
    "PerGate",
    "for_activation",
    "gain",
    "get",
    "moments",
    "names",
    "pairing",
    "squared_relu",
]
