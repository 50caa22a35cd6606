"""What watching costs on a GPU: seconds a step, first epoch, peak memory.

Usage: KERAS_BACKEND=jax python benchmarks/gpu.py [MODEL ...], with torch or
JAX and models of `tiny`, `cnn`, `resnet`, `gpt` (default: all). Prints a row
for each fit: `plain` stands before and after what it is compared with. SMALL=1
shrinks the models, for a look at the script where there is no GPU.
"""

import gc
import os
import statistics
import sys
import tempfile
import time

import keras
import numpy as np
from keras import layers

import keras_gradguard as kgg

BACKEND = keras.backend.backend()
SMALL = bool(os.environ.get("SMALL"))
EPOCHS = 4 if SMALL else 10
KINDS = ("plain", "monitor", "plain", "log_dir", "plain", "dead", "plain")
KINDS += ("clipnorm", "autoclip", "clipnorm")
_RANDOM = np.random.default_rng(0)


def normal(*shape):
    return _RANDOM.normal(size=shape).astype("float32")


def tiny():
    hidden = [layers.Dense(10, activation="relu") for _ in range(9)]
    model = keras.Sequential([keras.Input((10,)), *hidden, layers.Dense(1)])
    return model, normal(6400, 10), normal(6400, 1), 32, "mse"


def cnn():
    inputs = x = keras.Input((32, 32, 3))
    for filters in (64, 128, 256):
        for _ in range(2):
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.MaxPool2D()(x)
    outputs = layers.Dense(10)(layers.GlobalAveragePooling2D()(x))
    count = 256 * (2 if SMALL else 40)
    labels = _RANDOM.integers(0, 10, count)
    return keras.Model(inputs, outputs), normal(count, 32, 32, 3), labels, 256


def resnet():
    size, count = (64, 128) if SMALL else (224, 1280)
    model = keras.applications.ResNet50(
        weights=None, input_shape=(size, size, 3), classifier_activation=None
    )
    labels = _RANDOM.integers(0, 1000, count)
    return model, normal(count, size, size, 3), labels, 64


def gpt():
    depth, width, length, words = (12, 768, 512, 32000)
    if SMALL:
        depth, width, length, words = (2, 64, 32, 500)
    inputs = keras.Input((length,), dtype="int32")
    x = layers.Embedding(words, width)(inputs)
    for _ in range(depth):
        y = layers.LayerNormalization()(x)
        attention = layers.MultiHeadAttention(width // 64, 64)
        x = x + attention(y, y, use_causal_mask=True)
        y = layers.Dense(4 * width, activation="gelu")(
            layers.LayerNormalization()(x)
        )
        x = x + layers.Dense(width)(y)
    head = layers.Dense(words, dtype="float32")
    model = keras.Model(inputs, head(layers.LayerNormalization()(x)))
    data = _RANDOM.integers(0, words, (200, length)).astype("int32")
    return model, data, data, 8


MODELS = {"tiny": tiny, "cnn": cnn, "resnet": resnet, "gpt": gpt}
POLICIES = {"resnet": "mixed_bfloat16", "gpt": "mixed_bfloat16"}


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch, with all that the device had to do."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        wait()
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        wait()
        self.seconds.append(time.perf_counter() - self._began)


def wait():
    if BACKEND == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()


def peak():
    """MiB at most since the last time on torch, since the start on JAX."""
    if BACKEND == "torch":
        import torch

        if not torch.cuda.is_available():
            return float("nan")
        most = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return most / 2**20
    import jax

    facts = jax.local_devices()[0].memory_stats() or {}
    return facts.get("peak_bytes_in_use", float("nan")) / 2**20


def run(name, kind):
    keras.backend.clear_session()
    gc.collect()
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(POLICIES.get(name, "float32"))
    model, x, y, batch, *loss = MODELS[name]()
    optimizer = keras.optimizers.Adam(1e-4)
    if kind == "clipnorm":
        optimizer = keras.optimizers.Adam(1e-4, global_clipnorm=1.0)
    elif kind == "autoclip":
        optimizer = kgg.AutoClip(optimizer)
    classes = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss[0] if loss else classes)
    with tempfile.TemporaryDirectory() as folder:
        watching = {
            "monitor": lambda: [kgg.GradientMonitor(verbose=0)],
            "log_dir": lambda: [kgg.GradientMonitor(folder, verbose=0)],
            "dead": lambda: [kgg.DeadReLUDetector(verbose=0)],
        }.get(kind, list)()
        clock = Clock()
        fit = {"batch_size": batch, "epochs": EPOCHS, "verbose": 0}
        callbacks = [*watching, clock]
        model.fit(x, y, shuffle=False, callbacks=callbacks, **fit)
    steps = -(-len(x) // batch)
    step = 1e6 * statistics.median(clock.seconds[2:]) / steps
    return step, clock.seconds[0], peak()


def main(names):
    for name in names or MODELS:
        base = {}
        for kind in KINDS:
            step, first, memory = run(name, kind)
            beside = "clipnorm" if kind in ("clipnorm", "autoclip") else "plain"
            if kind == beside:
                base[kind] = step
            print(
                f"{BACKEND:6} {name:7} {kind:9} {step:10.1f} us a step, ratio "
                f"{step / base[beside]:.3f}, first epoch {first:6.1f} s, peak "
                f"{memory:7.0f} MiB",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
