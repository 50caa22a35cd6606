"""Two runs side by side: layers that differ, and since when."""

import json

import numpy as np
import pytest

import keras_gradguard as kgg
from tests.hostile import runs

pytestmark = pytest.mark.pure
LAYERS = ("net/a", "net/b", "net/c")


def make(norms, layers=LAYERS, steps=None, meta=None):
    norms = np.asarray(norms, float)
    trace = kgg.Trace(
        layers,
        [f"{layer}/kernel" for layer in layers],
        range(len(layers)),
        meta=meta,
    )
    trace.append(np.arange(len(norms)) if steps is None else steps, norms)
    return trace


def noisy(steps=640, seed=0):
    rng = np.random.default_rng(seed)
    return np.exp(0.5 * rng.normal(size=(steps, 3)))


def twin(a, b, windows, factor):
    """Longest run of windows whose medians lie `factor` apart, plainly."""
    far = []
    for at in range(windows):
        size = len(a) // windows
        part = slice(at * size, (at + 1) * size)
        ratio = np.median(b[part]) / np.median(a[part])
        far.append(ratio > factor or ratio < 1 / factor)
    return far


def test_a_layer_that_fades_from_a_step_on():
    a, b = noisy(), noisy(seed=1)
    b[300:, 1] *= 1e-3
    found = kgg.compare(make(a), make(b))
    (row,) = found.rows
    far = twin(a[:, 1], b[:, 1], 64, 10)
    assert far.index(True) * 10 == row.first_step == 300
    assert all(far[30:])
    assert found.differ == ["net/b"]
    assert row.series == "grad_norm"
    assert row.lasts
    assert row.last_step == 639
    assert row.ratio == pytest.approx(row.b / row.a)
    assert row.ratio == pytest.approx(1e-3, rel=0.3)
    assert "net/b: grad_norm is " in str(found)
    assert "times less), since step 300." in str(found)
    times = str(found).split("in b (")[1].split(" times less")[0]
    times = float(times.replace(",", ""))
    assert times == pytest.approx(row.a / row.b, rel=0.06)
    assert found.steps == (0, 639)


def test_it_reads_the_same_the_other_way_round():
    a, b = noisy(), noisy(seed=1)
    b[300:, 1] *= 1e-3
    (there,), (back,) = (
        kgg.compare(make(a), make(b)).rows,
        kgg.compare(make(b), make(a)).rows,
    )
    assert there.first_step == back.first_step
    assert there.ratio == pytest.approx(1 / back.ratio)


def test_noise_and_one_odd_window_are_no_difference():
    a, b = noisy(), noisy(seed=1)
    b[300:310] *= 1e4
    found = kgg.compare(make(a), make(b))
    assert not found.rows
    assert "None of 3 layers differ by more than 10 times" in str(found)


def test_a_difference_that_passes_has_an_end():
    a, b = noisy(), noisy(seed=1)
    b[:200, 2] *= 50
    (row,) = kgg.compare(make(a), make(b))
    assert (row.first_step, row.last_step, row.lasts) == (0, 199, False)
    assert "until step 199" in str(kgg.compare(make(a), make(b)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_no_longer_finite(bad):
    a, b = noisy(), noisy(seed=1)
    b[400:] = bad
    found = kgg.compare(make(a), make(b))
    assert [row.first_step for row in found.rows] == [400] * 3
    assert "not finite in b, since step 400" in str(found)
    assert [f.rule for f in found.findings_only_b] == ["nonfinite_gradient"]
    assert "Found only in b: nonfinite_gradient." in str(found)
    both = kgg.compare(make(b), make(b))
    assert not both.rows


def test_zero_and_no_gradient():
    a, b = noisy(), noisy(seed=1)
    b[:, 0] = 0.0
    b[:, 2] = np.nan  # frozen: nothing to compare
    (row,) = kgg.compare(make(a), make(b)).rows
    assert (row.layer, row.first_step, row.b) == ("net/a", 0, 0.0)


def test_runs_of_other_lengths_and_cadences():
    a, b = noisy(), noisy(320, seed=1)
    b[80:, 0] *= 100
    every_other = make(b, steps=2 * np.arange(320))
    (row,) = kgg.compare(make(a), every_other).rows
    assert row.first_step == pytest.approx(160, abs=20)
    later = make(a, steps=np.arange(1000, 1640))
    nothing = kgg.compare(make(a), later)
    assert nothing.steps is None
    assert "no steps in common" in str(nothing)


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_short_runs(steps):
    found = kgg.compare(
        make(np.ones((steps, 3))), make(100 * np.ones((steps, 3)))
    )
    assert len(found.differ) == (3 if steps else 0)


def test_weights_and_updates_are_compared_too():
    traces = [runs.make(), runs.make()]
    for trace, size in zip(traces, (1.0, 40.0), strict=True):
        ones = np.ones((6, 8))
        steps = 80 + np.arange(6)
        trace.append(steps, ones)
        trace.append_updates(steps, size * ones, 0.01 * ones)
    found = kgg.compare(*traces)
    assert {row.series for row in found} == {"weight_norm", "update_ratio"}
    for row in found:
        wanted = {"weight_norm": 40, "update_ratio": 1 / 40}[row.series]
        assert row.ratio == pytest.approx(wanted, rel=1e-5)
        assert row.first_step == 80


def test_layers_of_two_models_of_one_process():
    a, b = noisy(), noisy(seed=1)
    b[:, 1] *= 100
    named = make(b, ["net_1/a", "net_1/b", "net_1/c"])
    found = kgg.compare(make(a), named)
    assert (found.matched_by, found.differ) == ("name", ["net/b"])

    def numbered(norms, first):
        paths = [f"net/dense_{first + at}" for at in range(3)]
        info = {p: {"class": "Dense", "shapes": {}} for p in paths}
        return make(norms, paths, meta={"layer_info": info})

    found = kgg.compare(numbered(a, 0), numbered(b, 3))
    assert (found.matched_by, found.differ) == ("order", ["net/dense_1"])
    assert not found.only_a + found.only_b
    # Numbers that overlap by chance mean nothing.
    assert kgg.compare(numbered(a, 0), numbered(b, 1)).differ == ["net/dense_1"]


def test_layers_that_only_one_has():
    found = kgg.compare(make(noisy()), make(noisy(), ["net/a", "net/x", "u"]))
    assert found.layers == ["net/a"]
    assert found.only_a == ["net/b", "net/c"]
    assert found.only_b == ["net/x", "u"]
    assert "Only in a: net/b and net/c." in str(found)


def test_run_directories(tmp_path):
    for name, kind in (("good", "healthy"), ("bad", "dead")):
        (tmp_path / name).mkdir()
        runs.make(kind).save(tmp_path / name / "trace.npz")
    found = kgg.compare(tmp_path / "good", str(tmp_path / "bad"))
    wanted = kgg.compare(runs.make(), runs.make("dead"))
    assert found.rows == wanted.rows
    assert found.differ[:2] == ["net/dense", "net/dense_1"]
    assert str(tmp_path / "bad") in str(found)


def test_as_json():
    found = kgg.compare(runs.make(), runs.make("dead"))
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [row["layer"] for row in data["rows"]] == [r.layer for r in found]
    assert data["findings_only_b"]


def test_a_comparison_is_not_true_or_false():
    found = kgg.compare(runs.make(), runs.make())
    assert len(found) == 0
    with pytest.raises(TypeError, match=r"comparison\.differ"):
        bool(found)


def test_wrong_arguments():
    trace = runs.make()
    with pytest.raises(TypeError, match="compare: `b` must be a Trace, or"):
        kgg.compare(trace, 5)
    with pytest.raises(ValueError, match="`factor` must be a number > 1"):
        kgg.compare(trace, trace, factor=1)
