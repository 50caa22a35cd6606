"""What happens to an update whose gradients are not finite."""

import warnings
from typing import Any

import keras
from keras import ops

from keras_gradguard import _backend
from keras_gradguard.exceptions import GradGuardWarning
from keras_gradguard.models import keras_private
from keras_gradguard.optimizers._observer import ClipObserver

_RAISED = (
    "AutoClip: the update failed at a step with gradients that are not "
    "finite. Expected numbers but found NaN or infinity. Mostly, the loss or "
    "the batch has them too. Check the data, lower the learning rate, or pass "
    '`nonfinite="skip"`.'
)


class NonfiniteGuard:
    """Skips, zeroes or refuses an update, and counts.

    Args:
        policy: `"skip"`, `"zero"`, `"propagate"` or `"raise"`.
        warn_after: Skips in a row after which the user is warned.
        exact: Whether a finite update must keep its bits, see `branch`.
        inner: The optimizer that applies the update.
        skip_above: Multiple of the latest threshold above which a finite norm
            is skipped, too, or None.

    Attributes:
        counts: int32 variable, whose last three entries are skipped updates,
            how many of them are in the latest row of skips, and the value of
            the inner optimizer's counter when that row began.
        is_finite: Bool scalar, of the update that is running: whether its
            norm is one to apply.
        latest_threshold: Function to the threshold of the latest update,
            infinite before the first.
        runs_both_sides: Whether it runs the update and the skip, and then
            chooses.
        observer: `ClipObserver` that is called at each skip, or None.
    """

    def __init__(self, policy, warn_after, exact, inner, skip_above):
        self.policy = policy
        self.warn_after = warn_after
        self.exact = exact
        self.inner = inner
        self.skip_above = skip_above
        self.latest_threshold: Any = None
        self.counts: Any = None
        self.is_finite: Any = None
        self.runs_both_sides = False
        self.observer: ClipObserver | None = None
        self._warned_at = 0

    def run(self, norm, gradients, update, variables):
        """Apply `update` to `gradients`, if their norm is finite.

        Args:
            norm: Global norm of the gradients.
            gradients: List of gradients, some of them `None`.
            update: Function of the gradients that applies them.
            variables: Every variable that the update reads or changes.
        """
        is_finite = self._is_usable(norm)
        self.is_finite = is_finite
        backend = _backend.current()
        known = backend.known_now(is_finite)
        self.runs_both_sides = (
            self.policy == "skip"
            and known is None
            and backend.chooses_after(self.exact)
        )
        if self.policy == "skip":
            self._either(known, is_finite, lambda: update(gradients), variables)
        elif self.policy == "zero":
            counters = [self.counts, keras_private.counter(self.inner)]
            self._either(known, is_finite, lambda: None, counters)
            update([_zero_unless(is_finite, g) for g in gradients])
        else:
            if known is None:
                _assert_in_graph(is_finite)
            elif not known:
                raise RuntimeError(_RAISED)
            update(gradients)

    def _is_usable(self, norm: Any) -> Any:
        """Whether a norm is finite, and no spike that is to be skipped."""
        is_finite = ops.isfinite(norm)
        if self.skip_above is None:
            return is_finite
        # In this order, as the product may overflow.
        usual = norm / self.skip_above <= self.latest_threshold()
        # What goes on is no spike: then it is applied, clipped, and recorded.
        lasts = self._row() >= self.warn_after
        return ops.logical_and(is_finite, ops.logical_or(usual, lasts))

    def _row(self) -> Any:
        """Skips right before this update."""
        counts = _backend.current().read(self.counts)
        counter = ops.cast(keras_private.counter(self.inner), "int32")
        goes_on = ops.logical_and(
            counts[-3] > 0, ops.equal(counts[-1], counter)
        )
        return ops.where(goes_on, counts[-2], ops.zeros_like(counts[-2]))

    def _either(self, known, is_finite, update, variables):
        if known is None:
            _backend.current().branch(
                is_finite, update, self._count, variables, self.exact
            )
        elif known:
            update()
        else:
            self._count()
            self.warn()

    def _count(self):
        if self.observer is not None:
            self.observer.skips()
        counter = ops.cast(keras_private.counter(self.inner), "int32")
        counts = _backend.current().read(self.counts)
        # A skip does not advance the inner optimizer's counter.
        row = self._row() + 1
        counts = [counts[0], counts[1], counts[-3] + 1, row, counter]
        self.counts.assign(ops.stack(counts))

    @property
    def _or_large(self) -> str:
        if self.skip_above is None:
            return ""
        return f", or far too large (`skip_above={self.skip_above:g}`)"

    def warn(self):
        """Warn of a long row of skips, once for each."""
        try:
            counts = host_copy(self.counts).tolist()
        except (TypeError, AttributeError):
            # On JAX, an error in `fit` can leave variables without a value.
            # It is the one that the user should see.
            return
        total, row, began = counts[-3:]
        # Of the same row, `total - row` is the same.
        if row < self.warn_after or self._warned_at == total - row + 1:
            return
        self._warned_at = total - row + 1
        step = began // (self.inner.gradient_accumulation_steps or 1)
        warnings.warn(
            f"AutoClip: {row} updates in a row had gradients that were NaN or "
            f"infinite{self._or_large}, since step {step}, and were not "
            "applied. Check the data and the loss for what is not finite, or "
            "lower the learning rate.",
            GradGuardWarning,
            stacklevel=2,
        )


def host_copy(variable: Any) -> Any:
    """Value of a Keras variable as an array."""
    backend = _backend.current()
    return backend.to_numpy(backend.read(variable))


def _zero_unless(is_finite, gradient):
    if gradient is None:
        return None
    backend = _backend.current()
    values = backend.values_of(gradient)
    kept = ops.where(is_finite, values, ops.zeros_like(values))
    return backend.with_values(gradient, kept)


def _assert_in_graph(is_finite):
    """Make the compiled step fail unless the gradients are finite."""
    if not _backend.current().assert_in_graph(is_finite, _RAISED):
        raise RuntimeError(
            'AutoClip: `nonfinite="raise"` must be able to stop a step, which '
            "a compiled one cannot. Received: a step compiled by "
            f"{keras.backend.backend()}. Pass `run_eagerly=True` to "
            '`compile`, or use `nonfinite="skip"` and read '
            "`optimizer.skipped_steps`."
        )
