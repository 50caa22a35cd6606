"""Dense and convolutional layers, healthy or with one sickness in them."""

import keras
from keras import layers
from keras import ops

# What is wrong with a layer whatever else there is, and what may be harmless:
# the layers behind can learn from random features, and Adam from any scale.
ALWAYS = ("dead", "constant", "nonfinite")
PERHAPS = ("saturated", "huge")
_FAR = 50.0
_HUGE = 1000.0


def dense(units, name, sick, activation="relu"):
    """Return a dense layer.

    Args:
        units: Int.
        name: Str.
        sick: Dict from a layer's name to what is sick about it.
        activation: Str. Its activation, where it is healthy.
    """
    return _layer(
        lambda more: layers.Dense(units, name=name, **more),
        sick.get(name),
        activation,
    )


def conv(filters, name, sick, activation="relu"):
    """Return a convolution, as `dense` does."""
    return _layer(
        lambda more: layers.Conv2D(
            filters, 3, padding="same", name=name, **more
        ),
        sick.get(name),
        activation,
    )


def _layer(make, kind, activation):
    if kind == "nonfinite":
        return make({"activation": _WithRoot(activation)})
    more = {"activation": activation}
    if kind == "dead":
        more["bias_initializer"] = keras.initializers.Constant(-_FAR)
    elif kind == "constant":
        more["kernel_initializer"] = "zeros"
    elif kind == "saturated":
        more["activation"] = "tanh"
        more["bias_initializer"] = keras.initializers.Constant(_FAR)
    elif kind == "huge":
        more["kernel_initializer"] = keras.initializers.VarianceScaling(
            _HUGE**2, "fan_avg", "uniform"
        )
    return make(more)


@keras.saving.register_keras_serializable("benchmarks")
class _WithRoot:
    """An activation with a root of zero in front, whose gradient is NaN."""

    def __init__(self, name):
        self.name = name
        self.function = keras.activations.get(name)

    def __call__(self, x):
        return self.function(x + ops.sqrt(ops.square(0.0 * x)))

    def get_config(self):
        return {"name": self.name}
