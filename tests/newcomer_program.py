"""Uses all that the examples of CONTRIBUTING add; run by test_newcomer."""

import pathlib
import sys

import keras
import numpy as np
from tensorboard.backend.event_processing import event_file_loader

import keras_gradguard as kgg
from keras_gradguard.findings.remedy import Remedy
from keras_gradguard.reporting.tensorboard import chunks
from keras_gradguard.tensorboard_plugin import plugin
from keras_gradguard.trace import SERIES

LOG_DIR = pathlib.Path(sys.argv[1])
STEPS = 6

keras.utils.set_random_seed(1)
model = keras.Sequential(
    [
        keras.Input((3,)),
        keras.layers.Dense(4, activation="tanh", name="first"),
        keras.layers.Dense(1, name="last"),
    ]
)
optimizer = kgg.AutoClip(keras.optimizers.SGD(1.0), clipper="nothing")
model.compile(optimizer, "mse")
x = np.random.RandomState(0).normal(size=(8, 3)).astype("float32")
y = x[:, :1] * 0.1


class Weights(keras.callbacks.Callback):
    """With a learning rate of 1 the gradient is what a weight loses."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append([np.array(w) for w in self.model.get_weights()])

    def on_train_end(self, logs=None):
        self.on_train_batch_begin(0)


weights = Weights()
monitor = kgg.GradientMonitor(log_dir=LOG_DIR, verbose=0)
model.fit(
    x,
    y,
    8,
    epochs=STEPS,
    shuffle=False,
    verbose=0,
    callbacks=[weights, monitor],
)

# The series, recorded each step, by variable and layer, saved and shown.
trace = monitor.trace
twin = np.array(
    [
        [np.abs(a - b).max() for a, b in zip(before, after, strict=True)]
        for before, after in zip(weights.seen, weights.seen[1:], strict=False)
    ]
)
got = trace.get("grad_max", by="variable")
np.testing.assert_allclose(got, twin, rtol=1e-3, atol=1e-6)
by_layer = np.maximum(got[:, ::2], got[:, 1::2])
np.testing.assert_array_equal(trace.get("grad_max"), by_layer)
assert "grad_max" in SERIES
again = kgg.Trace.load(LOG_DIR)
np.testing.assert_array_equal(again.get("grad_max"), by_layer)

(path,) = LOG_DIR.rglob("events.*")
tags, arrays = set(), {}
for event in event_file_loader.EventFileLoader(str(path)).Load():
    for value in event.summary.value:
        tags.add(value.tag)
        if value.tag == chunks.RECORDS_TAG:
            _, found = chunks.unpack(list(value.tensor.string_val))
            arrays.update(found)
assert {f"grad_max/{layer}" for layer in trace.layers} <= tags, tags
assert arrays["grad_max"].shape == (STEPS, 2)
assert chunks.SHOWN["grad_max"]["title"] == "Largest entry"

# The rule and its remedy.
(finding,) = [f for f in monitor.findings if f.rule == "large_first_loss"]
(remedy,) = finding.remedies
assert isinstance(remedy, Remedy)
rate = remedy.apply(model).optimizer.learning_rate
np.testing.assert_allclose(keras.ops.convert_to_numpy(rate), 0.5)

# The clipper clips nothing; the reporter, the sections and the view are there.
assert type(model.optimizer.clipper).__name__ == "Nothing"
assert (LOG_DIR / "epochs.txt").read_text() == f"{STEPS} epochs\n"
monitor.report().save(LOG_DIR / "page.html")
assert "All in all" in (LOG_DIR / "page.html").read_text()
assert "extent" in plugin.VIEWS
sys.stdout.write("done\n")
