"""Check a model before training, and let its remedies be tried.

Two classes of wine from raw measurements: the largest varies a thousand times
as much as the smallest, and the output cannot say "unlikely".
"""

import keras
from sklearn.datasets import load_wine

import keras_gradguard as kgg

x, y = load_wine(return_X_y=True)
x, y = x[y < 2], y[y < 2]

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((13,)),
        keras.layers.Dense(16, "tanh", name="hidden"),
        keras.layers.Dense(1, "relu", name="output"),
    ],
    name="wine",
)
model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")

print("Before training:")
report = kgg.check(model, x, y)
print(report)

healed, report = kgg.heal(model, x, y, epochs=50)
print("\nHealed:")
print(report)

right = (healed.predict(x, verbose=0)[:, 0] > 0.5) == y
print(f"\nAccuracy after a few epochs: {right.mean():.2f}")
