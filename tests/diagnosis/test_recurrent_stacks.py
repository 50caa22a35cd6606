"""Stacks of recurrent layers whose activation is never below 0."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg

pytestmark = pytest.mark.once

_STEPS = 40


def waves(rows=256):
    """Waves of four frequencies, and which."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 4, rows)
    at = np.arange(_STEPS)[None] * (kinds[:, None] + 1) * 0.15
    x = np.sin(at + rng.uniform(0, 6, (rows, 1)))
    return x[..., None].astype("float32"), kinds


def stack(kind, depth, activation="sigmoid", optimizer=None):
    keras.utils.set_random_seed(0)
    memory = [
        kind(
            8,
            activation=activation,
            return_sequences=at < depth - 1,
            name=f"memory_{at}",
        )
        for at in range(depth)
    ]
    model = keras.Sequential(
        [keras.Input((_STEPS, 1)), *memory, layers.Dense(4, "softmax")]
    )
    model.compile(
        optimizer or keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
    )
    return model


def watched(model, x, y, epochs):
    monitor = kgg.GradientMonitor(verbose=0, on_finding="stop")
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[monitor])
    return monitor.report()


@pytest.mark.parametrize(
    ("kind", "depth"),
    [(layers.LSTM, 2), (layers.SimpleRNN, 3)],
    ids=["gated", "plain"],
)
def test_all_layers_of_the_stack_are_changed_and_it_learns(kind, depth):
    x, y = waves()
    report = watched(stack(kind, depth), x, y, 20)
    found = report.ranked[0]
    assert found.rule == "vanishing_gradient"
    first = found.remedies[0]
    names = ", ".join(f"memory_{at}" for at in range(depth))
    new = "Use LSTM for" if kind is layers.SimpleRNN else "Use tanh in"
    assert first.title == f"{new} {names}"
    scope = {"model": stack(kind, depth), "x": x, "y": y}
    exec(first.code, scope)
    keras.utils.set_random_seed(0)
    history = scope["model"].fit(x, y, epochs=20, verbose=0).history
    assert history["loss"][-1] < 0.3


def test_a_state_that_grows_alike_is_not_read_from_its_end_first():
    x, y = waves()
    model = stack(layers.LSTM, 4, optimizer=keras.optimizers.SGD(0.01))
    found = watched(model, x, y, 2).ranked[0]
    assert found.evidence["kind"] == "same_ends"
    assert "is never below 0, by their activation" in found.message
    assert "padded" not in found.message
    first, second = found.remedies
    assert first.title == ("Use tanh in memory_0, memory_1, memory_2, memory_3")
    assert second.title == "Read the sequences from their end"
