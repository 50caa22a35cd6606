"""What a run was trained with, for TensorBoard's HParams dashboard."""

import math
import time

from keras_gradguard._optional import tensorboard

# What of `Trace.meta` sets a run apart from another one.
_KEYS = (
    "model",
    "backend",
    "optimizer",
    "learning_rate",
    "loss_name",
    "epochs_planned",
    "steps_per_epoch",
)


class Session:
    """Writes the start and the end of a run, each once.

    Args:
        file: `EventFile`.
    """

    def __init__(self, file):
        self._file = file
        self._started = False

    def start(self, trace):
        """Write what the run is trained with, if that is known.

        Args:
            trace: `keras_gradguard.Trace`.
        """
        values = hyperparameters(trace.meta)
        if self._started or not values:
            return
        self._started = True
        data = tensorboard("plugins.hparams.plugin_data_pb2")
        info = data.SessionStartInfo(start_time_secs=time.time())
        for name, value in values.items():
            if isinstance(value, str):
                info.hparams[name].string_value = value
            else:
                info.hparams[name].number_value = value
        self._write(
            "SESSION_START_INFO_TAG",
            data.HParamsPluginData(session_start_info=info),
        )

    def end(self):
        """Write that the run came to its end."""
        if not self._started:
            return
        data = tensorboard("plugins.hparams.plugin_data_pb2")
        api = tensorboard("plugins.hparams.api_pb2")
        info = data.SessionEndInfo(
            status=api.STATUS_SUCCESS, end_time_secs=time.time()
        )
        self._write(
            "SESSION_END_INFO_TAG",
            data.HParamsPluginData(session_end_info=info),
        )

    def _write(self, tag, data):
        metadata = tensorboard("plugins.hparams.metadata")
        self._file.write_proto(
            time.time(),
            0,
            getattr(metadata, tag),
            metadata.NULL_TENSOR,
            metadata.create_summary_metadata(data),
        )


def hyperparameters(meta):
    """Return dict of name to str or float, of what `meta` knows.

    Args:
        meta: Dict. `Trace.meta`.
    """
    known: dict = {}
    for key in _KEYS:
        value = meta.get(key)
        if isinstance(value, dict):
            value = value.get("class")
        if isinstance(value, str):
            known[key] = value
        elif isinstance(value, int | float) and math.isfinite(value):
            known[key] = float(value)
    return known
