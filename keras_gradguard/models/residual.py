"""Residual connections whose branch starts at nothing."""

from typing import Any

import keras
from keras import ops

from keras_gradguard._validation import check_number
from keras_gradguard._validation import shown


@keras.saving.register_keras_serializable(package="keras_gradguard")
class ScaledAdd(keras.layers.Layer):
    """Adds a branch to a shortcut: `shortcut + scale * branch`.

    `scale` is one learnable number that starts at zero, so that at the start
    the layer is the identity and a stack of any depth passes signal and
    gradient on unchanged (SkipInit, ReZero). Call it on
    `[shortcut, branch]`.

    Args:
        initial_scale: Value of the scale at the start. Defaults to 0.

    Raises:
        TypeError: If `initial_scale` is no number.
        ValueError: If it is not called on two inputs of one shape.

    Example:
    >>> import keras
    >>> from keras_gradguard.layers import ScaledAdd
    >>> x = keras.Input((8,))
    >>> y = ScaledAdd()([x, keras.layers.Dense(8, "gelu")(x)])

    References:
    - [De & Smith, 2020](https://arxiv.org/abs/2002.10444)
    - [Bachlechner et al., 2021](https://arxiv.org/abs/2003.04887)
    """

    def __init__(self, initial_scale: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initial_scale = check_number(
            "ScaledAdd", "initial_scale", initial_scale
        )

    def build(self, input_shape: Any) -> None:
        _check_shapes(type(self).__name__, *input_shape)
        self.scale = _add_scale(self, self.initial_scale)

    def call(self, inputs: Any) -> Any:
        shortcut, branch = inputs
        return shortcut + ops.cast(self.scale, branch.dtype) * branch

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initial_scale": self.initial_scale}


@keras.saving.register_keras_serializable(package="keras_gradguard")
class Residual(keras.layers.Layer):
    """Wraps a branch in a residual connection that starts at the identity.

    `Residual(branch)(x)` is `x + scale * branch(x)`; see `ScaledAdd` for the
    scale. Use it to stack what no initialization can make trainable when
    stacked plainly, such as GELU or SiLU layers.

    Args:
        branch: A layer or model whose output has the shape of its input, or a
            list of layers.
        initial_scale: Value of the scale at the start. Defaults to 0.

    Raises:
        TypeError: If `branch` is no layer, or `initial_scale` no number.
        ValueError: If the branch changes the shape.

    Example:
    >>> import keras
    >>> from keras_gradguard import presets
    >>> from keras_gradguard.layers import Residual
    >>> block = Residual(keras.layers.Dense(8, **presets.get("gelu")))
    >>> block(keras.ops.ones((2, 8))).shape[-1]
    8

    References:
    - [De & Smith, 2020](https://arxiv.org/abs/2002.10444)
    - [Bachlechner et al., 2021](https://arxiv.org/abs/2003.04887)
    """

    def __init__(
        self, branch: Any, initial_scale: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(branch, list | tuple):
            branch = keras.Sequential(list(branch), name="branch")
        if not isinstance(branch, keras.layers.Layer):
            raise TypeError(
                "Residual: `branch` must be a layer or a list of layers. "
                f"Received: branch={shown(branch)} (of type "
                f"{type(branch).__name__}). Wrap a function in "
                "`keras.layers.Lambda`."
            )
        self.branch = branch
        self.initial_scale = check_number(
            "Residual", "initial_scale", initial_scale
        )
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        if not self.branch.built:
            self.branch.build(input_shape)
        _check_shapes(
            type(self).__name__,
            input_shape,
            self.branch.compute_output_shape(input_shape),
        )
        self.scale = _add_scale(self, self.initial_scale)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        # Keras hands `training` on to the branch by its call context.
        branch = self.branch(inputs)
        return inputs + ops.cast(self.scale, branch.dtype) * branch

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "branch": keras.saving.serialize_keras_object(self.branch),
            "initial_scale": self.initial_scale,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Residual":
        branch = keras.saving.deserialize_keras_object(config["branch"])
        return cls(**{**config, "branch": branch})


def _add_scale(layer: Any, value: float) -> Any:
    return layer.add_weight(
        shape=(),
        initializer=keras.initializers.Constant(value),
        name="scale",
    )


def _check_shapes(owner: str, shortcut: Any, branch: Any) -> None:
    if tuple(shortcut)[1:] != tuple(branch)[1:]:
        raise ValueError(
            f"{owner}: building failed. Expected a branch with the shape of "
            f"its shortcut {tuple(shortcut)} but found {tuple(branch)}. Give "
            'the branch as many units or filters, and padding="same".'
        )
