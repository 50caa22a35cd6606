"""The trace: numbers, bounded memory, files."""

import json
import subprocess
import sys

import numpy as np
import pytest

from keras_gradguard import Trace

pytestmark = pytest.mark.pure


def make(steps=40, seed=0, **kwargs):
    rng = np.random.default_rng(seed)
    trace = Trace(
        ["dense", "dense_1", "head"],
        ["dense/kernel", "dense/bias", "dense_1/kernel", "head/kernel"],
        [0, 0, 1, 2],
        **kwargs,
    )
    norms = rng.lognormal(size=(steps, 4)).astype(np.float32)
    trace.append(np.arange(steps), norms, extra={"loss": np.ones(steps)})
    return trace, norms


def test_layer_and_global_norms_match_float64():
    trace, norms = make()
    wide = norms.astype(np.float64)
    layer = np.sqrt(wide[:, 0] ** 2 + wide[:, 1] ** 2)
    np.testing.assert_allclose(trace.get("grad_norm")[:, 0], layer, rtol=1e-6)
    assert trace.get("grad_norm").dtype == np.float32
    assert trace.get("grad_norm", by="variable").shape == (40, 4)
    total = np.sqrt((wide**2).sum(axis=1))
    np.testing.assert_allclose(trace.global_grad_norm, total, rtol=1e-12)
    np.testing.assert_array_equal(trace.clipped_grad_norm, total)


def test_clipped_norm_is_kept_where_given():
    trace = Trace(["a"], ["a/kernel"], [0])
    trace.append([0, 1], [[2.0], [3.0]], clipped_grad_norm=[1.0, np.nan])
    assert trace.clipped_grad_norm.tolist() == [1.0, 3.0]


def test_global_norm_does_not_overflow():
    trace = Trace(["a"], ["a/k", "a/b"], [0, 0])
    trace.append([0], [[3e38, 1e38]])
    np.testing.assert_allclose(trace.global_grad_norm, [3.16227766e38])


def test_missing_gradient_is_told_from_nan_gradient():
    trace = Trace(
        ["frozen", "dense"],
        ["frozen/k", "dense/k"],
        [0, 1],
        has_gradient=[False, True],
    )
    trace.append([0, 1], [[np.nan, 2.0], [np.nan, np.nan]])
    assert trace.global_grad_norm[0] == 2.0
    assert np.isnan(trace.global_grad_norm[1])
    assert np.isnan(trace.get("grad_norm")[:, 0]).all()
    inferred = Trace(["frozen", "dense"], ["f/k", "d/k"], [0, 1])
    inferred.append([0, 1], [[np.nan, 2.0], [np.nan, np.nan]])
    assert inferred.has_gradient.tolist() == [False, True]


def test_updates_expand_onto_the_last_record_of_a_step():
    trace = Trace(["a"], ["a/k", "a/b"], [0, 0], sizes=[90, 10])
    trace.append(
        [0, 0, 1, 2], np.ones((4, 2)), skipped=[True, False, False, False]
    )
    trace.append_updates(
        [0, 2],
        weight_norm=[[3, 4], [3, 4]],
        update_norm=[[0.3, 0.4], [0.3, np.nan]],
        zero_fraction=[[0.0, 1.0], [0.5, np.nan]],
    )
    np.testing.assert_allclose(
        trace.get("update_ratio")[:, 0], [np.nan, 0.1, np.nan, 0.1], rtol=1e-6
    )
    np.testing.assert_allclose(
        trace.get("weight_norm")[:, 0], [np.nan, 5, np.nan, 5]
    )
    steps, zero = trace.measured("zero_fraction")
    assert steps.tolist() == [0, 2]
    np.testing.assert_allclose(zero[:, 0], [0.1, 0.5])
    assert np.isnan(trace.get("distance")).all()


def test_logs_are_floats_per_epoch():
    trace, _ = make()
    trace.append_epoch(0, 19, {"loss": 1.5, "note": "text"})
    trace.append_epoch(1, 39, {"loss": 1.0, "val_loss": 2.0})
    assert trace.logs["loss"].tolist() == [1.5, 1.0]
    np.testing.assert_array_equal(trace.logs["val_loss"], [np.nan, 2.0])
    assert "note" not in trace.logs
    assert trace.epoch_steps.tolist() == [19, 39]
    assert [trace.epoch_of(s) for s in (0, 19, 20, 39, 40)] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("block", [1, 7, 100, 5000])
def test_memory_stays_bounded_and_old_steps_thin_out_evenly(block):
    trace = Trace(["a"], ["a/k"], [0], capacity_bytes=1)
    trace.pin([3, 777])
    total = 20_000
    for start in range(0, total, block):
        steps = np.arange(start, min(total, start + block))
        trace.append(steps, steps[:, None] + 1.0)
    steps = trace.steps
    assert len(steps) <= 512
    assert trace.thinned
    assert steps[0] == 0
    assert steps[-1] == total - 1
    assert {3, 777} <= set(steps.tolist())
    np.testing.assert_array_equal(trace.global_grad_norm, steps + 1.0)
    recent = steps[-200:]
    assert (np.diff(recent) == 1).all()
    # How the run began is kept as it was.
    assert steps[:100].tolist() == list(range(100))
    old = np.setdiff1d(steps[steps < total - 512], [*range(100), 777])
    gaps = np.diff(old)
    assert len(np.unique(gaps[1:-1])) <= 2


def test_the_way_to_the_first_nonfinite_gradient_survives():
    trace = Trace(["a"], ["a/k"], [0], capacity_bytes=1)
    for start in range(0, 10_000, 50):
        norms = np.ones((50, 1))
        if start == 500:
            norms[20] = np.inf
        trace.append(np.arange(start, start + 50), norms)
    at = trace.steps.tolist().index(520)
    assert trace.steps[at - 20 : at + 1].tolist() == list(range(500, 521))
    assert np.isinf(trace.global_grad_norm[at])


def test_large_capacity_holds_every_record():
    trace = Trace(
        [f"l{i}" for i in range(200)],
        [f"l{i}/k" for i in range(200)],
        range(200),
        capacity_bytes=64 * 2**20,
    )
    trace.append(np.arange(10_000), np.ones((10_000, 200)))
    assert not trace.thinned
    assert len(trace.steps) == 10_000


def test_round_trip_is_identical(tmp_path):
    trace, _ = make(5000, capacity_bytes=1, meta={"backend": "jax", "x": [1]})
    trace.append_updates([3, 9], np.ones((2, 4)), np.ones((2, 4)))
    trace.append_epoch(0, 4999, {"loss": 0.1})
    path = tmp_path / "trace.npz"
    trace.save(path)
    again = Trace.load(path)
    for name in (
        "steps",
        "layers",
        "variables",
        "owners",
        "global_grad_norm",
        "clipped_grad_norm",
        "skipped",
        "update_steps",
        "epochs",
        "epoch_steps",
        "has_gradient",
    ):
        np.testing.assert_array_equal(
            getattr(again, name), getattr(trace, name)
        )
    for name in ("grad_norm", "update_ratio", "weight_norm", "distance"):
        np.testing.assert_array_equal(again.get(name), trace.get(name))
    assert again.meta == trace.meta
    assert again.logs.keys() == trace.logs.keys()
    assert again.to_dict() == trace.to_dict()
    # It goes on as if it had never been away.
    for one in (trace, again):
        one.append(np.arange(5000, 5905), np.full((905, 4), 2.0))
    np.testing.assert_array_equal(again.steps, trace.steps)
    np.testing.assert_array_equal(
        again.blocks().log_norm, trace.blocks().log_norm
    )
    assert [p.name for p in tmp_path.iterdir()] == ["trace.npz"]


def test_loading_needs_no_keras(tmp_path):
    trace, _ = make()
    trace.save(tmp_path / "t.npz")
    code = (
        "import sys; sys.modules['keras'] = None\n"
        "import keras_gradguard as kgg\n"
        f"t = kgg.Trace.load({str(tmp_path / 't.npz')!r})\n"
        "print(len(t.steps), kgg.diagnose(t).healthy)\n"
        "assert 'tensorflow' not in sys.modules\n"
        "assert 'matplotlib' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "40 None"


def test_foreign_and_damaged_files_are_refused(tmp_path):
    text = tmp_path / "notes.npz"
    text.write_text("hello")
    with pytest.raises(ValueError, match="must be a saved trace"):
        Trace.load(text)
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, a=np.ones(3))
    with pytest.raises(ValueError, match="must be a saved trace"):
        Trace.load(foreign)
    trace, _ = make(400)
    trace.save(tmp_path / "t.npz")
    whole = (tmp_path / "t.npz").read_bytes()
    for part in (0, 10, len(whole) // 2, len(whole) - 10):
        (tmp_path / "cut.npz").write_bytes(whole[:part])
        with pytest.raises(ValueError, match=r"Trace\.load: `path` must be"):
            Trace.load(tmp_path / "cut.npz")
    with np.load(tmp_path / "t.npz") as file:
        parts = {name: file[name] for name in file.files}
    del parts["pinned"]
    np.savez(tmp_path / "part.npz", **parts)
    with pytest.raises(ValueError, match="`pinned` is missing"):
        Trace.load(tmp_path / "part.npz")
    with pytest.raises(FileNotFoundError):
        Trace.load(tmp_path / "absent.npz")


def test_failed_save_leaves_the_old_file(tmp_path):
    trace, _ = make()
    path = tmp_path / "t.npz"
    trace.save(path)
    before = path.read_bytes()
    trace.meta["x"] = object()
    with pytest.raises(ValueError, match="`meta` must hold only what JSON can"):
        trace.save(path)
    assert path.read_bytes() == before


def test_to_dict_is_json():
    trace = Trace(["a"], ["a/k"], [0], has_gradient=[True])
    trace.append([0, 1, 2], [[1.0], [np.inf], [np.nan]])
    data = json.loads(json.dumps(trace.to_dict(), allow_nan=False))
    assert data["grad_norm"] == [[1.0], ["Infinity"], [None]]


def test_errors_teach():
    with pytest.raises(
        ValueError, match=r"`owners` .* one index into `layers`"
    ):
        Trace(["a"], ["a/k"], [1])
    trace, _ = make()
    with pytest.raises(ValueError, match="`name` must be one of 'grad_norm'"):
        trace.get("gradient")
    with pytest.raises(ValueError, match="`by` must be one of 'layer'"):
        trace.get("grad_norm", by="unit")
    with pytest.raises(ValueError, match=r"of shape \(steps, variables\)"):
        trace.append([0], [[1.0, 2.0]])
    with pytest.raises(
        ValueError, match=r"`skipped` must be bools of shape \(1,\)"
    ):
        trace.append([0], np.ones((1, 4)), skipped=[True, False])


def test_empty_trace_reads():
    trace = Trace([], [], [])
    trace.append([], np.zeros((0, 0)))
    assert trace.get("grad_norm").shape == (0, 0)
    assert trace.global_grad_norm.shape == (0,)
    assert trace.epoch_of(0) is None


def test_measured_within_a_step_and_after_it():
    trace = Trace(["a"], ["a/kernel"], [0])
    trace.append([0, 1], [[1.0], [1.0]])
    trace.append_updates([0, 1], [[2.0], [2.0]], [[0.5], [0.25]])
    trace.append_updates([1], [[3.0]], zero_fraction=[[0.125]])
    np.testing.assert_array_equal(trace.get("weight_norm"), [[2.0], [2.0]])
    np.testing.assert_array_equal(trace.get("update_ratio"), [[0.25], [0.125]])
    np.testing.assert_array_equal(
        trace.get("zero_fraction"), [[np.nan], [0.125]]
    )


def test_blocks_count_what_is_not_finite_where_there_is_a_gradient():
    trace = Trace(
        ["a", "b"], ["a/k", "b/k"], [0, 1], has_gradient=[True, False]
    )
    norms = np.full((20, 2), np.nan)
    norms[:, 0] = 1.0
    norms[13:15, 0] = [np.nan, np.inf]
    trace.append(np.arange(20), norms)
    np.testing.assert_allclose(trace.blocks().nonfinite, [[0, 0], [0.2, 0]])
