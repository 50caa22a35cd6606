"""Initializer and activation pairings, for any activation and any layer."""

# First, so that all modules here are whole when ours are registered with it.
import keras  # noqa: F401

from keras_gradguard.presets.arguments import for_activation
from keras_gradguard.presets.arguments import get
from keras_gradguard.presets.convert import convert
from keras_gradguard.presets.gains import Moments
from keras_gradguard.presets.gains import gain
from keras_gradguard.presets.gains import moments
from keras_gradguard.presets.gates import GateBias
from keras_gradguard.presets.gates import PerGate
from keras_gradguard.presets.initializers import PairedInitializer
from keras_gradguard.presets.inspection.inspect import InitializationProblem
from keras_gradguard.presets.inspection.inspect import inspect_initialization
from keras_gradguard.presets.lsuv import LSUVResult
from keras_gradguard.presets.lsuv import lsuv
from keras_gradguard.presets.pairings import Pairing
from keras_gradguard.presets.pairings import names
from keras_gradguard.presets.pairings import pairing
from keras_gradguard.presets.pairings import squared_relu
from keras_gradguard.presets.plan import Change

__all__ = [
    "Change",
    "GateBias",
    "InitializationProblem",
    "LSUVResult",
    "Moments",
    "PairedInitializer",
    "Pairing",
    "PerGate",
    "convert",
    "for_activation",
    "gain",
    "get",
    "inspect_initialization",
    "lsuv",
    "moments",
    "names",
    "pairing",
    "squared_relu",
]
