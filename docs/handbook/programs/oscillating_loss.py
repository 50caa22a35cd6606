"""A learning rate of 10: each step jumps over the valley."""

import keras
import numpy as np

from keras_gradguard import GradientMonitor

keras.utils.set_random_seed(1)
random = np.random.default_rng(1)
x = random.normal(size=(256, 16))
y = (x[:, 0] * x[:, 1] > 0).astype("int32")
model = keras.Sequential(
    [
        keras.Input((16,)),
        keras.layers.Dense(16, name="h1"),
        keras.layers.LayerNormalization(name="norm"),
        keras.layers.ReLU(name="relu"),
        keras.layers.Dense(1, "sigmoid", name="output"),
    ],
    name="net",
)
model.compile(keras.optimizers.SGD(10.0), "binary_crossentropy")

monitor = GradientMonitor(verbose=0)
model.fit(x, y, epochs=20, verbose=0, callbacks=[monitor])

for finding in monitor.report().ranked:
    print(f"{finding.rule}: {finding.message}")
