"""A learning rate of 1e-4: half of the time is over, and nothing is learnt."""

import keras
from sklearn.datasets import make_circles

from keras_gradguard import GradientMonitor

keras.utils.set_random_seed(1)
x, y = make_circles(256, noise=0.05, random_state=1)
model = keras.Sequential(
    [
        keras.Input((2,)),
        keras.layers.Dense(16, "relu", name="h1"),
        keras.layers.Dense(16, "relu", name="h2"),
        keras.layers.Dense(1, "sigmoid", name="output"),
    ],
    name="net",
)
model.compile(keras.optimizers.Adam(1e-4), "binary_crossentropy")

monitor = GradientMonitor(verbose=0)
model.fit(x, y, epochs=130, verbose=0, callbacks=[monitor])

for finding in monitor.report().ranked:
    print(f"{finding.rule}: {finding.message}")
