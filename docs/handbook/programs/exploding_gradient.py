"""A learning rate far too high for SGD: each step overshoots further."""

import keras
import numpy as np

from keras_gradguard import GradientMonitor

keras.utils.set_random_seed(1)
random = np.random.default_rng(1)
x = random.normal(size=(256, 16))
y = x @ random.normal(size=16)
model = keras.Sequential(
    [
        keras.Input((16,)),
        keras.layers.Dense(16, name="h1"),
        keras.layers.Dense(16, name="h2"),
        keras.layers.Dense(1, name="output"),
    ],
    name="net",
)
model.compile(keras.optimizers.SGD(0.5), "mse")

monitor = GradientMonitor(verbose=0)
model.fit(x, y, epochs=10, verbose=0, callbacks=[monitor])

for finding in monitor.report().ranked:
    print(f"{finding.rule}: {finding.message}")
