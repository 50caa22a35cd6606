"""Recurrent layers over 200 time steps: what shows, and what does not.

The first eight steps bring the rows of a digit, 192 empty steps follow, then
the digit is asked for. Four layers try to remember it.
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_gradguard import GradientMonitor

images, y = load_digits(return_X_y=True)
images, y = images[:160], y[:160]
x = np.zeros((160, 200, 8), "float32")
x[:, :8] = images.reshape(160, 8, 8) / 16


def train(name, layer, units, **arguments):
    # Before the layers are made: they draw their weights by it.
    keras.utils.set_random_seed(1)
    cell = layer(units, **arguments)
    model = keras.Sequential(
        [keras.Input((200, 8)), cell, keras.layers.Dense(10)], name=name
    )
    model.compile(
        "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    monitor = GradientMonitor()
    print(f"\n{name}")
    model.fit(x, y, epochs=6, verbose=0, callbacks=[monitor])
    return monitor


# Weights that are right for Dense + ReLU multiply 200 times here.
train(
    "simple_rnn_relu",
    keras.layers.SimpleRNN,
    64,
    activation="relu",
    recurrent_initializer=keras.initializers.RandomNormal(stddev=0.2, seed=1),
)
# This one forgets. Its gradient vanishes over time *inside* the layer; the
# gradient of its weights, a sum over all steps, looks as large as that of an
# LSTM. Nothing is found: an honest limit.
train("simple_rnn_tanh", keras.layers.SimpleRNN, 16)
train("lstm", keras.layers.LSTM, 16)
train("gru", keras.layers.GRU, 16)
