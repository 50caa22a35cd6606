"""Initializers of recurrent layers, whose kernel holds several gates."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gradguard._validation import check_choice
from keras_gradguard._validation import check_int
from keras_gradguard._validation import check_number
from keras_gradguard._validation import shown
from keras_gradguard.presets.initializers import child_seed


@keras.saving.register_keras_serializable(package="keras_gradguard")
class PerGate(keras.initializers.Initializer):
    """Draws each gate of a recurrent kernel on its own.

    Keras stores the gates of an `LSTM` or `GRU` side by side in one kernel
    `(inputs, gates * units)` and initializes it as one matrix: `Orthogonal`
    then makes the gates orthogonal to each other and shrinks each by the
    square root of their number, and Glorot counts the outputs of all of them.

    Args:
        initializer: Initializer of one gate: name, config or instance.
            Defaults to `"orthogonal"`.
        gates: Number of gates: 4 for an `LSTM`, 3 for a `GRU`.

    Raises:
        TypeError: If `gates` is no integer.
        ValueError: If `gates` is under 1, or does not divide the kernel.

    Example:
    >>> import keras
    >>> from keras_gradguard import presets
    >>> layer = keras.layers.LSTM(
    ...     8, recurrent_initializer=presets.PerGate("orthogonal", gates=4)
    ... )
    """

    def __init__(self, initializer: Any = "orthogonal", gates: int = 4) -> None:
        self.gates = check_int("PerGate", "gates", gates, minimum=1)
        try:
            self.initializer = keras.initializers.get(initializer)
        except Exception as error:
            raise ValueError(
                "PerGate: `initializer` must be one that Keras knows. "
                f"Received: initializer={shown(initializer)}. Check the "
                "spelling, or pass an object."
            ) from error

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        shape = tuple(int(size) for size in shape)
        if shape[-1] % self.gates:
            raise ValueError(
                "PerGate: `gates` must divide the last axis of the kernel. "
                f"Received: gates={self.gates} for shape={shape}. Pass 4 for "
                "an LSTM, 3 for a GRU."
            )
        one = (*shape[:-1], shape[-1] // self.gates)
        return ops.concatenate(
            [
                self._for_gate(gate)(one, dtype=dtype)
                for gate in range(self.gates)
            ],
            axis=-1,
        )

    def _for_gate(self, gate: Any) -> Any:
        """Return the initializer with a seed of its own for a gate."""
        seed = getattr(self.initializer, "seed", None)
        if not isinstance(seed, int):
            return self.initializer
        config = self.initializer.get_config()
        # An integer seed gives the same values each call: gates would match.
        config["seed"] = child_seed(seed, gate)
        return type(self.initializer).from_config(config)

    def get_config(self) -> dict[str, Any]:
        return {
            "initializer": keras.initializers.serialize(self.initializer),
            "gates": self.gates,
        }


@keras.saving.register_keras_serializable(package="keras_gradguard")
class GateBias(keras.initializers.Initializer):
    """Sets the bias of one gate, zero elsewhere: a GRU that remembers.

    Keras's `LSTM` has `unit_forget_bias`; its `GRU` has nothing like it. The
    update gate of a `GRU` is its first, and at a bias of 1 it keeps 73 % of
    the state at the start of training.

    Args:
        value: Bias of the gate. Defaults to 1.
        gate: Index of the gate. Defaults to 0, the update gate of a `GRU`.
        gates: Number of gates. Defaults to 3.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `gate` is none of the gates.

    Example:
    >>> import keras
    >>> from keras_gradguard import presets
    >>> layer = keras.layers.GRU(8, bias_initializer=presets.GateBias(1.0))

    References:
    - [Jozefowicz et al., 2015](https://proceedings.mlr.press/v37/jozefowicz15.html)
    """

    def __init__(
        self, value: float = 1.0, gate: int = 0, gates: int = 3
    ) -> None:
        self.value = check_number("GateBias", "value", value)
        self.gates = check_int("GateBias", "gates", gates, minimum=1)
        self.gate = check_int("GateBias", "gate", gate, minimum=0)
        check_choice("GateBias", "gate", self.gate, tuple(range(self.gates)))

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        shape = tuple(int(size) for size in shape)
        units = shape[-1] // self.gates
        bias = np.zeros(shape)
        # With `reset_after` a GRU has two biases that add up; one suffices.
        row = bias if bias.ndim == 1 else bias[0]
        row[self.gate * units : (self.gate + 1) * units] = self.value
        return ops.convert_to_tensor(bias, dtype=dtype or "float32")

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value, "gate": self.gate, "gates": self.gates}
