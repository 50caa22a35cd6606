"""Clip each unit's gradient relative to the unit's weights."""

import re
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_gradguard import _backend
from keras_gradguard import stats
from keras_gradguard._validation import check_bool
from keras_gradguard._validation import check_number
from keras_gradguard._validation import shown
from keras_gradguard.clippers import functional
from keras_gradguard.clippers.clipper import Clipped
from keras_gradguard.clippers.clipper import Clipper


@keras.saving.register_keras_serializable(package="keras_gradguard")
class Unitwise(Clipper):
    """Clips each output unit's gradient to a share of its weights (AGC).

    The gradient `G` of a unit with weights `W` is multiplied by
    `min(1, ratio * max(norm(W), smallest_norm) / norm(G))`. The threshold is
    relative to the weights, so layers of different size are clipped alike,
    without a history. Made for networks without batch normalization and large
    batches; with Adam-like optimizers, which rescale each element anyway,
    prefer `Percentile` or `ZScore`.

    A unit is what feeds one output. In a kernel that is all axes but the last
    one, right for `Dense`, `Conv1D`, `Conv2D` and `Conv3D`; biases and other
    vectors are one unit each, as the paper has it; in an `Embedding` it is
    the vector of one token. Depthwise, transposed, `EinsumDense` and
    attention layers have other axes: `kgg.clippers.unit_axes(model)` reads
    them from the layers.

    Args:
        ratio: Float > 0, largest norm of a unit's gradient over that of its
            weights. Smaller clips more; larger batches want smaller ones.
            Defaults to `0.01`, as in the paper.
        smallest_norm: Float > 0, norm that smaller weights count as, so that
            a unit that starts at zero can move. Defaults to `1e-3`.
        unit_axes: Dict from variable paths to the axes of one unit, from
            `kgg.clippers.unit_axes(model)`. Variables not in it follow the
            rule above. Defaults to `None`.
        exclude: List of regular expressions; variables whose path one of them
            matches are not clipped. Defaults to `None`.
        exclude_last_layer: Whether to leave out the layer that owns the last
            trainable variable, mostly the classifier, as the paper advises.
            Defaults to `False`.

    Example:
        >>> import keras
        >>> import keras_gradguard as kgg
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)),
        ...     keras.layers.DepthwiseConv2D(3, name="depthwise"),
        ...     keras.layers.Flatten(),
        ...     keras.layers.Dense(10, name="classifier"),
        ... ], name="net")
        >>> axes = kgg.clippers.unit_axes(model)
        >>> axes["net/depthwise/kernel"]
        (0, 1)
        >>> model.compile(
        ...     kgg.AutoClip(
        ...         keras.optimizers.SGD(0.1, momentum=0.9),
        ...         clipper="unitwise",
        ...         unit_axes=axes,
        ...         exclude_last_layer=True,
        ...     ),
        ...     loss="mse",
        ... )

    References:
        - [High-Performance Large-Scale Image Recognition Without
          Normalization, Brock et al., 2021](https://arxiv.org/abs/2102.06171)
    """

    def __init__(
        self,
        ratio: float = 0.01,
        *,
        smallest_norm: float = 1e-3,
        unit_axes: dict[str, Any] | None = None,
        exclude: Sequence[str] | None = None,
        exclude_last_layer: bool = False,
    ) -> None:
        self.ratio = check_number(
            "AutoClip",
            "ratio",
            ratio,
            above=0,
            hint="It is norm(gradient) / norm(weights) of a unit: try 0.01.",
        )
        self.smallest_norm = check_number(
            "AutoClip",
            "smallest_norm",
            smallest_norm,
            above=0,
            hint="Without it, a unit at zero could never move.",
        )
        self.unit_axes = _check_unit_axes(unit_axes)
        self.exclude = _check_exclude(exclude)
        self.exclude_last_layer = check_bool(
            "AutoClip", "exclude_last_layer", exclude_last_layer
        )

    def clip(
        self, gradients: list, variables: list, norm: Any, state: dict
    ) -> Clipped:
        del norm
        last = _owner(variables[-1]) if self.exclude_last_layer else None
        clipped, exceeds = [], []
        for gradient, variable in zip(gradients, variables, strict=True):
            if self._is_excluded(variable, last):
                clipped.append(gradient)
                continue
            gradient, exceeded = self._clip_one(gradient, variable)
            clipped.append(gradient)
            exceeds.append(exceeded)
        is_clipped = (
            ops.any(ops.stack(exceeds))
            if exceeds
            else ops.zeros((), dtype="bool")
        )
        threshold = stats.full((), self.ratio)
        return Clipped(
            clipped,
            threshold,
            is_clipped,
            state,
            lambda: self._norm_after(gradients, variables, last),
        )

    def _norm_after(self, gradients: Any, variables: Any, last: Any) -> Any:
        norms = []
        for gradient, variable in zip(gradients, variables, strict=True):
            if self._is_excluded(variable, last):
                norms.append(functional.global_norm([gradient]))
            else:
                _, arguments = self._arguments(gradient, variable)
                norms.append(functional.adaptive_norm(*arguments))
        return stats.global_norm(ops.stack(norms))

    def _is_excluded(self, variable: Any, last: Any) -> Any:
        path = variable_path(variable)
        return (last is not None and _owner(variable) == last) or any(
            re.search(pattern, path) for pattern in self.exclude or ()
        )

    def _clip_one(self, gradient: Any, variable: Any) -> Any:
        merged, arguments = self._arguments(gradient, variable)
        values, exceeded = functional.adaptive_clip(*arguments)
        return _backend.current().with_values(merged, values), exceeded

    def _arguments(self, gradient: Any, variable: Any) -> Any:
        """The gradient, and what `adaptive_clip` takes to clip it."""
        backend, axes = _backend.current(), self._axes(variable)
        weight = backend.read(variable)
        if axes == (1,):
            # One unit is one row: only the rows that have a gradient matter.
            gradient = backend.merge_rows(gradient)
            weight = backend.take_rows(weight, gradient)
        else:
            gradient = backend.to_dense(gradient)
        values = backend.values_of(gradient)
        return gradient, (values, weight, axes, self.ratio, self.smallest_norm)

    def _axes(self, variable: Any) -> Any:
        path, rank = variable_path(variable), len(variable.shape)
        known = (self.unit_axes or {}).get(path)
        return default_axes(path, rank) if known is None else tuple(known)

    def get_config(self) -> dict:
        axes = self.unit_axes
        return {
            "ratio": self.ratio,
            "smallest_norm": self.smallest_norm,
            "unit_axes": axes and {k: list(v) for k, v in axes.items()},
            "exclude": self.exclude,
            "exclude_last_layer": self.exclude_last_layer,
        }


def default_axes(path: str, rank: int) -> Any:
    """Axes of one unit of a variable of which only path and rank are known.

    Args:
        path: Path of the variable.
        rank: Number of its axes.

    Returns:
        Tuple of axes.
    """
    name = path.rsplit("/", 1)[-1]
    if rank <= 1 or name in ("bias", "gamma", "beta"):
        return tuple(range(rank))
    if name == "embeddings":
        return (1,)
    return tuple(range(rank - 1))


def variable_path(variable: Any) -> Any:
    """Path of a Keras variable, or the name of the backend's own."""
    return getattr(variable, "path", variable.name)


def _owner(variable: Any) -> Any:
    return variable_path(variable).rpartition("/")[0]


def _check_unit_axes(unit_axes: Any) -> Any:
    if unit_axes is None:
        return None
    if not isinstance(unit_axes, dict):
        raise TypeError(
            "AutoClip: `unit_axes` must be a dict from variable paths to axes. "
            f"Received: unit_axes={shown(unit_axes)} (of type "
            f"{type(unit_axes).__name__}). Pass "
            "`unit_axes=kgg.clippers.unit_axes(model)`."
        )
    checked = {}
    for path, axes in unit_axes.items():
        if not isinstance(axes, list | tuple):
            raise TypeError(
                "AutoClip: `unit_axes` must be a dict from variable paths to "
                f"tuples of axes. Received: {shown(axes)} for {shown(path)}. "
                "Pass `unit_axes=kgg.clippers.unit_axes(model)`."
            )
        checked[path] = tuple(axes)
    return checked


def _check_exclude(exclude: Any) -> Any:
    if exclude is None:
        return None
    if not isinstance(exclude, list | tuple | set) or not all(
        isinstance(pattern, str) for pattern in exclude
    ):
        raise TypeError(
            "AutoClip: `exclude` must be a list of regular expressions. "
            f"Received: exclude={shown(exclude)} (of type "
            f"{type(exclude).__name__}). Pass for instance "
            '`exclude=["classifier/"]`.'
        )
    return list(exclude)
