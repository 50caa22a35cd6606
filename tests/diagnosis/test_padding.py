"""Padding behind the sequences that a recurrent layer reads.

Rules are judged, on JAX alone: it compiles the loop over time, which takes a
third of what torch takes.
"""

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg
from tests.diagnosis.test_first_programs import compiled
from tests.diagnosis.test_first_programs import kinds
from tests.diagnosis.test_first_programs import watched

if keras.backend.backend() != "jax":
    pytest.skip("loops over time, on JAX", allow_module_level=True)


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


def padded(in_front=False, length=90, most=12):
    rng = np.random.default_rng(0)
    x = np.zeros((400, length), "int32")
    for row, words in enumerate(rng.integers(4, most, 400)):
        at = slice(-words, None) if in_front else slice(0, words)
        x[row, at] = rng.integers(1, 60, words)
    share = ((x > 0) & (x < 30)).sum(1) / (x > 0).sum(1)
    return x, (share > 0.5).astype("float32")


def reader(*recurrent, mask=False):
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(60, 8, mask_zero=mask, name="words"),
            *recurrent,
            layers.Dense(1, "sigmoid", name="answer"),
        ]
    )


@pytest.mark.parametrize(
    "recurrent",
    [
        lambda: [layers.LSTM(8, name="memory")],
        lambda: [layers.GRU(8, name="memory")],
        lambda: [
            layers.LSTM(8, return_sequences=True),
            layers.LSTM(8, name="memory"),
        ],
    ],
    ids=["lstm", "gru", "two"],
)
def test_padding_behind_the_sequences_is_told_and_masked(recurrent):
    x, y = padded()
    model = compiled(reader(*recurrent()))
    told = kgg.check(model, x, y)
    if len(recurrent()) == 1:
        # Of two, the first one's states come to rest by and by.
        assert kinds(told) == [("vanishing_gradient", "same_ends")]
        assert "memory" in told.findings[0].layers[0]
    report = watched(model, x, y, epochs=10)
    assert kinds(report) == [("vanishing_gradient", "same_ends")]
    found = report.ranked[0]
    assert found.evidence["window"]["last_step"] <= 0.15 * 130
    for remedy in found.remedies:
        keras.utils.set_random_seed(1)
        names = {"model": compiled(reader(*recurrent())), "x": x, "y": y}
        exec(remedy.code, names)
        mended = names["model"]
        history = mended.fit(x, y, epochs=12, verbose=0).history
        assert history["loss"][-1] < 0.6, remedy.title


@pytest.mark.parametrize("sound", ["in front", "masked", "short", "both ways"])
def test_padding_that_does_no_harm_is_not_told(sound):
    x, y = padded(sound == "in front")
    memory = layers.LSTM(8)
    if sound == "short":
        x, y = padded(length=12, most=12)
    if sound == "both ways":
        memory = layers.Bidirectional(memory)
    model = compiled(reader(memory, mask=sound == "masked"))
    assert not kgg.check(model, x, y).findings
    report = watched(model, x, y, epochs=10)
    assert not report.findings
    assert not report.history
