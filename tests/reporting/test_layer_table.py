"""The table of layers on terminals of any width."""

import numpy as np
import pytest

from keras_gradguard import Finding
from keras_gradguard import Trace
from keras_gradguard._text import number
from keras_gradguard.reporting.layer_table import layer_table
from keras_gradguard.reporting.tables import layer_numbers
from tests.diagnosis.synthetic import make_trace
from tests.diagnosis.synthetic import steady
from tests.reporting.conftest import with_weights

pytestmark = pytest.mark.pure


def trace_of(layers, total=200):
    profile = np.geomspace(1e-6, 1, layers)
    return with_weights(make_trace(steady(profile, total), np.ones(total)))


def finding_on(*layers):
    return Finding("r", "warning", list(layers), 0, 1, None, {}, "m")


def test_the_numbers_are_those_of_numpy():
    trace = trace_of(5, 300)
    shown = layer_numbers(trace)
    norms = trace.get("grad_norm").astype(float)
    np.testing.assert_allclose(
        shown["grad_first"], np.median(norms[:100], axis=0), rtol=1e-6
    )
    np.testing.assert_allclose(
        shown["grad_last"], np.median(norms[-100:], axis=0), rtol=1e-6
    )
    # Weights of 1.1**10, first measured at 1.1: `with_weights` in conftest.
    np.testing.assert_allclose(
        shown["since_start"], (1.1**10 - 1) / 1.1, rtol=1e-5
    )
    np.testing.assert_allclose(shown["zero_fraction"], 0.25)
    np.testing.assert_allclose(shown["update_ratio"], 1e-3, rtol=1e-5)
    assert not shown["short"]
    assert layer_numbers(trace_of(5, 100))["short"]


def test_bands_hold_the_smallest_and_the_largest_of_their_layers():
    trace = trace_of(100)
    lines = layer_table(trace, [finding_on("dense_0", "dense_95")], 120)
    body = lines[2:]
    assert len(body) == 10
    last = layer_numbers(trace)["grad_last"][90:]
    assert body[-1].startswith("dense_90 to dense_99")
    assert f"{number(last.min())} to {number(last.max())}" in body[-1]
    marked = [line.endswith(" 1") for line in body]
    assert marked == [True, *[False] * 8, True]


@pytest.mark.parametrize("layers", [4, 60, 300])
@pytest.mark.parametrize("width", [50, 60, 80, 120])
def test_it_fits_and_keeps_what_matters_most(layers, width):
    trace = trace_of(layers)
    lines = layer_table(trace, [finding_on("dense_0")], width)
    assert max(map(len, lines)) <= width
    head = " ".join(" ".join(lines[:2]).split())
    assert "at last" in head
    assert "Finding" in head
    if width == 120:
        assert "at zero" in head


def test_columns_go_by_importance():
    trace = trace_of(4)
    gone = {}
    for width in range(120, 20, -1):
        text = "\n".join(layer_table(trace, [finding_on("dense_0")], width))
        for title in ("at zero", "the start", "at first", "Update /"):
            if title not in text:
                gone.setdefault(title, width)
    assert list(gone) == ["at zero", "the start", "at first", "Update /"]


def test_zero_weights_are_left_out_where_there_are_none():
    trace = make_trace(steady(np.ones(3)), np.ones(200))
    trace.append_updates([199], np.ones((1, 3)), zero_fraction=np.zeros((1, 3)))
    trace.append_epoch(0, 199, {})
    assert "at zero" not in "\n".join(layer_table(trace, [], 120))


def test_long_names_are_shortened_where_they_can_be_told_apart():
    names = [f"backbone/stage_{i}/block_{i}/separable_conv" for i in range(3)]
    trace = Trace(names, [f"{name}/kernel" for name in names], range(3))
    trace.append(np.arange(200), np.ones((200, 3)))
    lines = layer_table(trace, [], 50)
    assert max(map(len, lines)) <= 50
    assert len({line.split()[0] for line in lines[2:]}) == 3
