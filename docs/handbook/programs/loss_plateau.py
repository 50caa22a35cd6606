"""Labels that have nothing to do with the inputs: there is nothing to learn."""

import keras
import numpy as np

from keras_gradguard import GradientMonitor

keras.utils.set_random_seed(1)
random = np.random.default_rng(1)
x = random.normal(size=(2048, 8))
y = random.integers(0, 2, 2048)
model = keras.Sequential(
    [
        keras.Input((8,)),
        keras.layers.Dense(4, "relu", name="h1"),
        keras.layers.Dense(
            1, "sigmoid", kernel_initializer="zeros", name="output"
        ),
    ],
    name="net",
)
model.compile("adam", "binary_crossentropy")

monitor = GradientMonitor(verbose=0)
model.fit(x, y, epochs=10, verbose=0, callbacks=[monitor])

for finding in monitor.report().ranked:
    print(f"{finding.rule}: {finding.message}")
