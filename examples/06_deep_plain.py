"""Fifty plain layers, and the same fifty with skip connections.

`Residual` scales each branch by a weight that starts at zero: fifty sigmoids,
which are all positive, would add up to a signal that saturates the output.
"""

import keras
from sklearn.datasets import load_breast_cancer

from keras_gradguard import GradientMonitor
from keras_gradguard.layers import Residual

x, y = load_breast_cancer(return_X_y=True)
x = (x - x.mean(axis=0)) / x.std(axis=0)


def train(name, skip):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((30,))
    h = keras.layers.Dense(10, name="first")(inputs)
    for i in range(50):
        layer = keras.layers.Dense(10, "sigmoid", name=f"hidden_{i}")
        h = Residual(layer)(h) if skip else layer(h)
    outputs = keras.layers.Dense(1, "sigmoid", name="output")(h)
    model = keras.Model(inputs, outputs, name=name)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    monitor = GradientMonitor()
    model.fit(x, y, epochs=10, verbose=0, callbacks=[monitor])
    accuracy = model.evaluate(x, y, verbose=0)[1]
    print(f"{name}: accuracy {accuracy:.2f}\n")
    return monitor


plain = train("plain", skip=False)
residual = train("residual", skip=True)
