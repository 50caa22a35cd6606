"""A forged event file: what can be read is shown, the rest is told."""

import numpy as np
import pytest
from hypothesis import given

pytest.importorskip("tensorboard")

from keras_gradguard.reporting.tensorboard import chunks
from tests.hostile import budget
from tests.hostile import outcomes
from tests.hostile import readers
from tests.hostile import streams

pytestmark = pytest.mark.pure


def check(case):
    outcome, _ = readers.outcome_of_stream(case.stream)
    assert not outcome.startswith(outcomes.RAW), (case, outcome)


@pytest.mark.parametrize(
    "cases", [streams.odd_chunks, streams.every_array, streams.every_field]
)
def test_each_place_of_a_stream_forged(cases):
    for case in budget.share(list(cases()), 60):
        check(case)


@given(streams.forged())
@budget.examples(40)
def test_streams_forged_in_several_places(case):
    check(case)


def overview(stream):
    outcome, answer = readers.outcome_of_stream(streams.packed(stream))
    assert outcome == outcomes.RIGHT
    return answer


def test_nothing_is_left_out_of_a_whole_stream():
    answer = overview(streams.whole("dead"))
    assert answer["left_out"] == {"parts": 0, "reasons": []}
    assert answer["points"] == 75


def test_one_forged_chunk_costs_that_chunk_and_is_told():
    stream = streams.whole("dead")
    good = overview(stream)
    stream[chunks.RECORDS_TAG].insert(2, [b"\xff"])
    answer = overview(stream)
    assert answer.pop("left_out") == {
        "parts": 1,
        "reasons": ["records: the header of a part is no JSON"],
    }
    good.pop("left_out")
    assert answer == good


def test_one_forged_array_leaves_the_others():
    stream = streams.whole("dead")
    good = overview(stream)
    _, arrays = stream[chunks.RECORDS_TAG][0]
    loss = arrays["shared/batch_loss"]
    arrays["shared/batch_loss"] = np.full((*loss.shape, 2), 7, np.float32)
    answer = overview(stream)
    assert answer["left_out"]["parts"] == 1
    name = "global_grad_norm"
    assert answer["series"][name] == good["series"][name]
    assert 7 not in answer["series"]["batch_loss"]["mean"]


def test_layers_that_cannot_be_read_are_told_with_status_200():
    stream = streams.whole("healthy")
    stream[chunks.LAYERS_TAG] = [[b"["]]
    answer = overview(stream)
    assert answer["layers"] == []
    assert answer["left_out"]["parts"] == 1


def test_bytes_in_number_are_not_made_into_memory():
    # bytes(10**12) would be a terabyte of zeros.
    with pytest.raises(ValueError, match="not made of bytes"):
        chunks.unpack([b'{"version": 1, "arrays": []}', 10**12])
