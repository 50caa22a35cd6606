"""A pairing as keyword arguments of a layer."""

import inspect
import math
from typing import Any

import keras

from keras_gradguard._validation import check_choice
from keras_gradguard._validation import check_int
from keras_gradguard.models import kinds
from keras_gradguard.presets.gains import gain
from keras_gradguard.presets.gates import GateBias
from keras_gradguard.presets.gates import PerGate
from keras_gradguard.presets.initializers import PairedInitializer
from keras_gradguard.presets.initializers import child_seed
from keras_gradguard.presets.pairings import VARIANTS
from keras_gradguard.presets.pairings import canonical
from keras_gradguard.presets.pairings import for_name_of
from keras_gradguard.presets.pairings import pairing

_DISTRIBUTION = {"normal": "truncated_normal", "uniform": "uniform"}
_NAMED = {
    (2.0, "fan_in", "normal"): keras.initializers.HeNormal,
    (2.0, "fan_in", "uniform"): keras.initializers.HeUniform,
    (1.0, "fan_in", "normal"): keras.initializers.LecunNormal,
    (1.0, "fan_in", "uniform"): keras.initializers.LecunUniform,
    (1.0, "fan_avg", "normal"): keras.initializers.GlorotNormal,
    (1.0, "fan_avg", "uniform"): keras.initializers.GlorotUniform,
}


def get(
    name: str,
    *,
    layer: str | type = "Dense",
    variant: str = "normal",
    strides: int | tuple[int, ...] = 1,
    groups: int = 1,
    seed: int | None = None,
) -> dict[str, Any]:
    """Return a pairing as keyword arguments of a Keras layer.

    `Dense(64, **get("he_relu"))` is a standard Keras layer: where one of
    Keras's own initializers is right the model that it ends up in loads
    without this package. Only the layers whose fans Keras misreads (see
    `PairedInitializer`) and the orthogonal variant need ours.

    One result may be used for several layers: each draws values of its own.

    Args:
        name: A name from `kgg.presets.names()`, with `"_uniform"` or
            `"_orthogonal"` at its end for those variants.
        layer: The layer class that the arguments are for, or its name.
            Defaults to `"Dense"`.
        variant: `"normal"` (truncated), `"uniform"` or `"orthogonal"`.
            Orthogonal starts deeper stacks best. Defaults to `"normal"`.
        strides: Strides of a transposed convolution. Defaults to 1.
        groups: Groups of a convolution. Defaults to 1.
        seed: Integer that makes the draws repeatable, or None.

    Returns:
        Dict of keyword arguments.

    Raises:
        TypeError: If `seed` is no integer.
        ValueError: If a name is unknown, or the pairing does not fit the
            layer.

    Example:
    >>> import keras
    >>> from keras_gradguard import presets
    >>> layer = keras.layers.Dense(64, **presets.get("he_relu"))
    >>> type(layer.kernel_initializer).__name__
    'HeNormal'
    >>> down = keras.layers.DepthwiseConv2D(
    ...     3, **presets.get("gelu", layer="DepthwiseConv2D")
    ... )
    """
    base, suffix = canonical(name)
    check_choice("presets.get", "variant", variant, VARIANTS)
    kind = layer.__name__ if inspect.isclass(layer) else layer
    check_choice(
        "presets.get",
        "layer",
        kind,
        kinds.LAYERS,
        "For another layer set its initializers to "
        "`kgg.presets.PairedInitializer` by hand.",
    )
    if seed is not None:
        seed = check_int("presets.get", "seed", seed)
    groups = check_int("presets.get", "groups", groups, minimum=1)
    for length in strides if isinstance(strides, list | tuple) else [strides]:
        check_int("presets.get", "strides", length, minimum=1)
    row = pairing(base)
    variant = suffix or variant
    if kind in kinds.GATED or kind == "SimpleRNN":
        return _recurrent(row, kind, variant, seed)
    arguments = {}
    if kind not in kinds.ATTENTION:
        arguments["activation"] = activation_for(row, kind)
        if row.bias_variance:
            arguments["bias_initializer"] = _independent(
                keras.initializers.RandomNormal(
                    stddev=math.sqrt(row.bias_variance), seed=seed
                ),
                None if seed is None else child_seed(seed, 1),
            )
    arguments.update(
        kernel_arguments(
            kind,
            row.scale,
            mode=row.mode,
            variant=variant,
            strides=strides,
            groups=groups,
            seed=seed,
        )
    )
    return arguments


def for_activation(
    activation: Any,
    *,
    layer: str | type = "Dense",
    variant: str = "normal",
    seed: int | None = None,
) -> Any:
    """Return the initializer that fits an activation, any activation.

    An activation of the table (`kgg.presets.names()`) gets what the table
    says; any other one VarianceScaling with the square of its exact gain.

    Args:
        activation: Name of a Keras activation, any elementwise callable, or
            an activation layer such as `keras.layers.LeakyReLU(0.1)`.
        layer: The layer class that it is for, or its name: `"Dense"`, a
            convolution or a depthwise one. Defaults to `"Dense"`.
        variant: `"normal"`, `"uniform"` or `"orthogonal"`. Defaults to
            `"normal"`.
        seed: Integer that makes the draws repeatable, or None.

    Returns:
        A Keras initializer.

    Raises:
        TypeError: If `activation` is neither a name, a callable nor None.
        ValueError: If it is not elementwise.

    Example:
    >>> import keras
    >>> from keras_gradguard import presets
    >>> type(presets.for_activation("selu")).__name__
    'LecunNormal'
    >>> presets.for_activation(keras.ops.sin).scale
    2.313035
    """
    check_choice("presets.for_activation", "variant", variant, VARIANTS)
    kind = layer.__name__ if inspect.isclass(layer) else layer
    check_choice(
        "presets.for_activation",
        "layer",
        kind,
        (*kinds.DENSE, *kinds.DEPTHWISE, *kinds.TRANSPOSE),
        "For other layers see `kgg.presets.get`.",
    )
    if seed is not None:
        seed = check_int("presets.for_activation", "seed", seed)
    scale, mode = scale_for(activation)
    (initializer,) = kernel_arguments(
        kind, scale, mode=mode, variant=variant, seed=seed
    ).values()
    return initializer


def scale_for(activation: Any) -> Any:
    """Return the variance of weights times fan that fits an activation.

    Args:
        activation: Name, callable, layer or None.

    Returns:
        The scale, and the mode of the fan.
    """
    row = for_name_of(activation)
    if row is not None:
        return row.scale, row.mode
    return round(gain(activation) ** 2, 6), "fan_in"


def kernel_arguments(
    kind: Any,
    scale: Any,
    *,
    mode: Any = "fan_in",
    variant: Any = "normal",
    strides: Any = 1,
    groups: Any = 1,
    seed: Any = None,
) -> Any:
    """Return the kernel initializers of a layer class as keyword arguments.

    Args:
        kind: Name of the layer class.
        scale: Variance of the weights times the fan.
        mode: `"fan_in"` or `"fan_avg"`.
        variant: `"normal"`, `"uniform"` or `"orthogonal"`.
        strides: Strides of a transposed convolution.
        groups: Groups of a convolution.
        seed: Integer or None.

    Returns:
        Dict from argument name to initializer.
    """

    def make(
        layout: Any = "dense",
        scale: Any = scale,
        mode: Any = mode,
        draw: Any = seed,
    ) -> Any:
        standard = layout == "dense" and (groups == 1 or mode == "fan_in")
        if variant == "orthogonal" or not standard:
            made = PairedInitializer(
                scale,
                mode=mode,
                distribution=_DISTRIBUTION.get(variant, "orthogonal"),
                seed=draw,
                layout=layout,
                groups=groups,
                strides=strides if layout == "transpose" else 1,
            )
        elif (scale, mode, variant) in _NAMED:
            made = _NAMED[scale, mode, variant](seed=draw)
        else:
            made = keras.initializers.VarianceScaling(
                scale, mode, _DISTRIBUTION[variant], seed=draw
            )
        return _independent(made, draw)

    if kind in kinds.DEPTHWISE:
        # Glorot's average counts a multiplier: the area is what matters.
        return {"depthwise_initializer": make("depthwise", mode="fan_in")}
    if kind in kinds.SEPARABLE:
        # No activation between the two kernels: the second has gain 1.
        second = None if seed is None else child_seed(seed, 2)
        return {
            "depthwise_initializer": make("depthwise", mode="fan_in"),
            "pointwise_initializer": make(
                scale=1.0, mode="fan_in", draw=second
            ),
        }
    if kind in kinds.TRANSPOSE:
        return {"kernel_initializer": make("transpose")}
    if kind in kinds.ATTENTION:
        return {"kernel_initializer": make(scale=1.0, mode="fan_avg")}
    return {"kernel_initializer": make()}


def _recurrent(row: Any, kind: Any, variant: Any, seed: Any) -> Any:
    """Gates keep sigmoid and tanh; a ReLU recurrence starts as identity."""
    inner = variant if variant != "orthogonal" else "normal"
    second = None if seed is None else child_seed(seed, 2)
    glorot = _independent(_NAMED[1.0, "fan_avg", inner](seed=seed), seed)
    orthogonal = _independent(
        keras.initializers.Orthogonal(seed=second), second
    )
    if kind == "SimpleRNN":
        rectified = row.activation == "relu"
        return {
            "activation": activation_for(row, kind),
            "kernel_initializer": glorot,
            "recurrent_initializer": keras.initializers.Identity()
            if rectified
            else orthogonal,
        }
    if row.activation != "tanh":
        raise ValueError(
            f"presets.get: `name` must be 'glorot_tanh' for an {kind}. "
            f"Received: name={row.name!r}. Its gates need sigmoid and its "
            "state tanh; for a ReLU recurrence take layer='SimpleRNN'."
        )
    gates = kinds.GATED[kind]
    arguments: dict[str, Any] = {
        "activation": "tanh",
        "kernel_initializer": PerGate(glorot, gates),
        "recurrent_initializer": PerGate(orthogonal, gates),
    }
    if kind == "LSTM":
        arguments["unit_forget_bias"] = True
    else:
        arguments["bias_initializer"] = GateBias(1.0)
    return arguments


def activation_for(row: Any, kind: Any) -> Any:
    """Return the activation of a pairing; a PReLU's slope is one a channel.

    Args:
        row: A `Pairing`.
        kind: Name of the layer class, whose rank matters.

    Returns:
        A Keras identifier.
    """
    if not isinstance(row.activation, dict):
        return row.activation
    rank = next((int(c) for c in kind if c.isdigit()), 0)
    first = keras.config.image_data_format() == "channels_first"
    shared = [axis + first for axis in range(1, rank + 1)] or None
    config = {**row.activation["config"], "shared_axes": shared}
    return {**row.activation, "config": config}


def _independent(initializer: Any, seed: Any) -> Any:
    """Let one instance draw new values for each layer it is given to.

    Keras's initializers draw the same values each time they are called, so
    two layers of one shape would start equal. A `SeedGenerator` in their
    public `seed` moves on with each draw; the config keeps the plain seed, so
    that a saved or cloned model holds nothing unusual.
    """
    initializer.seed = keras.random.SeedGenerator(
        initializer.seed if seed is None else seed
    )
    return initializer
