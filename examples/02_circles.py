"""Circles: positive weights drive five tanh layers into saturation.

Nothing is near 1e-7 here: the gradient shrinks some hundredfold on its way to
the middle, and the loss sits at 0.693, the loss of a coin.
"""

import keras
from sklearn.datasets import make_circles

from keras_gradguard import GradientMonitor

x, y = make_circles(n_samples=1000, noise=0.1, random_state=1)
x = 2 * (x - x.min(axis=0)) / (x.max(axis=0) - x.min(axis=0)) - 1
x, y = x[:500], y[:500]


def train(activation, initializer, outputs, epochs):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((2,))], name=activation)
    for _ in range(5):
        kernel = keras.initializers.get(initializer).clone()
        model.add(keras.layers.Dense(5, activation, kernel_initializer=kernel))
    for _ in range(outputs):
        kernel = keras.initializers.get(initializer).clone()
        model.add(keras.layers.Dense(1, "sigmoid", kernel_initializer=kernel))
    sgd = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(sgd, "binary_crossentropy", metrics=["accuracy"])
    monitor = GradientMonitor()
    model.fit(
        x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=[monitor]
    )
    accuracy = model.evaluate(x, y, verbose=0)[1]
    print(f"{activation}: accuracy {accuracy:.2f} after {epochs} epochs\n")
    return monitor


sick = train("tanh", keras.initializers.RandomUniform(0, 1), 2, epochs=15)
healed = train("relu", "he_uniform", 1, epochs=60)
