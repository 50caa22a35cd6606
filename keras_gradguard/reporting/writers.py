"""What writes a run into its `log_dir`."""

from keras_gradguard.reporting.run_directory import RunWriter
from keras_gradguard.reporting.tensorboard.writer import EventWriter

# Subclasses of `Reporter` that take the directory; each hears of each event.
WRITERS = (RunWriter, EventWriter)
