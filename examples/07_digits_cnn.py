"""A healthy convolutional net on digits: the monitor has nothing to say."""

import keras
from sklearn.datasets import load_digits

from keras_gradguard import GradientMonitor

keras.utils.set_random_seed(1)
x, y = load_digits(return_X_y=True)
x = x.reshape(-1, 8, 8, 1) / 16
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
        keras.layers.Conv2D(16, 3, padding="same"),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(10, "softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
monitor = GradientMonitor()
model.fit(x, y, epochs=6, verbose=2, callbacks=[monitor])

norms = monitor.trace.get("grad_norm")
print("Mean gradient norm per layer:")
for layer, norm in zip(monitor.trace.layers, norms.mean(axis=0), strict=True):
    print(f"  {layer:40} {norm:.3f}")
