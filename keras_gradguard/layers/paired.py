"""Blocks of a layer, its activation and what belongs between them."""

from typing import Any

import keras

from keras_gradguard._validation import check_bool
from keras_gradguard._validation import check_choice
from keras_gradguard._validation import check_int
from keras_gradguard._validation import check_number
from keras_gradguard.models.residual import ScaledAdd
from keras_gradguard.presets.arguments import get
from keras_gradguard.presets.pairings import canonical


class _PairedBlock(keras.layers.Layer):
    """Weights, normalization, activation, dropout, addition: in this order.

    Subclasses make the layer with the weights and give it to `_assemble`.
    """

    def _assemble(
        self,
        kind: str,
        make: Any,
        pairing: str,
        normalization: str | None,
        dropout: float,
        residual: bool,
    ) -> None:
        owner = type(self).__name__
        check_choice(
            owner, "normalization", normalization, (None, "batch", "layer")
        )
        self.pairing = pairing
        self.normalization = normalization
        self.dropout = check_number(
            owner, "dropout", dropout, minimum=0.0, maximum=1.0
        )
        self.residual = check_bool(owner, "residual", residual)
        canonical(pairing, type(self).__name__, "pairing")
        arguments = get(pairing, layer=kind)
        activation = keras.activations.get(arguments.pop("activation"))
        if normalization is not None:
            # A normalization takes a bias off again.
            arguments.pop("bias_initializer", None)
            arguments["use_bias"] = False
        self.kernel_layer = make(
            name="kernel_layer", dtype=self.dtype_policy, **arguments
        )
        self.normalizer = _normalizer(normalization, kind, self.dtype_policy)
        if not isinstance(activation, keras.layers.Layer):
            activation = keras.layers.Activation(
                activation, dtype=self.dtype_policy
            )
        self.activation_layer = activation
        self.dropout_layer = None
        if self.dropout:
            selu = activation.get_config().get("activation") == "selu"
            drop = keras.layers.AlphaDropout if selu else keras.layers.Dropout
            self.dropout_layer = drop(self.dropout, dtype=self.dtype_policy)
        self.adder = (
            ScaledAdd(name="residual", dtype=self.dtype_policy)
            if residual
            else None
        )

    def build(self, input_shape: Any) -> None:
        shape = input_shape
        for layer in (
            self.kernel_layer,
            self.normalizer,
            self.activation_layer,
            self.dropout_layer,
        ):
            if layer is not None:
                layer.build(shape)
                shape = layer.compute_output_shape(shape)
        if self.adder is not None:
            self.adder.build([input_shape, shape])

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = self.kernel_layer(inputs)
        if self.normalizer is not None:
            x = self.normalizer(x, training=training)
        x = self.activation_layer(x)
        if self.dropout_layer is not None:
            x = self.dropout_layer(x, training=training)
        return x if self.adder is None else self.adder([inputs, x])

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.kernel_layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pairing": self.pairing,
            "normalization": self.normalization,
            "dropout": self.dropout,
            "residual": self.residual,
        }


def _normalizer(normalization: str | None, kind: str, dtype: Any) -> Any:
    if normalization is None:
        return None
    first = keras.config.image_data_format() == "channels_first"
    axis = 1 if first and kind != "Dense" else -1
    if normalization == "batch":
        return keras.layers.BatchNormalization(
            axis=axis, name="normalization", dtype=dtype
        )
    return keras.layers.LayerNormalization(
        axis=axis, name="normalization", dtype=dtype
    )


@keras.saving.register_keras_serializable(package="keras_gradguard")
class PairedDense(_PairedBlock):
    """A dense layer with its activation and the initializer that fits.

    Weights, normalization, activation, dropout and residual addition, in this
    order.

    Args:
        units: Number of outputs, at least 1.
        pairing: Name from `kgg.presets.names()`. Defaults to `"he_relu"`.
        normalization: None, `"batch"` or `"layer"`: between the weights and
            the activation, which then have no bias. Defaults to None.
        dropout: Rate in [0, 1] after the activation. Under SELU it is
            `AlphaDropout`, which keeps mean and variance. Defaults to 0.
        residual: Whether to add the input, by `ScaledAdd`: the block starts
            as the identity. Needs as many units as inputs. Defaults to False.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its choices or range, or a
            residual block changes the shape.

    Example:
    >>> import keras
    >>> from keras_gradguard.layers import PairedDense
    >>> block = PairedDense(8, pairing="lecun_selu", dropout=0.1)
    >>> tuple(block(keras.ops.ones((2, 4))).shape)
    (2, 8)
    """

    def __init__(
        self,
        units: int,
        *,
        pairing: str = "he_relu",
        normalization: str | None = None,
        dropout: float = 0.0,
        residual: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = check_int("PairedDense", "units", units, minimum=1)

        def make(**arguments: Any) -> Any:
            return keras.layers.Dense(self.units, **arguments)

        self._assemble("Dense", make, pairing, normalization, dropout, residual)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


class _PairedConv(_PairedBlock):
    """What the convolutions share; `_layer` is Keras's class."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        *,
        strides: int | tuple[int, ...] = 1,
        padding: str = "same",
        pairing: str = "he_relu",
        normalization: str | None = None,
        dropout: float = 0.0,
        residual: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.filters = check_int(owner, "filters", filters, minimum=1)
        check_choice(owner, "padding", padding, ("same", "valid"))
        for name, size in (("kernel_size", kernel_size), ("strides", strides)):
            for length in size if isinstance(size, list | tuple) else [size]:
                check_int(owner, name, length, minimum=1)

        def make(**arguments: Any) -> Any:
            return self._layer(
                self.filters,
                kernel_size,
                strides=strides,
                padding=padding,
                **arguments,
            )

        self._assemble(
            self._layer.__name__,
            make,
            pairing,
            normalization,
            dropout,
            residual,
        )
        self.kernel_size = self.kernel_layer.kernel_size
        self.strides = self.kernel_layer.strides
        self.padding = padding

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
        }


@keras.saving.register_keras_serializable(package="keras_gradguard")
class PairedConv1D(_PairedConv):
    """A 1D convolution with its activation and the initializer that fits.

    Weights, normalization, activation, dropout and residual addition, in this
    order.

    Args:
        filters: Number of output channels, at least 1.
        kernel_size: Integer or tuple of 1.
        strides: Integer or tuple of 1. Defaults to 1.
        padding: `"same"` or `"valid"`. Defaults to `"same"`.
        pairing: Name from `kgg.presets.names()`. Defaults to `"he_relu"`.
        normalization: None, `"batch"` or `"layer"` (over channels): between
            the weights and the activation, which then have no bias. Defaults
            to None.
        dropout: Rate in [0, 1] after the activation. Under SELU it is
            `AlphaDropout`, which keeps mean and variance. Defaults to 0.
        residual: Whether to add the input, by `ScaledAdd`: the block starts
            as the identity. Needs as many filters as channels, strides of 1
            and padding `"same"`. Defaults to False.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its choices or range, or a
            residual block changes the shape.

    Example:
    >>> import keras
    >>> from keras_gradguard.layers import PairedConv1D
    >>> block = PairedConv1D(4, 3, pairing="silu", normalization="batch")
    >>> tuple(block(keras.ops.ones((2, 5, 3))).shape)
    (2, 5, 4)
    """

    _layer = keras.layers.Conv1D


@keras.saving.register_keras_serializable(package="keras_gradguard")
class PairedConv2D(_PairedConv):
    """A 2D convolution with its activation and the initializer that fits.

    Weights, normalization, activation, dropout and residual addition, in this
    order.

    Args:
        filters: Number of output channels, at least 1.
        kernel_size: Integer or tuple of 2.
        strides: Integer or tuple of 2. Defaults to 1.
        padding: `"same"` or `"valid"`. Defaults to `"same"`.
        pairing: Name from `kgg.presets.names()`. Defaults to `"he_relu"`.
        normalization: None, `"batch"` or `"layer"` (over channels): between
            the weights and the activation, which then have no bias. Defaults
            to None.
        dropout: Rate in [0, 1] after the activation. Under SELU it is
            `AlphaDropout`, which keeps mean and variance. Defaults to 0.
        residual: Whether to add the input, by `ScaledAdd`: the block starts
            as the identity. Needs as many filters as channels, strides of 1
            and padding `"same"`. Defaults to False.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its choices or range, or a
            residual block changes the shape.

    Example:
    >>> import keras
    >>> from keras_gradguard.layers import PairedConv2D
    >>> block = PairedConv2D(4, 3, pairing="silu", normalization="batch")
    >>> tuple(block(keras.ops.ones((2, 5, 5, 3))).shape)
    (2, 5, 5, 4)
    """

    _layer = keras.layers.Conv2D


@keras.saving.register_keras_serializable(package="keras_gradguard")
class PairedConv3D(_PairedConv):
    """A 3D convolution with its activation and the initializer that fits.

    Weights, normalization, activation, dropout and residual addition, in this
    order.

    Args:
        filters: Number of output channels, at least 1.
        kernel_size: Integer or tuple of 3.
        strides: Integer or tuple of 3. Defaults to 1.
        padding: `"same"` or `"valid"`. Defaults to `"same"`.
        pairing: Name from `kgg.presets.names()`. Defaults to `"he_relu"`.
        normalization: None, `"batch"` or `"layer"` (over channels): between
            the weights and the activation, which then have no bias. Defaults
            to None.
        dropout: Rate in [0, 1] after the activation. Under SELU it is
            `AlphaDropout`, which keeps mean and variance. Defaults to 0.
        residual: Whether to add the input, by `ScaledAdd`: the block starts
            as the identity. Needs as many filters as channels, strides of 1
            and padding `"same"`. Defaults to False.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its choices or range, or a
            residual block changes the shape.

    Example:
    >>> import keras
    >>> from keras_gradguard.layers import PairedConv3D
    >>> block = PairedConv3D(4, 3, pairing="silu", normalization="batch")
    >>> tuple(block(keras.ops.ones((2, 5, 5, 5, 3))).shape)
    (2, 5, 5, 5, 4)
    """

    _layer = keras.layers.Conv3D
