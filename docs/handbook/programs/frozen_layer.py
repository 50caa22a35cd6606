"""A rounding cuts two layers off from the loss."""

import keras
from sklearn.datasets import make_moons

from keras_gradguard import GradientMonitor

keras.utils.set_random_seed(1)
x, y = make_moons(256, noise=0.05, random_state=1)
inputs = keras.Input((2,))
h = keras.layers.Dense(16, "relu", name="h1")(inputs)
h = keras.layers.Dense(16, "relu", name="h2")(h)
h = keras.ops.round(10 * h) / 10
outputs = keras.layers.Dense(1, "sigmoid", name="output")(h)
model = keras.Model(inputs, outputs, name="net")
model.compile("adam", "binary_crossentropy")

monitor = GradientMonitor(verbose=0)
model.fit(x, y, epochs=20, verbose=0, callbacks=[monitor])

for finding in monitor.report().ranked:
    print(f"{finding.rule}: {finding.message}")
