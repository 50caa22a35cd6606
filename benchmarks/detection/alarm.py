"""When a run is told of first."""

import keras


class FirstAlarm(keras.callbacks.Callback):
    """Notes when a monitor found anything first, as a share of the plan."""

    def __init__(self, monitor, epochs):
        super().__init__()
        self.monitor, self.epochs = monitor, epochs
        self.share = None
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.share is None and self.monitor.findings:
            part = (batch + 1) / (self.params.get("steps") or batch + 1)
            self.share = (self._epoch + part) / self.epochs

    def on_epoch_end(self, epoch, logs=None):
        if self.share is None and self.monitor.findings:
            self.share = (epoch + 1) / self.epochs
