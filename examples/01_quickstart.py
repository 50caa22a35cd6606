"""One line in `fit`: a network of nine sigmoid layers, and what is wrong."""

import keras
from sklearn.datasets import make_moons

from keras_gradguard import GradientMonitor

keras.utils.set_random_seed(1)
x, y = make_moons(250, noise=0.05, random_state=42)
hidden = [keras.layers.Dense(10, "sigmoid", name=f"h{i}") for i in range(1, 10)]
output = keras.layers.Dense(1, "sigmoid", name="output")
model = keras.Sequential([keras.Input((2,)), *hidden, output], name="net")
model.compile("adam", "binary_crossentropy")

monitor = GradientMonitor()
model.fit(x, y, epochs=20, verbose=0, callbacks=[monitor])

finding = monitor.findings[0]
print("As data:", finding.rule, finding.layers[0], finding.evidence["ratio"])
