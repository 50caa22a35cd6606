"""Builds and trains the programs that a file of labelled cases describes."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import layers

# Labels of the file, and the rules that tell of them. A label that names a
# cause is also met by the rule of the symptom the cause shows itself in.
RULES = {
    "vanishing_gradient": ("vanishing_gradient",),
    "exploding_gradient": ("exploding_gradient", "nonfinite_gradient"),
    "dying_relu": ("dead_relu",),
    "oscillating_loss": ("oscillating_loss",),
    "slow_convergence": ("slow_convergence", "loss_plateau"),
    "improper_activation": ("output_mismatch",),
    "abnormal_data": ("unscaled_data",),
    "unscaled_data": ("unscaled_data",),
    "bad_init": ("poor_initialization",),
    "poor_initialization": ("poor_initialization",),
    "saturation": ("saturated_activation",),
    "learning_rate": ("update_ratio",),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """A compiled model and what `fit` takes.

    Attributes:
        model: Keras model.
        x, y: Training data.
        validation: Tuple of arrays, or None.
        batch_size: Int.
        epochs: Int. Planned epochs.
    """

    model: Any
    x: Any
    y: Any
    validation: Any
    batch_size: int
    epochs: int


def build(case, seed):
    """Return the `Program` of a labelled case.

    Args:
        case: Dict, an entry of `"cases"` of the file.
        seed: Int. The file's seed, which counts from 0.
    """
    keras.utils.set_random_seed(seed + 1)
    (x, y), validation = data(case["dataset"], case["loss"])
    stack = [keras.Input(x.shape[1:])]
    for at, described in enumerate(case["layers"]):
        stack.append(_layer(described, (seed + 1) * 1000 + at))
    model = keras.Sequential(stack)
    settings = dict(case["optimizer"])
    settings["learning_rate"] = float(settings["learning_rate"])
    optimizer = getattr(keras.optimizers, settings.pop("name"))(**settings)
    metrics = ["accuracy"] if "crossentropy" in case["loss"] else []
    model.compile(optimizer, case["loss"], metrics=metrics)
    return Program(model, x, y, validation, case["batch_size"], case["epochs"])


def _layer(described, seed):
    described = dict(described)
    kind = described.pop("type")
    for key, value in described.items():
        if key.endswith("_initializer"):
            shift = 500 if key.startswith("bias") else 0
            described[key] = _initializer(value, seed + shift)
    return getattr(layers, kind)(**described)


def _initializer(described, seed):
    if isinstance(described, str):
        made = keras.initializers.get(described)
        config = made.get_config()
    else:
        config = dict(described)
        made = getattr(keras.initializers, config.pop("class"))(**config)
        config = made.get_config()
    if "seed" in config:
        config["seed"] = seed
    return type(made).from_config(config)


def data(name, loss):
    """Return training and validation data of a data set of the file.

    Args:
        name: Str. Its name there.
        loss: Str. Decides whether classes become columns.

    Returns:
        Tuple `((x, y), (x_val, y_val) or None)`.
    """
    from sklearn import datasets

    random = np.random.default_rng(0)
    if name == "at_circle":
        x, y = datasets.make_circles(1000, noise=0.1, random_state=1)
        return _split(x, y, 700)
    if name in ("at_blob", "bl_blob"):
        x, y = datasets.make_blobs(
            1000, centers=3, n_features=2, cluster_std=2, random_state=2
        )
        return _split(x, np.eye(3)[y], 700 if name == "at_blob" else 500)
    if name == "bl_circle_mm":
        x, y = datasets.make_circles(1000, noise=0.1, random_state=1)
        low, high = x.min(axis=0), x.max(axis=0)
        return _split(2 * (x - low) / (high - low) - 1, y, 500)
    if name == "bl_reg_raw":
        x, y = datasets.make_regression(
            1000, n_features=20, noise=0.1, random_state=1
        )
        return _split(x, y, 500)
    if name == "xor4":
        x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        return _split(x, x[:, 0] ^ x[:, 1], 4)
    if name == "xor6":
        x = np.array([[1, 1], [0, 0], [1, 0], [0, 1], [1, 1], [0, 0]])
        return _split(x, np.array([0, 0, 1, 1, 0, 0]), 6)
    if name == "so33969059_raw":
        x = 10000 * random.random((100000, 3))
        return _split(x, x @ [2, 1, 0.5] + 2.2, len(x))
    if name == "so48934338":
        x = np.arange(0, 5, 0.1)
        return _split(x[:, None], 5 * x**2 + random.normal(size=50) ** 3, 50)
    if name.startswith("so52800582"):
        x = np.arange(-100, 100, 0.5)
        y = x**4
        if name.endswith("_std"):
            x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
        return _split(x[:, None], y, len(x))
    raise ValueError(f"data: `name` must be a known data set. Received: {name}")


def _split(x, y, count):
    x, y = np.asarray(x, "float32"), np.asarray(y, "float32")
    if y.ndim == 1:
        y = y[:, None]
    rest = (x[count:], y[count:]) if count < len(x) else None
    return (x[:count], y[:count]), rest
