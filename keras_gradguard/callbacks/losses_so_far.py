"""Whether a loss that was falling has been lost again."""

import collections

import numpy as np

from keras_gradguard._text import number
from keras_gradguard.capsule import faults

WINDOW = 10
# Of what was learnt, so much is lost; but a loss this many times as large, or
# this many standard deviations away, is enough.
_SHARE, _TIMES, _DEVIATIONS = 0.5, 5.0, 6.0


class LossesSoFar:
    """The losses of the latest updates, compared with those at a good state.

    Attributes:
        first: Float. The first loss, NaN if there is none yet.
        good: Float. Median of the losses before the latest good state.
    """

    def __init__(self) -> None:
        self._latest: list[float] = []
        self._finite: list[bool] = []
        self.first = self.good = float("nan")
        self._spread = 0.0
        self._usual_norms, self._usual_losses = (
            collections.deque[float](maxlen=faults.WINDOW) for _ in range(2)
        )
        self._spike: tuple[float, float] | None = None

    def add(
        self,
        losses: np.ndarray | None,
        finite: np.ndarray,
        norms: np.ndarray,
    ) -> None:
        """Take in records.

        Args:
            losses: Float array (n,), or None if they are not known.
            finite: Bool array (n,). Whether the update left finite weights.
            norms: Float array (n,). Norms of the gradients that the updates
                were made of, after clipping.
        """
        self._finite = [*self._finite, *finite.tolist()][-WINDOW:]
        known = np.full(len(norms), np.nan) if losses is None else losses
        for norm, loss in zip(norms.tolist(), known.tolist(), strict=True):
            self._look(norm, loss)
        if losses is not None:
            known = np.asarray(losses, np.float64).tolist()
            self._latest = [*self._latest, *known][-WINDOW:]
            # Of the first batch alone: the next may be thrown far off.
            if np.isnan(self.first) and np.isfinite(known[:1]).any():
                self.first = self.good = known[0]

    def _look(self, norm: float, loss: float) -> None:
        """Note a spike: both the gradient and the loss left their history.

        A gradient alone may grow so where a network begins to learn.
        """
        usual = self._usual_norms
        if (
            self._spike is None
            and np.isfinite(norm)
            and faults.is_spike(norm, usual)
            and (np.isnan(loss) or self._is_far(loss))
        ):
            self._spike = norm, float(np.median(usual))
        if np.isfinite(norm):
            self._usual_norms.append(norm)
        if np.isfinite(loss):
            self._usual_losses.append(loss)

    def _is_far(self, loss: float) -> bool:
        before = np.array(self._usual_losses)
        if not len(before) or not np.isfinite(loss):
            return False
        usual = np.median(before)
        away = _DEVIATIONS * deviation(before)
        return bool(loss > usual + max(away, abs(usual)))

    def forget(self) -> None:
        """Begin anew after the weights were set back."""
        self._latest, self._finite, self._spike = [], [], None

    def leave_spike(self) -> bool:
        """Let a spike be; return whether there was one."""
        spike, self._spike = self._spike, None
        return spike is not None

    @property
    def is_known(self) -> bool:
        """Whether there are enough losses, all finite."""
        latest = self._latest
        return len(latest) == WINDOW and bool(np.isfinite(latest).all())

    @property
    def late(self) -> float:
        """Median of the latest losses."""
        return float(np.median(self._latest))

    def is_good(self) -> bool:
        """Whether the state that these updates led to may be kept."""
        if not all(self._finite) or not self._finite:
            return False
        if not self._latest:
            return True  # the model tells no loss
        if not self.is_known or np.isnan(self.good):
            return False
        # The last batch counts most: its gradient has just moved the weights.
        highest = max(max(self._latest[-3:]), self.late)
        return highest <= self.good + self._margin() / 2 + 3 * self._deviation()

    def keep(self) -> None:
        """Note that the state was kept."""
        if self.is_known:
            self.good, self._spread = self.late, self._deviation()

    def why_spike(self) -> str | None:
        """Return in words that one step was far out of its history, or None."""
        if self._spike is None:
            return None
        norm, usual = (number(value, 3) for value in self._spike)
        return f"one batch had a gradient of norm {norm}, usual is {usual}"

    def why_lost(self) -> str | None:
        """Return in words why the training has to go back, or None."""
        if self._finite and not self._finite[-1]:
            return "the gradient is not finite"
        if len(self._latest) == WINDOW and not np.isfinite(self._latest).any():
            return "the loss is not finite"
        if not self.is_known or np.isnan(self.good):
            return None
        if self.late > self.good + self._margin():
            good, late = number(self.good, 4), number(self.late, 4)
            return f"the loss went from {good} to {late}"
        return None

    def _margin(self) -> float:
        learnt = _SHARE * (self.first - self.good)
        if learnt <= 0:
            learnt = _TIMES * abs(self.good)
        most = min(learnt, _TIMES * abs(self.good))
        return max(most, _DEVIATIONS * self._spread)

    def _deviation(self) -> float:
        return deviation(np.array(self._latest))


def deviation(values: np.ndarray) -> float:
    """Return the standard deviation, as the median tells it.

    Args:
        values: Float array (n,), not empty.
    """
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
