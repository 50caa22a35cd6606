"""Memory that a watched fit takes on TensorFlow, by its own account."""

import tracemalloc

import keras
import numpy as np
import pytest

import keras_gradguard as kgg

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="an account of TensorFlow's"
)

WIDTH = 1000
WEIGHTS = 4 * WIDTH * (WIDTH + 1)
MEASURED = 16  # of the first steps, these are measured: 0, 1, 2, 4, 16
READ = range(6, 16)


class Peaks(keras.callbacks.Callback):
    """The most that each batch took, of TensorFlow and of NumPy, in bytes."""

    def __init__(self):
        super().__init__()
        self.tensors, self.arrays = [], []

    def on_train_batch_begin(self, batch, logs=None):
        from tensorflow import config

        if batch == READ.start:
            # Only now: it would slow down the tracing of the step.
            tracemalloc.start()
        config.experimental.reset_memory_stats("CPU:0")
        tracemalloc.reset_peak()
        self._before = tracemalloc.get_traced_memory()[0]
        info = config.experimental.get_memory_info("CPU:0")
        self._held = info["current"]

    def on_train_batch_end(self, batch, logs=None):
        from tensorflow import config

        info = config.experimental.get_memory_info("CPU:0")
        self.tensors.append(info["peak"] - self._held)
        peak = tracemalloc.get_traced_memory()[1]
        self.arrays.append(peak - self._before)


def _fit(callbacks):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((WIDTH,)), keras.layers.Dense(WIDTH, "relu")]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(1e-3), "mse", jit_compile=False)
    x = np.random.default_rng(0).normal(size=(20 * 8, WIDTH))
    peaks = Peaks()
    try:
        model.fit(
            x,
            x,
            batch_size=8,
            shuffle=False,
            verbose=0,
            callbacks=[peaks, *callbacks],
        )
    finally:
        tracemalloc.stop()
    return peaks


def test_no_step_takes_a_copy_of_the_weights():
    plain = _fit([])
    monitor = kgg.GradientMonitor(verbose=0)
    watched = _fit([monitor])
    steps, _ = monitor.trace.measured("update_ratio")
    assert MEASURED in steps
    assert not set(READ) & set(steps)
    bar = WEIGHTS / 4
    assert watched.arrays[MEASURED] < bar
    most = max(plain.tensors[step] for step in READ) + bar
    assert max(watched.tensors[step] for step in (*READ, MEASURED)) < most


@pytest.mark.parametrize("jit", [False, True])
def test_what_was_held_is_not_what_came_of_it(jit):
    """The update is that of the step, whatever writes it, rows or all."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((3,), dtype="int32"),
        keras.layers.Embedding(40, 8),
        keras.layers.Flatten(),
        keras.layers.Dense(300),
        keras.layers.Dense(300, "relu"),
    ]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit)

    class Own(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.ratios = []

        def on_train_batch_begin(self, batch, logs=None):
            self._before = [np.array(w) for w in self.model.get_weights()]

        def on_train_batch_end(self, batch, logs=None):
            pairs = zip(self._before, self.model.get_weights(), strict=True)
            self.ratios.append(
                [
                    np.linalg.norm(b - a) / max(np.linalg.norm(a), 1e-30)
                    for a, b in pairs
                ]
            )

    random = np.random.default_rng(0)
    x = random.integers(0, 40, (160, 3))
    y = random.normal(size=(160, 300))
    monitor, own = kgg.GradientMonitor(verbose=0), Own()
    model.fit(
        x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[own, monitor]
    )
    measured = monitor.trace.get("update_ratio", by="variable")
    rows = ~np.isnan(measured[:, 0])
    assert rows.sum() >= 5
    kernels = [
        i
        for i, name in enumerate(monitor.trace.variables)
        if not name.endswith("bias")
    ]
    ours = measured[rows][:, kernels]
    assert (ours > 0).all()
    expected = np.asarray(own.ratios)[rows][:, kernels]
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
