"""Moons: nine sigmoid layers, against ReLU, and against two layers.

Adam scales its steps, so the weights of the sick net *do* move. What shows
the problem is the gradient over depth: a factor of some 100,000.
"""

import keras
from sklearn.datasets import make_moons

from keras_gradguard import GradientMonitor

x, y = make_moons(n_samples=250, noise=0.05, random_state=42)


def train(activation, count, epochs):
    keras.utils.set_random_seed(1)
    name = f"{activation}_{count}"
    model = keras.Sequential([keras.Input((2,))], name=name)
    for _ in range(count):
        model.add(keras.layers.Dense(10, activation))
    model.add(keras.layers.Dense(1, "sigmoid"))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    monitor = GradientMonitor()
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[monitor])
    accuracy = model.evaluate(x, y, verbose=0)[1]
    print(f"{name}: accuracy {accuracy:.2f} after {epochs} epochs\n")
    return monitor


sick = train("sigmoid", 9, epochs=20)
moved = sick.trace.get("update_ratio")[0]
print(f"The first layer does move: {moved[0]:.1e} of its weights per step.\n")

relu = train("relu", 9, epochs=50)
shallow = train("sigmoid", 2, epochs=80)
