"""Initializers that are right where Keras's own fans are wrong."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gradguard._validation import check_choice
from keras_gradguard._validation import check_int
from keras_gradguard._validation import check_number
from keras_gradguard._validation import fail

_TRUNCATED_STD = 0.87962566103423978  # Of a normal cut at two deviations.


@keras.saving.register_keras_serializable(package="keras_gradguard")
class PairedInitializer(keras.initializers.VarianceScaling):
    """Scales a kernel by its true fan, whatever the kind of layer.

    `keras.initializers.VarianceScaling` reads the fan off the shape of the
    kernel as if it were a `Dense` or plain `Conv`. It errs for a depthwise
    kernel (its fan in is the area, not area x channels), for a transposed
    convolution (inputs and outputs are swapped, and a stride thins the
    input), and for the fan out of a grouped one. `Orthogonal` errs wherever a
    layer widens. Use this one there; `kgg.presets.get` does.

    Entries have variance `scale / fan`. With `distribution="orthogonal"` each
    block of the kernel has orthogonal rows or columns of that same variance.
    An instance draws the same values each time it is called: make one for
    each layer.

    Args:
        scale: Variance of the pre-activation for inputs of unit second
            moment, above 0: the square of the gain. Defaults to 1.
        mode: `"fan_in"`, `"fan_out"` or `"fan_avg"`. Defaults to `"fan_in"`.
        distribution: `"truncated_normal"`, `"untruncated_normal"`,
            `"uniform"` or `"orthogonal"`. Defaults to `"truncated_normal"`.
        seed: None, an integer or a `keras.random.SeedGenerator`.
        layout: `"dense"` for `Dense`, `Conv`, `EinsumDense` and attention,
            `"depthwise"` or `"transpose"`. Defaults to `"dense"`.
        groups: Groups of a grouped convolution. Defaults to 1.
        strides: Integer or tuple, of a transposed convolution. Defaults to 1.
        input_axes: Axes of the kernel that are summed over. `EinsumDense` and
            `MultiHeadAttention` of Keras 3.15 and later fill them in; before,
            pass them for an `EinsumDense`.
        output_axes: Axes of the kernel that make the output.

    Raises:
        TypeError: If `scale` or `groups` has the wrong type.
        ValueError: If an argument is outside its choices or range.

    Example:
    >>> import keras
    >>> from keras_gradguard import presets
    >>> initializer = presets.PairedInitializer(2.0, layout="depthwise")
    >>> layer = keras.layers.DepthwiseConv2D(
    ...     3, depthwise_initializer=initializer
    ... )

    References:
    - [He et al., 2015](https://arxiv.org/abs/1502.01852)
    - [Saxe et al., 2014](https://arxiv.org/abs/1312.6120)
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
        layout: str = "dense",
        groups: int = 1,
        strides: int | tuple[int, ...] = 1,
        input_axes: Any = None,
        output_axes: Any = None,
    ) -> None:
        owner = type(self).__name__
        scale = check_number(owner, "scale", scale, above=0.0)
        check_choice(owner, "mode", mode, ("fan_in", "fan_out", "fan_avg"))
        check_choice(
            owner,
            "distribution",
            distribution,
            (
                "truncated_normal",
                "untruncated_normal",
                "uniform",
                "orthogonal",
            ),
        )
        check_choice(
            owner, "layout", layout, ("dense", "depthwise", "transpose")
        )
        if isinstance(seed, str | float | bytes | list | tuple):
            what = "an integer, a SeedGenerator or None"
            fail(TypeError, owner, "seed", what, seed)
        self.groups = check_int(owner, "groups", groups, minimum=1)
        self.layout = layout
        self.strides = (
            tuple(check_int(owner, "strides", s, minimum=1) for s in strides)
            if isinstance(strides, list | tuple)
            else check_int(owner, "strides", strides, minimum=1)
        )
        orthogonal = distribution == "orthogonal"
        super().__init__(
            scale=scale,
            mode=mode,
            # Keras's own check knows no "orthogonal".
            distribution="uniform" if orthogonal else distribution,
            seed=seed,
        )
        self.distribution = distribution
        # Keras's own arguments since 3.15.
        self.input_axes = input_axes
        self.output_axes = output_axes

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        shape = tuple(int(size) for size in shape)
        fan_in, fan_out = self.fans(shape)
        fan = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2,
        }[self.mode]
        std = math.sqrt(self.scale / max(fan, 1e-12))
        if self.distribution == "orthogonal":
            return self._orthogonal(shape, std, dtype)
        if self.distribution == "truncated_normal":
            return keras.random.truncated_normal(
                shape, stddev=std / _TRUNCATED_STD, dtype=dtype, seed=self.seed
            )
        if self.distribution == "untruncated_normal":
            return keras.random.normal(
                shape, stddev=std, dtype=dtype, seed=self.seed
            )
        limit = math.sqrt(3.0) * std
        return keras.random.uniform(
            shape, minval=-limit, maxval=limit, dtype=dtype, seed=self.seed
        )

    def fans(self, shape: Any) -> Any:
        """Return how many terms make an output, and a gradient.

        Args:
            shape: Shape of the kernel.

        Returns:
            `(fan_in, fan_out)`: floats, averages where a stride makes the
            number differ from place to place.
        """
        if self.input_axes is not None and self.output_axes is not None:
            return (
                float(np.prod([shape[a] for a in self.input_axes])),
                float(np.prod([shape[a] for a in self.output_axes])),
            )
        if len(shape) < 2:
            size = float(shape[0]) if shape else 1.0
            return size, size
        area = float(np.prod(shape[:-2]))
        first, last = shape[-2:]
        if self.layout == "depthwise":
            return area, area * last
        if self.layout == "transpose":
            stride = np.prod(
                self.strides
                if isinstance(self.strides, tuple)
                else [self.strides] * (len(shape) - 2)
            )
            return area * last / float(stride), area * first
        return area * first, area * last / self.groups

    def _orthogonal(self, shape: Any, std: Any, dtype: Any) -> Any:
        """Draw blocks with orthogonal rows or columns and deviation `std`."""
        blocks, to_kernel = self._blocks(shape)
        count, rows, columns = blocks
        tall = (count, max(rows, columns), min(rows, columns))
        # float32 and up: no backend has a QR of half precision.
        work = "float64" if dtype == "float64" else "float32"
        normal = keras.random.normal(tall, dtype=work, seed=self.seed)
        q, r = ops.qr(normal)
        # Makes Q uniform over the orthogonal matrices (Mezzadri, 2007).
        q = q * ops.sign(ops.diagonal(r, axis1=-2, axis2=-1))[:, None, :]
        if rows < columns:
            q = ops.transpose(q, (0, 2, 1))
        kernel = to_kernel(q * (std * math.sqrt(max(rows, columns))))
        return ops.cast(kernel, dtype or keras.config.floatx())

    def _blocks(self, shape: Any) -> Any:
        """Return (blocks, inputs, outputs) and the way back to the kernel."""
        if self.input_axes is not None and self.output_axes is not None:
            inside = [a % len(shape) for a in self.input_axes]
            outside = [a % len(shape) for a in self.output_axes]
            rest = [
                a for a in range(len(shape)) if a not in {*inside, *outside}
            ]
            order = [*rest, *inside, *outside]

            def back_of_axes(q: Any) -> Any:
                q = ops.reshape(q, [shape[a] for a in order])
                return ops.transpose(q, [int(i) for i in np.argsort(order)])

            sizes = [
                int(np.prod([shape[a] for a in axes], dtype=int))
                for axes in (rest, inside, outside)
            ]
            return tuple(sizes), back_of_axes
        if len(shape) < 2:
            raise ValueError(
                "PairedInitializer: `distribution` must be a normal or "
                "uniform one for a vector. Received: "
                f"distribution={self.distribution!r} for shape={shape}. Use "
                '"truncated_normal".'
            )
        area = int(np.prod(shape[:-2], dtype=int))
        first, last = shape[-2:]
        spatial = shape[:-2]
        if self.layout == "depthwise":
            # (channels, area, multiplier) -> (*spatial, channels, multiplier)
            return (first, area, last), lambda q: ops.reshape(
                ops.transpose(q, (1, 0, 2)), shape
            )
        if self.layout == "transpose":
            # (1, inputs, area * outputs) -> (*spatial, outputs, inputs)
            return (1, last, area * first), lambda q: ops.reshape(
                ops.transpose(q[0], (1, 0)), shape
            )
        columns = last // self.groups

        def back(q: Any) -> Any:
            q = ops.reshape(q, (self.groups, *spatial, first, columns))
            q = ops.moveaxis(q, 0, -2)
            return ops.reshape(q, shape)

        return (self.groups, area * first, columns), back

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "layout": self.layout,
            "groups": self.groups,
            "strides": self.strides,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


def child_seed(seed: int, *path: int) -> int:
    """Derive a seed from a seed, one for each path, the same on every run.

    Args:
        seed: An integer.
        *path: Integers that tell the children apart.

    Returns:
        An integer below 2**31.
    """
    sequence = np.random.SeedSequence([seed % 2**32, *path])
    return int(sequence.generate_state(1)[0] % 2**31)
