"""What all clippers have in common."""

import abc
from typing import Any
from typing import NamedTuple

from keras import ops

from keras_gradguard import _backend
from keras_gradguard.clippers import functional

Tensor = Any


class Clipped(NamedTuple):
    """What a clipper made of one step's gradients.

    Attributes:
        gradients: List of the clipped gradients.
        threshold: float32 scalar, what the step was compared with.
        is_clipped: bool scalar, whether anything was made smaller.
        state: Dict of the state after the step, as `state_shapes` names it.
        norm: Function without arguments to the global norm of the clipped
            gradients, for who watches, or `None` where they must be read.
    """

    gradients: list
    threshold: Tensor
    is_clipped: Tensor
    state: dict
    norm: Any = None


class Clipper(abc.ABC):
    """Makes the gradients of one optimizer step smaller where they are large.

    Subclass it to clip gradient by gradient or element by element. To pick a
    threshold for the norm of all gradients, subclass `NormClipper`, which
    needs less. A clipper holds arguments only, the attributes that
    `get_config` names. Its state lives in variables of `AutoClip`, which
    saves it with the model, drops the change of a step whose norm is zero or
    not finite, and takes care of accumulation, loss scale and replicas.

    Attributes:
        only_observes: If `True`, `AutoClip` passes the gradients on untouched
            and only measures.
        uses_only_norm: If `True`, all gradients are scaled by one factor, so
            that replicas need not exchange more than they do anyway.
    """

    only_observes: bool = False
    uses_only_norm: bool = False

    def state_shapes(self, variables: list) -> dict:
        """Shapes of the state that is carried from step to step.

        Args:
            variables: Trainable variables of the optimizer.

        Returns:
            Dict from a name to a shape. All state is float32 and starts at
            zero. Defaults to no state.
        """
        del variables
        return {}

    def adapt_state(self, saved: dict, shapes: dict) -> dict:
        """State to go on with, from that of a checkpoint.

        Args:
            saved: Dict from names to NumPy arrays, maybe of a clipper with
                other arguments.
            shapes: Dict from names to the shapes that are needed.

        Returns:
            Dict of NumPy arrays of these shapes. What is not in it starts
            anew. Defaults to the arrays whose shape fits.
        """
        return {
            name: array
            for name, array in saved.items()
            if shapes.get(name) == array.shape
        }

    @abc.abstractmethod
    def clip(
        self, gradients: list, variables: list, norm: Tensor, state: dict
    ) -> Clipped:
        """Clip the gradients of one step. Runs inside the compiled step.

        Args:
            gradients: List of tensors or `tf.IndexedSlices`, without `None`.
            variables: List of the variables they belong to.
            norm: float32 scalar, the L2 norm of all of them as one vector; 0
                where that is not finite.
            state: Dict of tensors, as `state_shapes` names it.

        Returns:
            A `Clipped`.
        """

    @abc.abstractmethod
    def get_config(self) -> dict:
        """The arguments that make an equal clipper."""

    @classmethod
    def from_config(cls, config: dict) -> "Clipper":
        """The clipper that `config`, from `get_config`, stands for."""
        return cls(**config)

    def __repr__(self) -> str:
        config = self.get_config()
        arguments = ", ".join(f"{key}={config[key]!r}" for key in config)
        return f"{type(self).__name__}({arguments})"


class NormClipper(Clipper):
    """Brings the norm of all gradients down to a threshold, direction kept.

    Example:
        A clipper of one's own needs a threshold for the current norm:

        >>> import keras_gradguard as kgg
        >>> from keras import ops
        >>> class TwiceTheLast(kgg.clippers.NormClipper):
        ...     def state_shapes(self, variables):
        ...         return {"last": ()}
        ...     def threshold(self, norm, state):
        ...         last = state["last"]
        ...         limit = ops.where(last > 0, 2 * last, float("inf"))
        ...         return limit, {"last": ops.minimum(norm, limit)}
        ...     def get_config(self):
        ...         return {}
        >>> optimizer = kgg.AutoClip("sgd", clipper=TwiceTheLast())
    """

    uses_only_norm = True

    @abc.abstractmethod
    def threshold(self, norm: Tensor, state: dict) -> tuple:
        """The norm that the gradients may have in this step.

        Args:
            norm: float32 scalar, the norm they have; 0 where it is not
                finite.
            state: Dict of tensors, as `state_shapes` names it.

        Returns:
            Tuple of the threshold, a float32 scalar, and the dict of the state
            after the step.
        """

    def target(self, norm: Tensor, threshold: Tensor, state: dict) -> Tensor:
        """The norm that a gradient above the threshold is brought down to.

        Args:
            norm: float32 scalar, the norm it has.
            threshold: float32 scalar, what `threshold` gave for it.
            state: Dict of tensors, the state before the step.

        Returns:
            float32 scalar, at most `threshold`. Defaults to that itself.
        """
        del norm, state
        return threshold

    def clip(
        self, gradients: list, variables: list, norm: Tensor, state: dict
    ) -> Clipped:
        del variables
        threshold, after = self.threshold(norm, state)
        threshold = ops.cast(threshold, "float32")
        is_clipped = norm > threshold
        target = threshold
        # Where it is known that nothing is, the gradients need no copy.
        if not self.only_observes and _may_be(is_clipped):
            target = self.target(norm, threshold, state)
            if target is not threshold:
                target = ops.where(is_clipped, target, threshold)
            factors = functional.clip_coefficients(norm, target)
            gradients = [functional.scale(g, *factors) for g in gradients]
        return Clipped(gradients, threshold, is_clipped, after, lambda: target)


def _may_be(condition: Any) -> bool:
    """Whether a condition holds, or is not known while a step is compiled."""
    return _backend.current().known_now(condition) is not False
