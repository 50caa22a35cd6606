"""Where it began, told from hand-made operations."""

import hashlib

import numpy as np
import pytest

from keras_gradguard._backend.operations import CONSTANT
from keras_gradguard._backend.operations import OPERATION
from keras_gradguard._backend.operations import STATE
from keras_gradguard._backend.operations import Operation
from keras_gradguard._backend.operations import Step
from keras_gradguard.capsule.batches import batch_checksum
from keras_gradguard.capsule.batches import packed
from keras_gradguard.capsule.batches import unpacked
from keras_gradguard.replaying.origin import find_origin

pytestmark = pytest.mark.once


def step_of(*operations, loss, gradients=()):
    """Each is `(name, inputs, values)`."""
    found = []
    for name, inputs, values in operations:
        kind = name if name in (CONSTANT, STATE, "batch") else OPERATION
        label = 0 if kind == OPERATION else -1
        operation = Operation(kind, name, label, inputs=list(inputs))
        operation.take_in(np.asarray(values, "float32"))
        found.append(operation)
    return Step(found, [loss], list(gradients))


def origin_of(step):
    origin = find_origin(step)
    return step.operations[origin.at].name, origin.source


INF, NAN = np.inf, np.nan


def test_infinity_in_the_code_is_no_fault():
    step = step_of(
        (CONSTANT, [], [-INF]),
        ("where", [0], [-INF, -INF]),
        ("sub", [1], [NAN, NAN]),
        ("mean", [2], [NAN]),
        loss=3,
    )
    assert origin_of(step) == ("sub", None)


def test_a_cast_is_not_named():
    step = step_of(
        ("batch", [], [NAN]),
        ("to", [0], [NAN]),
        ("Cast", [1], [NAN]),
        (STATE, [], [1.0]),
        ("exp", [3], [2.7]),
        ("sub", [2, 4], [NAN]),
        loss=5,
    )
    assert origin_of(step) == ("sub", "batch")


def test_infinity_that_was_computed_is_one():
    step = step_of(
        ("batch", [], [0.0, 1.0]),
        ("log", [0], [-INF, 0.0]),
        ("matmul", [1], [NAN]),
        loss=2,
    )
    assert origin_of(step) == ("log", None)
    assert step.operations[find_origin(step).born].name == "matmul"


def test_what_nobody_uses_does_not_count():
    step = step_of(
        ("batch", [], [0.0]),
        ("divide", [0], [NAN]),
        ("where", [1, 0], [0.0]),
        ("exp", [2], [INF]),
        loss=3,
    )
    assert origin_of(step) == ("exp", None)


def test_the_gradient_where_the_loss_is_finite():
    step = step_of(
        ("batch", [], [0.0]),
        ("sqrt", [0], [0.0]),
        ("slope", [1], [INF]),
        ("mul", [2], [NAN]),
        loss=1,
        gradients=[3],
    )
    assert origin_of(step) == ("slope", None)
    step.mark_backward()
    marked = [o.name for o in step.operations if o.backward]
    assert marked == ["slope", "mul"]


@pytest.mark.parametrize("kind", ["batch", STATE])
def test_what_was_given(kind):
    step = step_of((kind, [], [1.0, NAN]), ("matmul", [0], [NAN]), loss=1)
    assert origin_of(step) == ("matmul", kind)


def test_a_healthy_step_has_none():
    assert find_origin(step_of(("exp", [], [1.0]), loss=0)) is None


def test_the_checksum_is_what_the_docs_say():
    x = np.arange(6, dtype="float32").reshape(2, 3)
    y = np.array([1, 2], "int32")
    expected = hashlib.sha256(
        b"float32(2, 3)" + x.tobytes() + b"int32(2)" + y.tobytes()
    ).hexdigest()
    assert batch_checksum((x, y)) == expected
    assert batch_checksum((np.asfortranarray(x), y, None)) == expected
    assert batch_checksum(({"b": y, "a": x},)) == expected
    assert batch_checksum((x, y + 1)) != expected
    assert batch_checksum((x.reshape(3, 2), y)) != expected


def test_structures_come_back():
    x = np.arange(4.0)
    batch = ({"a": x, "b": [x + 1, None]}, (x,), np.array([b"ab", b"c"]))
    arrays = []
    back = unpacked(packed(batch, arrays), arrays)
    assert batch_checksum(back) == batch_checksum(batch)
    assert isinstance(back[1], tuple)
    assert back[0]["b"][1] is None
