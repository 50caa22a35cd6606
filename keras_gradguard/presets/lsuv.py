"""Layer-sequential unit-variance initialization, measured on real data."""

import contextlib
import dataclasses
import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gradguard._text import error_in_words
from keras_gradguard._validation import check_int
from keras_gradguard._validation import check_number
from keras_gradguard._validation import shown
from keras_gradguard.exceptions import GradGuardWarning
from keras_gradguard.models import graph
from keras_gradguard.models.kinds import LAYERS
from keras_gradguard.models.values import host_copy
from keras_gradguard.presets.arguments import kernel_arguments
from keras_gradguard.presets.initializers import child_seed

_L = keras.layers
_SKIPPED = {
    "LSTM",
    "GRU",
    "SimpleRNN",
    "MultiHeadAttention",
    "GroupQueryAttention",
}


@dataclasses.dataclass(frozen=True, slots=True)
class LSUVResult:
    """What `lsuv` did to a layer.

    Attributes:
        layer: Path of the layer.
        std_before: Standard deviation of its pre-activation on the data, with
            the orthogonal kernel it was first given.
        std_after: The same at the end: 1 within the tolerance.
        iterations: How often the kernel was rescaled.
    """

    layer: str
    std_before: float
    std_after: float
    iterations: int

    def __str__(self) -> str:
        return (
            f"{self.layer}: std {self.std_before:.3g} -> "
            f"{self.std_after:.3g} in {self.iterations}"
        )


def lsuv(
    model: Any,
    x: Any,
    *,
    tolerance: float = 0.02,
    max_iterations: int = 10,
    seed: int | None = None,
) -> list[LSUVResult]:
    """Give each layer's pre-activation unit variance on data, in place.

    Kernels are drawn orthogonal; then, in the order in which the model calls
    its layers, each is divided by the standard deviation of its output
    before the activation until that is 1. Works for any model that can be
    called, subclassed ones too, and for any activation, with no theory of
    it; it sees one batch and one scale a layer.

    Dense, convolution, depthwise, separable, transposed and einsum layers are
    treated (those inside attention layers too), trainable ones only; biases
    and all else stay. If anything fails the weights are put back.

    Args:
        model: A Keras model.
        x: Inputs as the model takes them, some 128 to 1024 samples: array,
            list or dict of arrays.
        tolerance: How far a standard deviation may be from 1, above 0.
            Defaults to 0.02.
        max_iterations: Rescalings of a layer at most. Defaults to 10.
        seed: Integer that makes the kernels repeatable, or None.

    Returns:
        List of `LSUVResult`, in the order of the calls.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If an argument is out of range.
        RuntimeError: If a layer gives no finite, varying output.

    Example:
    >>> import keras
    >>> from keras_gradguard import presets
    >>> model = keras.Sequential(
    ...     [keras.Input((8,)), keras.layers.Dense(4, "gelu", name="h")]
    ... )
    >>> x = keras.random.normal((256, 8), seed=0)
    >>> [result] = presets.lsuv(model, x, seed=0)
    >>> abs(result.std_after - 1) < 0.02
    True

    References:
    - [Mishkin & Matas, 2016](https://arxiv.org/abs/1511.06422)
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            "presets.lsuv: `model` must be a Keras model. Received: "
            f"model={shown(model)} (of type {type(model).__name__}). Wrap a "
            "layer in `keras.Sequential([layer])`."
        )
    tolerance = check_number("presets.lsuv", "tolerance", tolerance, above=0.0)
    max_iterations = check_int(
        "presets.lsuv", "max_iterations", max_iterations, minimum=1
    )
    if seed is not None:
        seed = check_int("presets.lsuv", "seed", seed)
    try:
        x = keras.tree.map_structure(ops.convert_to_tensor, x)
        model(x, training=False)  # Builds what is not built.
    except Exception as error:
        raise ValueError(
            "presets.lsuv: `x` must be a batch that the model takes. "
            f"Received: x={shown(x)} (of type {type(x).__name__}), on which "
            f"it failed with {error_in_words(error)}."
        ) from error
    saved = [(w, host_copy(w)) for w in _kernel_variables(model)]
    try:
        order = list(_record(model, x))
        for index, layer in enumerate(order):
            _draw(layer, None if seed is None else child_seed(seed, index))
        return [
            _scale(model, x, layer, tolerance, max_iterations)
            for layer in order
        ]
    except BaseException:
        for variable, value in saved:
            variable.assign(value)
        raise


def _kernels(layer: Any) -> Any:
    """The kernels of a layer, the one that is scaled last."""
    names = ("depthwise_kernel", "pointwise_kernel", "kernel")
    found = [getattr(layer, n, None) for n in names]
    return [k for k in found if k is not None and hasattr(k, "assign")]


def _is_treated(layer: Any) -> Any:
    name = type(layer).__name__
    return (
        getattr(_L, name, None) is type(layer)
        and name in LAYERS
        and name not in _SKIPPED
        and layer.trainable
        and getattr(layer, "quantization_mode", None) is None
    )


def _layers(model: Any) -> Any:
    return [layer for layer in graph.sublayers(model) if _is_treated(layer)]


def _kernel_variables(model: Any) -> Any:
    return [k for layer in _layers(model) for k in _kernels(layer)]


def _record(model: Any, x: Any, watched: Any = None) -> Any:
    """Run the model and note which layers it calls, on what, in order."""
    calls: dict = {}

    def watch(layer: Any) -> Any:
        original = layer.call

        def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            # Inside a compiled loop (an RNN's) there is no value to keep.
            with contextlib.suppress(Exception):
                value = ops.convert_to_numpy(inputs)
                calls.setdefault(layer, []).append(value)
            return original(inputs, *args, **kwargs)

        return call

    watched = _layers(model) if watched is None else watched
    try:
        for layer in watched:
            object.__setattr__(layer, "call", watch(layer))
        model(x, training=False)
    finally:
        for layer in watched:
            layer.__dict__.pop("call", None)
    return calls


def _draw(layer: Any, seed: Any) -> None:
    initializers = kernel_arguments(
        type(layer).__name__,
        1.0,
        variant="orthogonal",
        strides=getattr(layer, "strides", 1),
        groups=getattr(layer, "groups", 1) or 1,
        seed=seed,
    )
    for name, initializer in initializers.items():
        kernel = getattr(layer, name.replace("_initializer", "_kernel"), None)
        kernel = layer.kernel if kernel is None else kernel
        if isinstance(layer, _L.EinsumDense):
            initializer = _with_axes(layer, initializer)
        kernel.assign(initializer(kernel.shape, dtype=kernel.dtype))


def _with_axes(layer: Any, initializer: Any) -> Any:
    """Tell the initializer which axes of an einsum kernel are summed over."""
    _, right = layer.equation.replace("...", "").split("->")
    _, kernel = layer.equation.replace("...", "").split("->")[0].split(",")
    outside = [i for i, letter in enumerate(kernel) if letter in right]
    inside = [i for i, letter in enumerate(kernel) if letter not in right]
    seed = initializer.seed
    config = initializer.get_config()
    config.update(input_axes=inside, output_axes=outside)
    made = type(initializer).from_config(config)
    made.seed = seed
    return made


def _scale(
    model: Any, x: Any, layer: Any, tolerance: Any, max_iterations: Any
) -> Any:
    *_, kernel = _kernels(layer)
    inputs = _record(model, x, [layer])[layer]
    std = first = _std(layer, inputs)
    iterations = 0
    while abs(std - 1.0) > tolerance and iterations < max_iterations:
        kernel.assign(ops.divide(kernel, ops.cast(std, kernel.dtype)))
        iterations += 1
        if len(inputs) > 1:
            # A layer called several times may be fed by itself.
            inputs = _record(model, x, [layer])[layer]
        std = _std(layer, inputs)
    if abs(std - 1.0) > tolerance:
        warnings.warn(
            f"presets.lsuv: {layer.path} has a standard deviation of "
            f"{std:.3g} after {iterations} rescalings. Its biases or a call "
            "of it on its own output hold it there; set the biases to zero.",
            GradGuardWarning,
            stacklevel=3,
        )
    return LSUVResult(layer.path, first, std, iterations)


def _std(layer: Any, inputs: Any) -> Any:
    """Standard deviation of a layer's output before its activation."""
    activation = layer.activation
    try:
        # Past Keras's tracking: a PReLU there is a layer of its own.
        object.__setattr__(layer, "activation", keras.activations.linear)
        outputs = [
            np.asarray(
                ops.convert_to_numpy(ops.cast(layer(each), "float32")),
                dtype="float64",
            ).ravel()
            for each in inputs
        ]
    finally:
        object.__setattr__(layer, "activation", activation)
    std = float(np.std(np.concatenate(outputs)))
    if not np.isfinite(std) or std == 0.0:
        raise RuntimeError(
            f"presets.lsuv: scaling failed at {layer.path}. Expected an "
            f"output that varies but found a standard deviation of {std}. "
            "The data that reaches it is constant or not finite; the model's "
            "weights are as they were. Check `x` for NaN and constant "
            "columns."
        )
    return std
