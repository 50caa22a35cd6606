"""One missing value among 4,096 numbers makes everything NaN."""

import keras
import numpy as np

from keras_gradguard import GradientMonitor

keras.utils.set_random_seed(1)
random = np.random.default_rng(1)
x = random.normal(size=(256, 16))
y = x[:, :1] - x[:, 1:2]
x[200, 3] = np.nan
model = keras.Sequential(
    [
        keras.Input((16,)),
        keras.layers.Dense(16, "relu", name="h1"),
        keras.layers.Dense(1, name="output"),
    ],
    name="net",
)
model.compile("adam", "mse")

monitor = GradientMonitor(verbose=0)
model.fit(x, y, epochs=4, verbose=0, callbacks=[monitor])

for finding in monitor.report().ranked:
    print(f"{finding.rule}: {finding.message}")
