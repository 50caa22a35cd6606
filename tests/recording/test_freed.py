"""What compiling leaves free in the allocator goes back to the system."""

import ctypes
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_gradguard import GradientMonitor
from keras_gradguard._backend import freed

MIB = 1 << 20


def resident():
    """Bytes of memory of this process that no file holds."""
    text = Path("/proc/self/status").read_text()
    line = next(s for s in text.splitlines() if s.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(
    not (sys.platform == "linux" and freed._trim()), reason="about glibc"
)
def test_it_goes_back():
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    size = 100_000
    held = [libc.malloc(size) for _ in range(600)]
    for place in held:
        ctypes.memset(place, 1, size)
    # Every tenth one stays, so that the end of the heap stays where it is.
    for place in [p for i, p in enumerate(held) if i % 10]:
        libc.free(place)
    before = resident()
    freed.give_back()
    gone = before - resident()
    for place in held[::10]:
        libc.free(place)
    assert gone > 40 * MIB


def test_where_the_allocator_cannot_nothing_happens(monkeypatch):
    monkeypatch.setattr(freed, "_trim", lambda: None)
    freed.give_back()


def test_once_for_each_compilation(backend, monkeypatch):
    if backend != "jax":
        pytest.skip("nothing is compiled by a thread")
    calls = []
    monkeypatch.setattr(freed, "give_back", lambda: calls.append(1))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu")])
    model.compile("adam", "mse")
    monitor = GradientMonitor(verbose=0)
    zeros = np.zeros((80, 4), "float32"), np.zeros((80, 3), "float32")
    # The last batch is smaller, and looked at by a function of its own.
    model.fit(*zeros, batch_size=9, epochs=2, verbose=0, callbacks=[monitor])
    looks = len(monitor.trace.activation_steps)
    assert 0 < len(calls) <= 2 < looks
