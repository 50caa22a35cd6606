"""Vectors that leave the step add up, however many there are."""

import keras
import numpy as np
import pytest

from keras_gradguard import _backend

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="others add them up in the step"
)


@pytest.fixture(params=["here", "far"])
def far(request, monkeypatch):
    if request.param == "far":
        # There is no accelerator: arrays on the CPU take its way.
        from keras_gradguard._backend.jax import outbox

        monkeypatch.setattr(outbox, "_is_far", lambda array: True)


def sent(box, vectors):
    for vector in vectors:
        logs, _ = box.post(({"loss": 0.0}, None), keras.ops.array(vector))
        assert list(box.collect(logs)) == ["loss"]


@pytest.mark.parametrize("counts", [[1], [5, 2], [32], [71, 64, 1]])
def test_all_are_added_up_once(far, counts):
    box = _backend.current().Outbox("box", True)
    random = np.random.default_rng(0)
    told = []
    vectors = []
    for count in counts:
        vectors.append(random.integers(0, 2**20, (count, 3)).astype("float32"))
        sent(box, vectors[-1])
        told.append(box.take())
    told.append(box.take())
    assert told.pop(0) is None  # the first are on their way
    for given, those in zip(told, vectors, strict=True):
        np.testing.assert_array_equal(given, those.sum(0, dtype="float64"))
    assert box.take() is None


def test_several_steps_of_one_execution(far):
    box = _backend.current().Outbox("box", True)
    sent(box, np.ones((40, 4, 3), "float32"))
    sent(box, np.ones((3, 2, 3), "float32"))  # the last of an epoch
    box.take()
    np.testing.assert_array_equal(box.take(), [166.0] * 3)


def test_forgotten(far):
    box = _backend.current().Outbox("box", True)
    sent(box, np.ones((40, 3), "float32"))
    box.take()
    sent(box, np.ones((40, 3), "float32"))
    box.forget()
    assert box.take() is None
    assert box.take() is None
