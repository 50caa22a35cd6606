"""Recurrent layers over 200 time steps: how far back the gradient reaches.

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


def train(name, layer, units, epochs=6, **arguments):
    # Before the layers are made: they draw their weights by it.
    keras.utils.set_random_seed(1)
    cell = layer(units, **arguments)
    model = keras.Sequential(
        [keras.Input((200, 8)), cell, keras.layers.Dense(10)], name=name
    )
    model.compile(
        "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    monitor = GradientMonitor(through_time=True)
    print(f"\n{name}")
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[monitor])
    (path,) = monitor.trace.recurrent_layers
    _, times, norms = monitor.trace.time_gradients(path)
    ends = " to ".join(f"{norm:.2g}" for norm in norms[-1, [0, -1]])
    print(f"{path}: gradients at time steps 0 to {times[-1, -1]}: {ends}")
    return monitor


# The same draw of recurrent weights, twice. Of 64 units it has each time step
# multiply the state by 1.6, of 16 units by 0.8; 200 times.
normal = keras.initializers.RandomNormal(stddev=0.2, seed=1)
train(
    "simple_rnn_relu",
    keras.layers.SimpleRNN,
    64,
    activation="relu",
    recurrent_initializer=normal,
)
# This one forgets. Its gradient vanishes over time *inside* the layer; the
# gradient of its weights, a sum over all time steps, looks as large as that of
# an LSTM. `through_time` shows it. It is told once nothing was learnt for a
# hundred steps.
train(
    "simple_rnn_tanh",
    keras.layers.SimpleRNN,
    16,
    epochs=33,
    recurrent_initializer=normal,
)
# Keras's own draw, an orthogonal one, keeps what it multiplies.
train("orthogonal", keras.layers.SimpleRNN, 16)
# As it begins an LSTM forgets as well; too few steps to say that it harms.
train("lstm", keras.layers.LSTM, 16)
