"""Nine sigmoid layers: each passes at most a quarter of its gradient."""

import keras
from sklearn.datasets import make_moons

from keras_gradguard import GradientMonitor

keras.utils.set_random_seed(1)
x, y = make_moons(256, noise=0.05, random_state=1)
layers = [keras.layers.Dense(10, "sigmoid", name=f"h{i}") for i in range(1, 10)]
output = keras.layers.Dense(1, "sigmoid", name="output")
model = keras.Sequential([keras.Input((2,)), *layers, output], name="net")
model.compile("adam", "binary_crossentropy")

monitor = GradientMonitor(verbose=0)
model.fit(x, y, epochs=20, verbose=0, callbacks=[monitor])

for finding in monitor.report().ranked:
    print(f"{finding.rule}: {finding.message}")
