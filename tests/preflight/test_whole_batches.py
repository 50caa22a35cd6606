"""Models whose rows belong together, and errors told in plain words."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg


def graph(count=300):
    """A graph network that takes the whole graph as its batch."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 2)).astype("float32")
    edges = np.eye(count, dtype="float32")
    nodes = keras.Input((2,), name="nodes")
    near = keras.Input((count,), name="edges")
    h = layers.ReLU()(ops.matmul(near, layers.Dense(8)(nodes)))
    model = keras.Model([nodes, near], layers.Dense(1, "sigmoid")(h))
    model.compile("adam", "binary_crossentropy")
    y = (x[:, :1] > 0).astype("float32")
    return model, {"nodes": x, "edges": edges}, y


def test_a_graph_is_checked_as_one_batch():
    model, x, y = graph()
    report = kgg.check(model, x, y, batch_size=300)
    assert report.healthy is True, str(report)


def test_an_error_of_the_model_is_told_in_plain_words():
    model, x, y = graph()
    with pytest.raises(ValueError, match="batch_size") as raised:
        kgg.check(model, x, y)
    text = str(raised.value)
    assert "\x1b" not in text
    assert "\n" not in text
    assert "Arguments received" not in text


def test_a_state_for_sixteen_rows_is_checked_with_sixteen():
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(16, 6, 2)),
            layers.GRU(8, stateful=True),
            layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 6, 2)).astype("float32")
    report = kgg.check(model, x, x[:, 0, :1])
    assert report.healthy is True, str(report)


def test_a_verdict_is_one_sentence():
    model, x, _ = graph()
    told = kgg.check(model, x, batch_size=300).verdict
    assert told.startswith("No problem found; gradients, targets and losses")
