"""AdaGC against pytorch_optimizer 4.1.0, whose numbers are pinned."""

import json
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

import keras_gradguard as kgg

REFERENCE = json.loads(
    pathlib.Path(__file__).with_name("reference.json").read_text()
)
PINNED = REFERENCE["adagc"]


@pytest.fixture
def variables():
    return [keras.Variable(np.zeros((3, 4))), keras.Variable(np.zeros(5))]


def steps(clipper, variables, rows):
    """Clip rows of gradients, without `None`, one after the other."""
    shapes = clipper.state_shapes(variables)
    state = {name: ops.zeros(shape) for name, shape in shapes.items()}
    for row in rows:
        given = [(g, v) for g, v in zip(row, variables, strict=True)]
        used = [(g, v) for g, v in given if g is not None]
        gradients = [ops.convert_to_tensor(g, "float32") for g, _ in used]
        norm = np.sqrt(sum(np.sum(np.square(g)) for g, _ in used))
        norm = ops.convert_to_tensor(norm, "float32")
        clipped = clipper.clip(gradients, [v for _, v in used], norm, state)
        state = clipped.state
        yield clipped


def norms(tensors):
    return [np.linalg.norm(ops.convert_to_numpy(t)) for t in tensors]


def test_equals_the_published_code(variables):
    a, b = (np.asarray(PINNED["unit"][name]) for name in "ab")
    rows = [
        [size * a, size * b] for size in REFERENCE["sequences"]["lognormal300"]
    ]
    clipper = kgg.clippers.PerTensor(warmup_steps=9)  # It counts from 1.
    found = [norms(c.gradients) for c in steps(clipper, variables, rows)]
    # It adds 1e-6 to norms before it divides.
    np.testing.assert_allclose(
        found[-3:], PINNED["lognormal300_last_three"], rtol=1e-4
    )


def test_a_spike_in_one_tensor_leaves_the_other(variables):
    ones = np.ones((3, 4)), np.ones(5)
    rows = [ones] * 5 + [(1e3 * ones[0], ones[1])]
    clipper = kgg.clippers.PerTensor(warmup_steps=0)
    *_, last = steps(clipper, variables, rows)
    np.testing.assert_allclose(
        norms(last.gradients), [1.05 * 12**0.5, 5**0.5], rtol=1e-5
    )
    assert bool(last.is_clipped)
    total = np.linalg.norm(norms(last.gradients))
    assert float(last.norm()) == pytest.approx(total, rel=1e-5)


def test_a_tensor_without_gradient_keeps_its_norm(variables):
    ones = np.ones((3, 4)), np.ones(5)
    rows = [
        ones,
        (None, ones[1]),
        (1e3 * ones[0], None),
        (0 * ones[0], ones[1]),
    ]
    clipper = kgg.clippers.PerTensor(warmup_steps=0)
    found = [norms(c.gradients) for c in steps(clipper, variables, rows)]
    np.testing.assert_allclose(found[2], [1.05 * 12**0.5], rtol=1e-5)
    np.testing.assert_allclose(found[3], [0, 5**0.5], rtol=1e-5)


def test_a_gradient_that_was_zero_at_first_is_let_through(variables):
    rows = [(np.zeros((3, 4)), np.ones(5))] * 4 + [
        (np.ones((3, 4)), np.ones(5))
    ]
    clipper = kgg.clippers.PerTensor(warmup_steps=2)
    *_, last = steps(clipper, variables, rows)
    assert norms(last.gradients)[0] == pytest.approx(12**0.5, rel=1e-5)


def test_trains_by_name_and_comes_back():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    optimizer = kgg.AutoClip("adam", "per_tensor", warmup_steps=2)
    model.compile(optimizer, "mse")
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    model.fit(x, x[:, :2], verbose=0, batch_size=16, epochs=2)
    assert 0 < optimizer.clipped_fraction <= 1
    again = kgg.AutoClip.from_config(optimizer.get_config())
    assert repr(again.clipper) == repr(optimizer.clipper)
