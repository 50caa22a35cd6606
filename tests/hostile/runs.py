"""Made-up runs that use all of a trace, without Keras."""

import numpy as np

from keras_gradguard import Trace
from keras_gradguard import diagnose
from keras_gradguard.trace import ACTIVATION_SERIES
from keras_gradguard.trace import DATA_SERIES

LAYERS = ("net/dense", "net/dense_1", "net/norm", "net/dense_2")
ACTIVATIONS = ("relu", "tanh", None, "sigmoid")
KINDS = ("healthy", "exploding", "dead")


def meta(steps_per_epoch=10):
    """What a `GradientMonitor` knows of such a network."""
    infos = {}
    for layer, activation in zip(LAYERS, ACTIVATIONS, strict=True):
        infos[layer] = {
            "class": "BatchNormalization" if activation is None else "Dense",
            "name": layer.removeprefix("net/"),
            "trainable": True,
            "normalization": activation is None,
            "activation": activation,
            "shapes": {"kernel": [8, 8], "bias": [8]},
            "kernel_initializer": {"class": "GlorotUniform"},
            "units": 8,
            "use_bias": True,
        }
    return {
        "backend": "jax",
        "keras_version": "3.15.1",
        "model": "net",
        "optimizer": {
            "class": "Adam",
            "name": "Adam",
            "learning_rate": 0.001,
            "momentum": 0.0,
            "clipped": False,
        },
        "learning_rate": 0.001,
        "loss_name": "binary_crossentropy",
        "loss_weight": 1.0,
        "outputs": [
            {
                "layer": LAYERS[-1],
                "kind": "Dense",
                "units": 1,
                "activation": "sigmoid",
                "loss": "binary_crossentropy",
                "from_logits": False,
                "scale": 1.0,
                "offset": 0.0,
            }
        ],
        "epochs_planned": 7,
        "steps_per_epoch": steps_per_epoch,
        "layer_info": infos,
        "sites": {
            layer: {
                "activation": activation,
                "can_die": activation == "relu",
                "saturates": activation in ("tanh", "sigmoid"),
            }
            for layer, activation in zip(LAYERS, ACTIVATIONS, strict=True)
            if activation
        },
        "data": {
            "input_shape": [8],
            "input_layer": LAYERS[0],
            "outputs": 1,
            "weighted": False,
            "target_shape": [],
            "output_shape": [1],
            "target_dtype": "float32",
        },
    }


def make(kind="healthy", steps=75, per_epoch=10):
    """A trace of a kind of `KINDS`: healthy, or sick in several ways."""
    rng = np.random.default_rng(0)
    trace, sites = empty(per_epoch), list(meta()["sites"])
    for step in range(steps):
        append(trace, kind, step, rng, sites)
        if step % per_epoch == per_epoch - 1:
            loss = 0.7 if kind == "dead" else 0.7 * 0.9**step
            trace.append_epoch(
                step // per_epoch, step, {"loss": loss, "val_loss": 0.6}
            )
    trace.remember(diagnose(trace).findings)
    return trace


def empty(per_epoch=10):
    """A trace of the network without a record."""
    variables = [f"{a}/{b}" for a in LAYERS for b in ("kernel", "bias")]
    return Trace(
        LAYERS,
        variables,
        np.repeat(np.arange(len(LAYERS)), 2),
        meta=meta(per_epoch),
        sizes=[64, 8] * len(LAYERS),
        has_gradient=np.ones(2 * len(LAYERS), bool),
    )


def append(trace, kind, step, rng, sites):
    """Append what a monitor records at one step."""
    count = 2 * len(LAYERS)
    norms = np.exp(0.2 * rng.normal(size=(1, count)))
    if kind == "exploding" and step > 40:
        norms *= 10.0 ** (step - 40)
        if step > 70:
            norms[:, 2] = np.nan
    if kind == "dead":
        norms *= np.repeat([1e-9, 1e-6, 1e-3, 1.0], 2)
        norms[:, :2] = 0.0
    extra = {"loss": [0.7], "clip_threshold": [2.0]}
    trace.append([step], norms, np.minimum(norms.max(1), 2.0), [False], extra)
    if step in (0, 1, 2, 4, 8, 16, 32, 64) or step % 10 == 9:
        weights = np.ones((1, count))
        ratio = 1e-7 if kind == "dead" else 1e-3
        trace.append_updates(
            [step], weights, weights * ratio, weights * 0, weights, weights
        )
        activations = {name: np.full(3, 0.4) for name in ACTIVATION_SERIES}
        data = dict.fromkeys(DATA_SERIES, 0.5)
        if kind == "dead":
            activations["inactive_fraction"] = np.ones(3)
            activations["dead_fraction"] = np.ones(3)
            activations["saturated_fraction"] = np.ones(3)
            data |= {"input_max": 1e6, "target_max": 1e5, "input_std": 1e5}
        trace.append_activations(step, sites, activations, data)
