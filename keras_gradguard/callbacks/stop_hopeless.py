"""Ends the trials of a search that cannot work."""

from typing import Any

import numpy as np

from keras_gradguard import _validation
from keras_gradguard._optional import require
from keras_gradguard.callbacks.base import Callback
from keras_gradguard.callbacks.gradient_monitor import GradientMonitor
from keras_gradguard.callbacks.keras_tuner_trial import make_finite
from keras_gradguard.callbacks.keras_tuner_trial import objectives_of
from keras_gradguard.callbacks.keras_tuner_trial import tuner_callback
from keras_gradguard.diagnosis import diagnose
from keras_gradguard.diagnosis.hopeless import why_hopeless
from keras_gradguard.findings.finding import Finding

_OWNER = "stop_hopeless"
_KEY = "gradguard"
# Records before the first look, and by which factor they grow from look to
# look: a look costs as much as some steps of a small network.
_FIRST, _GROWTH = 16, 1.25


def stop_hopeless(trial: Any = None) -> "StopHopeless":
    """Return a callback that ends a training which cannot work.

    Put it into the callbacks of a search over hyperparameters. It watches each
    trial, and at the end of an epoch it ends one in which a critical finding
    is confirmed while the loss has not come down at all and no small gradient
    of a layer rises, or in which no gradient is finite any more. It says so at
    two looks in a row before it acts, and not before 64 updates unless no
    gradient is finite. A trial that learns, however badly, goes on, and so
    does one that is in its last epoch.

    The search goes on, too:

    * KerasTuner: the trial is COMPLETED, with the score that it has reached,
      and its `message` is the verdict. It is not FAILED: three of these in a
      row would end the search. For the same reason a NaN of the objective in
      the history of an ended trial becomes the worst score so far.
    * Optuna: pass the trial, `stop_hopeless(trial)`. It is PRUNED, and its
      user attribute `"gradguard"` is the verdict.
    * Others: `model.stop_training` becomes True, and `verdict` says why.

    Args:
        trial: Trial of Optuna that is to be pruned. Defaults to None.

    Returns:
        A `StopHopeless`, a callback with the attribute `verdict`: a str, or
        None where nothing was ended.

    Raises:
        TypeError: If `trial` is none of Optuna.
        ImportError: If a trial is pruned and Optuna is not installed.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_gradguard as kgg
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> _ = model.layers[0].kernel.assign(np.full((4, 1), np.nan))
    >>> stop = kgg.stop_hopeless()
    >>> x, y = np.ones((256, 4)), np.ones((256, 1))
    >>> history = model.fit(
    ...     x, y, batch_size=8, epochs=50, verbose=0, callbacks=[stop]
    ... )
    >>> len(history.epoch) < 5
    True
    >>> stop.verdict.split(":")[0]
    'nonfinite_gradient (critical)'
    """
    return StopHopeless(trial)


class StopHopeless(Callback):
    """The callback that `keras_gradguard.stop_hopeless` returns.

    Args:
        trial: Trial of Optuna, or None.

    Attributes:
        verdict: Str. Why the training was ended, or None.
        finding: The `Finding` that it tells, or None.
        monitor: The `GradientMonitor` that watches.
    """

    def __init__(self, trial: Any = None) -> None:
        super().__init__()
        if trial is not None and not hasattr(trial, "set_user_attr"):
            _validation.fail(
                TypeError,
                _OWNER,
                "trial",
                "a trial of Optuna, or None",
                trial,
                "KerasTuner's needs not be passed.",
                show_type=True,
            )
        self.trial = trial
        self.monitor = GradientMonitor(verbose=0, on_finding="ignore")
        self._reset()

    def _reset(self) -> None:
        self.verdict: str | None = None
        self.finding: Finding | None = None
        self._looked_at = _FIRST / _GROWTH
        self._suspect = False
        self._objectives: list = []

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        self.monitor.set_params(params)

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self.monitor.set_model(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._reset()
        self.monitor.on_train_begin(logs)

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self.monitor.on_epoch_begin(epoch, logs)

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self.monitor.on_train_batch_begin(batch, logs)

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self.monitor.on_epoch_end(epoch, logs)
        # A failure of ours ends no trial, nor has the last epoch one to end.
        if not self._is_over(epoch, logs or {}):
            self.monitor._watch.guard(self._look)
        if self.verdict is not None and self.trial is not None:
            self.trial.set_user_attr(_KEY, self.verdict)
            optuna = require("optuna", "optuna", _OWNER)
            raise optuna.TrialPruned(self.verdict)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.monitor.on_train_end(logs)
        if self._objectives:
            make_finite(self._model.history.history, self._objectives)

    def _is_over(self, epoch: int, logs: dict[str, Any]) -> bool:
        """Whether the plan is fulfilled, with a score that can be told."""
        planned = (self.params or {}).get("epochs")
        if planned is None or epoch + 1 < planned:
            return False
        return bool(np.isfinite(logs.get("loss", np.nan)))

    def _look(self) -> None:
        self.monitor.flush()
        trace = self.monitor.trace
        if trace.records_seen < _GROWTH * self._looked_at:
            return
        self._looked_at = trace.records_seen
        finding = why_hopeless(trace, diagnose(trace).ranked)
        if finding is not None and self._suspect:
            self._end(finding)
        self._suspect = finding is not None

    def _end(self, finding: Finding) -> None:
        self.finding, self.verdict = finding, str(finding)
        self._model.stop_training = True
        tuner = tuner_callback()
        if tuner is not None:
            tuner.trial.message = self.verdict
            self._objectives = objectives_of(tuner)
