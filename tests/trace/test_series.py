"""Series are declared once; what measures and shows them follows."""

import ast
import pathlib

import numpy as np
import pytest

import keras_gradguard
from keras_gradguard.reporting.tensorboard import chunks
from keras_gradguard.trace import Trace
from keras_gradguard.trace import series

pytestmark = pytest.mark.pure

STEP = pathlib.Path(keras_gradguard.__file__).parent / "recording" / "step"


def test_each_gradient_series_has_its_function_and_no_other():
    tree = ast.parse((STEP / "gradient_series.py").read_text())
    measured = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
    assert measured == set(series.GRADIENT_SERIES)
    assert series.GRADIENT_SERIES[0] == "grad_norm"


def test_what_has_a_title_is_shown_and_nothing_else():
    titled = [s for s in (*series.RECORDED, *series.MEASURED) if s.title]
    shown = {name: about["title"] for name, about in chunks.SHOWN.items()}
    assert {s.name: s.title for s in titled}.items() <= shown.items()
    assert set(shown) - {s.name for s in titled} == {
        "update_ratio",
        "dead_share",
        "variable_norm",
    }


@pytest.mark.parametrize("by", ["layer", "variable"])
def test_measured_leaves_out_gradients_up_to_since(by):
    trace = Trace(["a", "b"], ["a/k", "a/b", "b/k"], [0, 0, 1])
    norms = np.arange(1.0, 13).reshape(4, 3)
    trace.append([3, 4, 4, 7], norms, skipped=[False, True, False, False])
    steps, values = trace.measured("grad_norm", by, since=3)
    assert steps.tolist() == [4, 4, 7]
    np.testing.assert_array_equal(values, trace.get("grad_norm", by)[1:])
    assert len(trace.measured("grad_norm", by, since=7)[0]) == 0


@pytest.mark.parametrize("how", ["norm", "norm_of_all", "max", "mean"])
def test_numbers_of_variables_make_that_of_their_layer(how):
    from keras_gradguard.trace.layer_norms import LayerSums

    sums = LayerSums(np.array([1, 0, 1, 2]), 4)
    values = np.array([[3.0, 1, 4, 9], [np.nan, 2, 1, 9]], np.float32)
    mask = np.array([True, True, True, False])
    sizes = np.array([1.0, 2, 3, 4])
    got = sums.of_gradients(how, values, mask, sizes)
    assert got.dtype == np.float32
    # A layer without a gradient, and one without variables, have none.
    assert np.isnan(got[:, 2:]).all()
    np.testing.assert_allclose(got[:, 0], [1, 2])
    expected = {"max": 4, "mean": 15 / 4}.get(how, 5)
    np.testing.assert_allclose(got[0, 1], expected)
    # A gradient that became NaN is seen, whatever is beside it.
    assert np.isnan(got[1, 1])
    # A variable without a gradient does not count beside one that has it.
    alone = sums.of_gradients(
        how, -values, mask & [False, True, True, True], sizes
    )
    expected = {"max": -4, "mean": -4}.get(how, 4)
    np.testing.assert_allclose(alone[0, 1], expected)
