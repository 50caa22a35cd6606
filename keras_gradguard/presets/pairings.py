"""The table of pairings: which initializer fits which activation, and why."""

import dataclasses
import functools
from typing import Any

import keras

from keras_gradguard._validation import check_choice
from keras_gradguard.presets.gains import gain
from keras_gradguard.presets.gains import moments

VARIANTS = ("normal", "uniform", "orthogonal")


@keras.saving.register_keras_serializable(package="keras_gradguard")
def squared_relu(x: Any) -> Any:
    """Return `relu(x)**2`.

    Args:
        x: Tensor.

    Returns:
        Tensor of the same shape and dtype.

    References:
    - [So et al., 2021](https://arxiv.org/abs/2109.08668)
    """
    return keras.ops.square(keras.ops.relu(x))


@dataclasses.dataclass(frozen=True, slots=True)
class Pairing:
    """An initializer and the activation it fits.

    Attributes:
        name: Name for `kgg.presets.get`.
        activation: Keras identifier of the activation.
        scale: Variance of the weights times the fan.
        mode: `"fan_in"` or `"fan_avg"`.
        bias_variance: Variance of the biases at the start. 0 but for the
            `_deep` pairings.
        point: Second moment of the pre-activation that it keeps.
        when: When to use it, in a sentence.
        paper: Where it comes from.
    """

    name: str
    activation: object
    scale: float
    mode: str
    bias_variance: float
    point: float
    when: str
    paper: str


_HE = "He et al. 2015, arXiv:1502.01852"
_PRELU = {
    "module": "keras.layers",
    "class_name": "PReLU",
    "config": {
        "alpha_initializer": {
            "module": "keras.initializers",
            "class_name": "Constant",
            "config": {"value": 0.25},
            "registered_name": None,
        }
    },
    "registered_name": None,
}
_UNSTABLE = (
    "The variance this keeps is unstable: above some ten plain layers take "
    "`{}_deep`, or put a normalization or residual connections in."
)

# name: (activation, scale or None for the exact gain, mode, when, paper)
_ROWS = {
    "he_relu": (
        "relu",
        2.0,
        "fan_in",
        "The default for ReLU, plain or residual, dense or convolutional.",
        _HE,
    ),
    "he_leaky_relu": (
        "leaky_relu",
        None,
        "fan_in",
        "Keras's leaky ReLU (slope 0.2), where ReLU units die.",
        _HE,
    ),
    "he_prelu": (
        _PRELU,
        None,
        "fan_in",
        "A leaky ReLU that learns its slope, from 0.25.",
        _HE,
    ),
    "relu6": (
        "relu6",
        2.0,
        "fan_in",
        "ReLU for networks that will be quantized.",
        "Howard et al. 2017, arXiv:1704.04861",
    ),
    "lecun_selu": (
        "selu",
        1.0,
        "fan_in",
        "Deep fully connected networks without normalization; with "
        "`AlphaDropout`, inputs standardized.",
        "Klambauer et al. 2017, arXiv:1706.02515",
    ),
    "elu": (
        "elu",
        None,
        "fan_in",
        "A smooth ReLU with negative values; stable at any depth tried.",
        "Clevert et al. 2016, arXiv:1511.07289",
    ),
    "gelu": (
        "gelu",
        None,
        "fan_in",
        "Transformer blocks and networks with normalization. "
        + _UNSTABLE.format("gelu"),
        "Hendrycks & Gimpel 2016, arXiv:1606.08415",
    ),
    "silu": (
        "silu",
        None,
        "fan_in",
        "Networks with normalization. " + _UNSTABLE.format("silu"),
        "Ramachandran et al. 2017, arXiv:1710.05941",
    ),
    "mish": (
        "mish",
        None,
        "fan_in",
        "Networks with normalization. " + _UNSTABLE.format("mish"),
        "Misra 2019, arXiv:1908.08681",
    ),
    "hard_silu": (
        "hard_silu",
        None,
        "fan_in",
        "Mobile networks with normalization. " + _UNSTABLE.format("hard_silu"),
        "Howard et al. 2019, arXiv:1905.02244",
    ),
    "glorot_tanh": (
        "tanh",
        1.0,
        "fan_avg",
        "The default for tanh: the edge of chaos, where the signal shrinks "
        "slowly and gradients live.",
        "Glorot & Bengio 2010, PMLR v9",
    ),
    "softplus": (
        "softplus",
        None,
        "fan_in",
        "Where outputs must be positive and smooth; a few layers at most.",
        "Dugas et al. 2001, NIPS 13",
    ),
    "sigmoid": (
        "sigmoid",
        None,
        "fan_in",
        "One or two layers at most: gradients shrink sevenfold a layer. "
        "Prefer `glorot_tanh`.",
        "Glorot & Bengio 2010, PMLR v9",
    ),
    "squared_relu": (
        squared_relu,
        None,
        "fan_in",
        "Feed-forward parts of transformers, between normalizations. Its "
        "variance is unstable: no plain stacks.",
        "So et al. 2021, arXiv:2109.08668",
    ),
    "linear": (
        "linear",
        1.0,
        "fan_in",
        "Layers with no activation, and first layers: data is no activation.",
        "LeCun et al. 1998, Efficient BackProp",
    ),
}
_ALIASES = {
    "relu": "he_relu",
    "leaky_relu": "he_leaky_relu",
    "prelu": "he_prelu",
    "selu": "lecun_selu",
    "tanh": "glorot_tanh",
    "swish": "silu",
    "hard_swish": "hard_silu",
}
# Fixed point q and slope dV/dq there, chosen by `benchmarks/initialization.py`.
_DEEP = {
    "relu_deep": ("relu", 1.0, 0.95),
    "leaky_relu_deep": ("leaky_relu", 1.0, 0.95),
    "gelu_deep": ("gelu", 4.0, 0.98),
    "silu_deep": ("silu", 4.0, 0.98),
    "mish_deep": ("mish", 4.0, 0.98),
    "hard_silu_deep": ("hard_silu", 4.0, 0.98),
}


def names() -> list[str]:
    """Return the names that `kgg.presets.get` knows, aliases last.

    Each also takes a suffix: `"he_relu_uniform"`, `"he_relu_orthogonal"`.

    Returns:
        List of strings.

    Example:
    >>> from keras_gradguard import presets
    >>> presets.names()[:2]
    ['he_relu', 'he_leaky_relu']
    """
    return [*_ROWS, *_DEEP, *_ALIASES]


def canonical(
    name: str, owner: str = "presets", argument: str = "name"
) -> tuple[str, str | None]:
    """Resolve aliases and the suffix of a variant.

    Args:
        name: A name as a user writes it.
        owner: Class or function that took it, for the error message.
        argument: How the argument is called there.

    Returns:
        The name in the table, and the variant or None.

    Raises:
        ValueError: If there is no such pairing.
    """
    base, variant = name, None
    if isinstance(name, str):
        head, _, tail = name.rpartition("_")
        if tail in VARIANTS:
            base, variant = head, tail
    check_choice(
        owner,
        argument,
        base,
        names(),
        'Add "_uniform" or "_orthogonal" for a variant.',
    )
    return _ALIASES.get(base, base), variant


def pairing(name: str) -> Pairing:
    """Return what the table says about a pairing.

    Args:
        name: A name from `kgg.presets.names()`.

    Returns:
        A `Pairing`.

    Raises:
        ValueError: If there is no such pairing.

    Example:
    >>> from keras_gradguard import presets
    >>> presets.pairing("gelu").scale
    2.351716
    """
    return _pairing(canonical(name)[0])


@functools.lru_cache(maxsize=64)
def _pairing(name: Any) -> Any:
    if name in _DEEP:
        return _deep(name)
    activation, scale, mode, when, paper = _ROWS[name]
    if scale is None:
        function = keras.activations.get(activation)
        scale = round(gain(function) ** 2, 6)
    return Pairing(name, activation, scale, mode, 0.0, 1.0, when, paper)


def _deep(name: Any) -> Any:
    """Solve for weights and biases with a stable fixed point.

    V(q) = scale E f(sqrt(q) z)^2 + bias_variance. No scale alone gives a
    rectifier a stable fixed point; with random biases two equations, V(q) = q
    and dV/dq = slope, have a solution (Schoenholz et al. 2017).
    """
    activation, point, slope = _DEEP[name]
    found = moments(activation, point)
    scale = round(slope / found.sensitivity, 6)
    return Pairing(
        name,
        activation,
        scale,
        "fan_in",
        round(point - scale * found.second_moment, 6),
        point,
        f"Plain stacks of {activation} deeper than some ten layers: random "
        "biases make the variance stable. Best with `_orthogonal`.",
        "Schoenholz et al. 2017, arXiv:1611.01232",
    )


def for_name_of(activation: Any) -> Any:
    """Return the pairing of the table that an activation belongs to.

    Args:
        activation: A name, callable, layer or None.

    Returns:
        A `Pairing`, or None where the table has none.
    """
    if activation is None:
        return pairing("linear")
    if isinstance(activation, str):
        key = activation
    elif isinstance(activation, keras.layers.Layer):
        return None
    elif activation is squared_relu:
        return pairing("squared_relu")
    else:
        # A function of the user's that is merely called "relu" is not Keras's.
        key = getattr(activation, "__name__", "")
        try:
            if keras.activations.get(key) is not activation:
                return None
        except (ValueError, TypeError):
            return None
    key = _ALIASES.get(key, key)
    return pairing(key) if key in _ROWS else None
