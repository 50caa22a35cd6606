"""Fits on a mesh of 2 x 2 devices; prints what differs when watched.

`python -m tests.processes.mesh` with `KERAS_BACKEND=jax`: a process of its
own, since the number of devices is chosen before JAX starts.
"""

import json
import os
import sys

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import keras
import numpy as np

import keras_gradguard as kgg

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(64, 8)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")
OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "global_clipnorm": lambda: keras.optimizers.Adam(
        0.01, global_clipnorm=0.01
    ),
    "autoclip": lambda: kgg.AutoClip(keras.optimizers.Adam(0.01)),
}


def distribution():
    """Two weights are sharded, the others lie whole on all devices."""
    mesh = keras.distribution.DeviceMesh(
        (2, 2), ("batch", "model"), keras.distribution.list_devices()
    )
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*a/kernel"] = (None, "model")
    layout[".*a/bias"] = ("model",)
    layout[".*b/kernel"] = ("model", None)
    return keras.distribution.ModelParallel(
        layout_map=layout, batch_dim_name="batch"
    )


def fit(optimizer, *callbacks):
    """The weights after a fit."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(64, "relu", name="a"),
            keras.layers.Dense(64, "relu", name="b"),
            keras.layers.Dense(1, "sigmoid", name="o"),
        ]
    )
    model.compile(OPTIMIZERS[optimizer](), "binary_crossentropy")
    model.fit(
        X,
        Y,
        batch_size=16,
        epochs=2,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )
    return [np.array(keras.ops.convert_to_numpy(w)) for w in model.weights]


def main():
    alone, parallel = (kgg.GradientMonitor(verbose=0) for _ in range(2))
    fit("adam", alone)
    keras.distribution.set_distribution(distribution())
    differ = {}
    for name in OPTIMIZERS:
        plain = fit(name)
        ways = {
            "both": [parallel, kgg.DeadReLUDetector(verbose=0)]
            if name == "adam"
            else [
                kgg.GradientMonitor(verbose=0),
                kgg.DeadReLUDetector(method="gradient", verbose=0),
            ],
        }
        if name == "adam":
            ways["activation"] = [
                kgg.DeadReLUDetector(method="activation", verbose=0)
            ]
        for way, callbacks in ways.items():
            watched = fit(name, *callbacks)
            pairs = zip(plain, watched, strict=True)
            differ[f"{name}, {way}"] = max(
                float(np.abs(a - b).max()) for a, b in pairs
            )
    norms = [
        monitor.trace.get("grad_norm", by="variable").tolist()
        for monitor in (alone, parallel)
    ]
    sys.stdout.write(json.dumps({"differ": differ, "norms": norms}))


if __name__ == "__main__":
    main()
