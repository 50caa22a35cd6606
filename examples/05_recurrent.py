"""Recurrent layers over 200 time steps: how far back the gradient reaches.

The first eight steps bring the rows of a digit, 192 empty steps follow, then
the digit is asked for. Four layers try to remember it.
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_gradguard import GradientMonitor

# Initializers take their seed when they are made, which is before `train`.
keras.utils.set_random_seed(1)
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


# An orthogonal matrix keeps the length of what it multiplies. 1.8 times one
# makes the state larger in each of the 200 time steps.
train(
    "simple_rnn_relu",
    keras.layers.SimpleRNN,
    64,
    activation="relu",
    recurrent_initializer=keras.initializers.Orthogonal(gain=1.8),
)
# This one keeps 0.8 of the state per time step, so it forgets. Its gradient
# vanishes over time *inside* the layer; the gradient of its weights, a sum over
# all time steps, looks as large as that of an LSTM. `through_time` shows it. It
# is told once nothing was learnt for more than a hundred steps.
train(
    "simple_rnn_tanh",
    keras.layers.SimpleRNN,
    16,
    epochs=33,
    recurrent_initializer=keras.initializers.Orthogonal(gain=0.8),
)
# Keras's own draw has a gain of 1.
train("orthogonal", keras.layers.SimpleRNN, 16)
# As it begins an LSTM forgets as well; too few steps to say that it harms.
train("lstm", keras.layers.LSTM, 16)
