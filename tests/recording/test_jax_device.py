"""On JAX, nothing is read from the device from batch to batch.

No accelerator is here: see `tests/device_of_jax.py` for what stands in.
"""

import importlib
import sys

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard.callbacks.watch import Watch
from keras_gradguard.recording.dispatcher import Dispatcher
from tests import models

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="about JAX's devices"
)
STEPS = 48
TALKS = ("callback", "outfeed", "infeed")


class CountReads(keras.callbacks.Callback):
    """Notes who reads from one batch to the next."""

    def __init__(self, reads):
        super().__init__()
        self.by_batch, self._reads, self._before = [], reads, len(reads)

    def on_train_batch_end(self, batch, logs=None):
        self.by_batch.append(set(self._reads[self._before :]))
        self._before = len(self._reads)


def fit(*callbacks, clip=None, layers=()):
    """A monitor and a detector of a short fit."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(6, activation="relu"),
            *layers,
            keras.layers.Dense(3),
        ]
    )
    rule = keras.optimizers.Adam(0.01)
    rule = rule if clip is None else kgg.AutoClip(rule, clip)
    model.compile(rule, models.crossentropy())
    monitor = kgg.GradientMonitor(verbose=0, on_finding="ignore")
    detector = kgg.DeadReLUDetector("activation", verbose=0)
    x, y = models.dataset(4 * STEPS)
    ours = [monitor, detector, *callbacks]
    model.fit(x, y, batch_size=4, verbose=0, callbacks=ours)
    return monitor, detector


@pytest.fixture
def reads(monkeypatch):
    from tests import device_of_jax

    with device_of_jax.standin(monkeypatch) as present:
        yield present


def readers(reads, clip=None):
    """Batches with a drain, with a look, and the names of other readers."""
    from tests.device_of_jax import DRAINS
    from tests.device_of_jax import LOOK

    count = CountReads(reads)
    monitor, detector = fit(count, clip=clip)
    assert len(monitor.trace.steps) == STEPS
    assert np.isfinite(monitor.trace.get("update_ratio")).any()
    assert np.isfinite(monitor.trace.activation("mean")).any()
    assert detector.history
    drains, looks = (
        sum(bool(batch & names) for batch in count.by_batch)
        for names in (DRAINS, {LOOK})
    )
    others = [batch - DRAINS - {LOOK} for batch in count.by_batch]
    return drains, looks, [batch for batch in others if batch]


@pytest.mark.parametrize("clip", [None, "spikes", "unitwise"])
def test_reads_at_drains_only(clip, reads):
    drains, looks, others = readers(reads, clip)
    assert others == []
    # At shares of the plan and doublings, see `RingDrain`: few in a long run.
    assert 1 <= drains <= 10
    assert looks <= 5


@pytest.mark.parametrize("place", [Dispatcher, Watch])
@pytest.mark.parametrize("how", ["np.asarray(x)", "float(x)", "x.item()"])
def test_a_read_of_each_batch_is_seen(place, how, reads, monkeypatch):
    import jax.numpy as jnp

    ours = {"__name__": "keras_gradguard.made_up", "np": np}
    exec(f"def read(x): return {how}", ours)
    name = "_advance" if place is Dispatcher else "batch_end"
    real = getattr(place, name)

    def reading(self, *arguments):
        ours["read"](jnp.zeros(()))
        return real(self, *arguments)

    monkeypatch.setattr(place, name, reading)
    _, _, others = readers(reads)
    assert others == [{"keras_gradguard.made_up.read"}] * STEPS


@pytest.fixture
def programs(monkeypatch):
    """List of the programs that Keras compiles, as they are run."""
    import jax

    found, real = [], jax.jit

    def jit(function, *arguments, **named):
        jitted = real(function, *arguments, **named)
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if not caller.startswith("keras.src."):
            return jitted

        def run(*values):
            found.append(jitted.lower(*values).as_text())
            return jitted(*values)

        return run

    trainer = importlib.import_module("keras.src.backend.jax.trainer")
    monkeypatch.setattr(jax, "jit", jit)
    monkeypatch.setattr(trainer, "jit", jit, raising=False)
    return found


def test_no_step_talks_to_the_host(programs):
    fit(clip="spikes")
    assert max(map(len, programs)) > 10_000
    assert not [word for text in programs for word in TALKS if word in text]


def test_a_step_that_talks_is_seen(programs):
    import jax

    class Talks(keras.layers.Layer):
        def call(self, inputs):
            jax.debug.callback(lambda x: None, inputs)
            return inputs

    with pytest.warns(kgg.GradGuardWarning, match="calls back to Python"):
        fit(layers=[Talks()])
    assert any("callback" in text for text in programs)
