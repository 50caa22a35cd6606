"""Targets that are not scaled: the loss is NaN in the first epoch.

They reach some 400. A squared error grows with the square of the targets, and
its gradient with them: a step overshoots, and the next one more.
"""

import keras
from sklearn.datasets import make_regression

from keras_gradguard import GradientMonitor

x, y = make_regression(n_samples=1000, n_features=20, noise=0.1, random_state=1)


def train(name, x, y):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((20,)),
            keras.layers.Dense(25, "relu", kernel_initializer="he_uniform"),
            keras.layers.Dense(1),
        ],
        name=name,
    )
    sgd = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(sgd, "mean_squared_error")
    monitor = GradientMonitor()
    history = model.fit(x, y, epochs=5, verbose=0, callbacks=[monitor])
    losses = history.history["loss"]
    print(f"{name}: loss {losses[0]:.3g} in the first epoch, {losses[-1]:.3g}")
    return monitor


sick = train("unscaled", x, y)
healed = train("scaled", x, (y - y.mean()) / y.std())
