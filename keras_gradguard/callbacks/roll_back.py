"""Sets a training that was lost back to where it was well."""

from typing import Any

import numpy as np

from keras_gradguard import _validation
from keras_gradguard._text import count
from keras_gradguard.callbacks.losses_so_far import WINDOW
from keras_gradguard.callbacks.losses_so_far import LossesSoFar
from keras_gradguard.callbacks.outlet import Outlet
from keras_gradguard.callbacks.saved_state import SavedState
from keras_gradguard.callbacks.saved_state import is_between_updates
from keras_gradguard.callbacks.saved_state import learning_rates
from keras_gradguard.callbacks.watch import WatchingCallback
from keras_gradguard.capsule.faults import global_norms
from keras_gradguard.models import run_info
from keras_gradguard.models.values import host_copy
from keras_gradguard.recording.recording import recording_of
from keras_gradguard.reporting.console import say

_OWNER = "RollBack"


class RollBack(WatchingCallback):
    """Goes back to the last good weights when a training is lost.

    One bad batch or one step too far can end a long training. This callback
    keeps a copy of the weights and of the optimizer's state. When the training
    is lost, it writes the copy back, lowers the learning rate, and training
    goes on with the next batch. Where all is well for `save_freq` batches, the
    rate is what it was again; if training is lost again before, or within as
    many batches after, it stays low. Each time it says so.

    A training counts as lost when the gradient is not finite (and the
    optimizer did not skip the step), or when the median loss of ten batches
    has risen. It has risen if half of what was learnt is gone, if it is six
    times as large as at the copy, or if a run that had learnt nothing has six
    times its first loss; always by six standard deviations of single batches
    at least. So it is for losses that are to fall, not for those of a GAN.

    One abnormal step is undone, too: its gradient, after clipping, is finite
    and over a hundred times the median of the last 64, and its loss far above
    theirs. Adam's averages would remember such a batch for a thousand steps.
    A capsule is written at the same gradients. Once `max_rollbacks` are used
    up, such batches are left alone: they are the data's.

    It looks every ten batches. The copy is replaced when all is well then.
    There is one copy, in the memory of the host: as many bytes as the weights
    and the optimizer's state.

    Args:
        factor: Number in (0, 1]. What the learning rate is multiplied by each
            time. 1 leaves it, as a rate that a schedule sets has to be left.
            Defaults to 0.5.
        max_rollbacks: Integer >= 1. How often it may go back in one `fit`. If
            the training is lost once more, the copy is written back and
            training ends. Defaults to 3.
        save_freq: Integer >= 1. Batches from copy to copy, at least. Larger
            costs less time, and loses more batches. Defaults to 100.
        verbose: 0 or 1. 1 prints a line each time. Defaults to 1.

    Attributes:
        rollbacks: List of dicts, one for each time: `"epoch"` and `"batch"`
            where it was seen, `"reason"`, `"to_epoch"` and `"to_batch"` of the
            copy, `"learning_rates"` from then on, and `"ended"`, whether it
            ended the training.

    Raises:
        TypeError: For an argument of the wrong type.
        ValueError: For a value out of range; when training starts, for a
            `factor` below 1 with a schedule.
        RuntimeError: When training starts in several processes.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_gradguard as kgg
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> x, y = np.ones((320, 4)), np.ones((320, 1))
    >>> y[200] = np.nan
    >>> back = kgg.RollBack(save_freq=10, verbose=0)
    >>> history = model.fit(
    ...     x, y, batch_size=8, verbose=0, shuffle=False, callbacks=[back]
    ... )
    >>> back.rollbacks[0]["reason"]
    'the gradient is not finite'
    >>> bool(np.isfinite(model.get_weights()[0]).all())
    True

    Notes:
        Counters of steps and the seeds of dropout go on. The metrics of the
        epoch begin anew, since NaN would stay in their means. A healthy
        training is the same bit for bit.
    """

    hint_for_loops = "it sees, and goes back, in `fit` alone"
    _owner = _OWNER
    _of_a_fit = ("_state",)

    def __init__(
        self,
        factor: float = 0.5,
        max_rollbacks: int = 3,
        save_freq: int = 100,
        verbose: int = 1,
    ) -> None:
        super().__init__()
        self.factor = _validation.check_number(
            _OWNER,
            "factor",
            factor,
            above=0,
            maximum=1,
            hint="Pass 0.5 to halve the learning rate, 1 to leave it.",
        )
        self.max_rollbacks = _validation.check_int(
            _OWNER,
            "max_rollbacks",
            max_rollbacks,
            minimum=1,
            hint="Pass 3 to go back three times at most.",
        )
        self.save_freq = _validation.check_int(
            _OWNER,
            "save_freq",
            save_freq,
            minimum=1,
            hint="Pass 100 for a copy every hundred batches.",
        )
        self.verbose = _validation.check_choice(
            _OWNER, "verbose", verbose, (0, 1), hint="Pass 0 for silence."
        )
        self._outlet = Outlet(_OWNER)
        self._reset()

    def _reset(self) -> None:
        self.rollbacks: list[dict[str, Any]] = []
        self._losses = LossesSoFar()
        self._state: Any = None
        self._leaves_spikes = False
        # (epoch, batch) of now and of the copy.
        self._at = self._saved_at = (0, -1)
        self._unchecked = self._unsaved = 0
        # Rates before they were lowered and since, and batches since then.
        self._lowered: Any = None
        self._since_change: int | None = None

    # Keras calls these

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        model = self._model
        run_info.check_model(_OWNER, model)
        self._outlet.begin(model)
        if not self._outlet.is_alone:
            raise RuntimeError(
                f"{_OWNER}: one process cannot go back without the others. "
                f"Expected one but found {self._outlet.processes}. Leave it "
                "out, or train in one process."
            )
        if self.factor < 1 and not learning_rates(model):
            _validation.fail(
                ValueError,
                _OWNER,
                "factor",
                "1 where a schedule sets the learning rate",
                self.factor,
                "Pass factor=1, or a number as the learning rate.",
            )
        self._reset()
        self._watch.start(recording_of(model), self.params.get("steps"))
        self._watch.guard(self._begin)

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._at = epoch, -1
        self._watch.epoch_begin()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        super().on_train_batch_end(batch, logs)
        epoch, before = self._at
        self._at = epoch, batch
        self._unchecked += batch - before
        self._unsaved += batch - before
        if self._since_change is not None:
            self._since_change += batch - before
        if self._unchecked >= WINDOW:
            self._watch.guard(self._check)

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._watch.guard(self._check)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._watch.finish(self._check)
        self._state = None

    # The recording calls these

    def on_block(self, block: Any) -> None:
        """Take in the losses of some updates."""
        gradients = block.grad_norm[:, block.has_gradient]
        applied = ~block.skipped
        losses = None if block.loss is None else block.loss[applied]
        norms = block.records["clipped_grad_norm"]
        norms = global_norms(block) if norms is None else norms
        finite = np.isfinite(gradients).all(axis=1)
        self._losses.add(losses, finite[applied], norms[applied])

    def on_left(self) -> None:
        """Let go of the copy: an exception has left the fit."""
        self._let_go()

    # Inside

    def _begin(self) -> None:
        model = self._model
        if model.built and model.optimizer.built:
            self._save()

    def _check(self) -> None:
        self._unchecked = 0
        self._watch.recording.flush()
        reason = self._losses.why_lost() or self._why_spike()
        if reason is not None:
            self._go_back(reason)
            return
        if self._lowered is not None and self._has_held():
            self._raise_again()
        if self._is_due() and is_between_updates(self._model):
            self._save()

    def _why_spike(self) -> str | None:
        """Return in words that a spike is to be undone, or None.

        Where so many came, they are the data's, and that ends no training.
        """
        reason = self._losses.why_spike()
        tries = len(self.rollbacks)
        if reason is None or (self._state and tries < self.max_rollbacks):
            return reason
        self._losses.leave_spike()
        if not self._leaves_spikes:
            undone = f"That was undone {count(tries, 'time')}"
            why = undone if self._state else "There is no copy yet"
            self._say(f"{reason}. {why}, and training goes on with it.")
        self._leaves_spikes = self._state is not None
        return None

    def _is_due(self) -> bool:
        due = self._state is None or self._unsaved >= self.save_freq
        return due and self._losses.is_good()

    def _has_held(self) -> bool:
        held = self._since_change or 0
        return held >= self.save_freq and self._losses.is_good()

    def _raise_again(self) -> None:
        """Give the rates back: what was lost has not been lost once more."""
        (before, lower), self._lowered = self._lowered, None
        self._since_change = 0
        rates, now = self._rates()
        if not np.allclose(now, lower):
            return  # somebody else has set them
        for rate, value in zip(rates, before, strict=True):
            rate.assign(value)
        shown = ", ".join(f"{value:.3g}" for value in before)
        self._say(f"all is well, and the learning rate is {shown} again.")

    def _save(self) -> None:
        state = SavedState(self._model, self._watch.recording.ring_ids)
        if state.is_finite():
            self._state, self._saved_at = state, self._at
            self._unsaved = 0
            self._losses.keep()

    def _go_back(self, reason: str) -> None:
        model = self._model
        self._losses.forget()
        if self._state is None:
            model.stop_training = True
            self._tell(reason, "There is no copy yet, and training ends", True)
            return
        rates, lower = self._rates()
        self._state.restore()
        # NaN would stay in their means until the epoch ends.
        model.reset_metrics()
        ended = len(self.rollbacks) >= self.max_rollbacks
        if ended:
            model.stop_training = True
            what = "training ends with them"
        else:
            before, lower = lower, [rate * self.factor for rate in lower]
            # Lost again so soon: the rate was the cause, and stays low.
            soon = self._since_change is not None and (
                self._lowered is not None
                or self._since_change <= self.save_freq
            )
            self._lowered = None if soon else (before, lower)
            self._since_change = 0
            shown = ", ".join(f"{rate:.3g}" for rate in lower)
            what = (
                f"the learning rate {f'is {shown} now' if lower else 'stays'}"
            )
        for rate, value in zip(rates, lower, strict=True):
            rate.assign(value)
        self._unsaved = 0
        epoch, batch = self._saved_at
        where = (
            "the start" if batch < 0 else f"epoch {epoch + 1}, batch {batch}"
        )
        self._tell(
            reason,
            f"Weights and optimizer are those of {where} again, and {what}",
            ended,
            lower,
        )

    def _tell(
        self, reason: str, what: str, ended: bool, rates: list | None = None
    ) -> None:
        epoch, batch = self._at
        self.rollbacks.append(
            {
                "epoch": epoch,
                "batch": batch,
                "reason": reason,
                "to_epoch": self._saved_at[0],
                "to_batch": self._saved_at[1],
                "learning_rates": rates or [],
                "ended": ended,
            }
        )
        tries = f"{len(self.rollbacks)} of at most {self.max_rollbacks}"
        self._say(f"{reason}. {what} ({tries}).")

    def _rates(self) -> tuple[list, list]:
        rates = learning_rates(self._model)
        return rates, [float(host_copy(rate)) for rate in rates]

    def _say(self, text: str) -> None:
        if self.verbose:
            epoch, batch = self._at
            where = f"epoch {epoch + 1}, batch {batch}"
            say(f"GradGuard {_OWNER}, {where}: {text}")
