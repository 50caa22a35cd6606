"""Biases far below zero: no unit of a layer is ever active."""

import keras
from sklearn.datasets import make_moons

from keras_gradguard import GradientMonitor

keras.utils.set_random_seed(1)
x, y = make_moons(256, noise=0.05, random_state=1)
below = keras.initializers.Constant(-10)
model = keras.Sequential(
    [
        keras.Input((2,)),
        keras.layers.Dense(16, "relu", name="h1"),
        keras.layers.Dense(16, "relu", bias_initializer=below, name="h2"),
        keras.layers.Dense(1, "sigmoid", name="output"),
    ],
    name="net",
)
model.compile("adam", "binary_crossentropy")

monitor = GradientMonitor(verbose=0)
model.fit(x, y, epochs=20, verbose=0, callbacks=[monitor])

for finding in monitor.report().ranked:
    print(f"{finding.rule}: {finding.message}")
