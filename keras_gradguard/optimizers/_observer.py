"""Who may watch the updates of an `AutoClip`, and what they learn.

`AutoClip._observe(observer)` is the one way in: nothing of the optimizer is
replaced. It holds one observer at a time, which is no part of its state.
"""

from typing import Any
from typing import Protocol


class ClipObserver(Protocol):
    """Watches each `apply` of an `AutoClip`, traced or eager.

    Both methods are called inside the step, so that what they compute is
    part of it.
    """

    def begins(self, gradients: list[Any], variables: Any) -> None:
        """An `apply` begins.

        Args:
            gradients: As passed to `apply`, `None` included.
            variables: As passed to `apply`, or `None`.
        """

    def skips(self) -> None:
        """The update is left out; called in the branch that is taken then."""


class Observation:
    """What an observer may ask about the update that is running.

    Args:
        clip_step: The optimizer's `ClipStep`.
        guard: The optimizer's `NonfiniteGuard`.
    """

    def __init__(self, clip_step: Any, guard: Any) -> None:
        self._clip_step = clip_step
        self._guard = guard

    @property
    def leaves_out(self) -> bool:
        """Whether an update that is not finite is left out whole."""
        return self._guard.policy == "skip"

    @property
    def runs_both_sides(self) -> bool:
        """Whether the update and the skip both run before one is chosen."""
        return self._guard.runs_both_sides

    @property
    def is_applied(self) -> Any:
        """Bool scalar: whether the norm of the update is one to apply."""
        return self._guard.is_finite

    def latest(self) -> tuple[Any, Any]:
        """What the clipping just did, see `ClipStep.latest`."""
        return self._clip_step.latest()
