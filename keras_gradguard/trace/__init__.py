"""What was recorded of a run: NumPy arrays, bounded, saved as one file."""

from keras_gradguard.trace.series import ACTIVATION_SERIES
from keras_gradguard.trace.series import DATA_SERIES
from keras_gradguard.trace.series import SERIES
from keras_gradguard.trace.trace import Trace

__all__ = ["ACTIVATION_SERIES", "DATA_SERIES", "SERIES", "Trace"]
