"""What is written for the GradGuard tab, and how it is put together again."""

import numpy as np
import pytest

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_file_loader import (
    EventFileLoader,
)
from tensorboard.util import tensor_util

from keras_gradguard.reporting.tensorboard import chunks as _chunks
from keras_gradguard.reporting.tensorboard.points import Points
from keras_gradguard.reporting.tensorboard.points import means
from keras_gradguard.tensorboard_plugin.run_data import assemble
from tests.tensorboard_plugin.conftest import make_trace
from tests.tensorboard_plugin.conftest import write
from tests.tensorboard_plugin.conftest import write_live

pytestmark = pytest.mark.pure


def chunks_of(*paths):
    """Return {tag: chunks} of the tab in event files."""
    found = {}
    for path in paths:
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name in (
                    "",
                    _chunks.PLUGIN_NAME,
                ) and value.tag.startswith(_chunks.PLUGIN_NAME):
                    data = tensor_util.make_ndarray(value.tensor)
                    found.setdefault(value.tag, []).append(data.tolist())
    return found


def test_chunk_round_trip():
    arrays = {
        "step": np.array([2**40, 2**40 + 1]),
        "grad_norm": np.array([[1, np.nan], [np.inf, 0]], np.float32),
        "empty": np.zeros((0, 3), np.float32),
    }
    header, back = _chunks.unpack(_chunks.pack({"part": 1}, arrays))
    assert header["part"] == 1
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize(
    "parts",
    [[], [b""], [b"[]"], [b"{}"], [b'{"version": 1, "arrays": [1]}', b""]],
)
def test_what_is_no_chunk_is_told(parts):
    with pytest.raises(ValueError, match="a part"):
        _chunks.unpack(parts)


def test_chunk_of_a_later_version_says_what_to_do():
    parts = [b'{"version": 99, "arrays": []}']
    with pytest.raises(ValueError, match="upgrade keras-gradguard"):
        _chunks.unpack(parts)


def test_pace_gets_slower_and_loses_no_record():
    points, seen, steps = Points(1, 100), [], np.arange(0)
    for start in range(0, 20_000, 50):
        steps = np.arange(start + 50)
        _, rows = points.cuts(steps)
        seen += rows[:-1].tolist()
        if len(rows):
            last = rows[-1]
    _, rows = points.cuts(steps, force=True)
    assert rows[0] == last
    assert rows[-1] == len(steps)
    points = np.array([*seen, *rows[:-1]])
    assert (np.diff(points) > 0).all()
    assert points[:50].tolist() == list(range(50))
    # 100 * (1 + log(20,000 / 100)), and some.
    assert 500 < len(points) < 800


def test_means_of_groups():
    values = np.arange(10.0).reshape(5, 2)
    rows = np.array([3, 4, 8])
    expected = [values[:1].mean(axis=0), values[1:5].mean(axis=0)]
    np.testing.assert_allclose(means(values, rows), expected)
    values[2] = np.inf
    assert np.isinf(means(values, rows)[1]).all()


def test_every_record_of_a_short_run_is_written(tmp_path):
    grads = np.random.default_rng(0).lognormal(size=(300, 4))
    grads[100, 2] = np.nan
    path = write_live(tmp_path, grads, 10)
    found = chunks_of(path)
    assert len(found[_chunks.LAYERS_TAG]) == 1
    # The last record of a block may repeat: it waits for the next one.
    assert len(found[_chunks.RECORDS_TAG]) == 31
    run = assemble(found)
    assert run.steps.tolist() == list(range(300))
    steps, values, _ = run.metrics["grad_norm"]
    assert steps.tolist() == list(range(300))
    np.testing.assert_array_equal(values, grads.astype(np.float32))
    assert run.findings == []
    np.testing.assert_allclose(
        run.shared["global_grad_norm"],
        np.sqrt((grads**2).sum(axis=1)),
        rtol=1e-6,
    )


def test_chunks_wait_for_their_time(tmp_path):
    from keras_gradguard.reporting.tensorboard.writer import EventWriter

    writer = EventWriter(tmp_path)
    for end in range(10, 310, 10):
        trace = make_trace(["a"], np.arange(end), np.ones((end, 1)))
        writer.on_records(trace, end - 10)
    writer.close(trace, [])
    found = chunks_of(writer.path)
    assert len(found[_chunks.RECORDS_TAG]) <= 3
    assert assemble(found).steps.tolist() == list(range(300))


def test_long_run_is_thinned_to_means(tmp_path):
    grads = np.repeat(np.arange(10_000.0)[:, None] + 1, 2, axis=1)
    path = write_live(tmp_path, grads, 250)
    run = assemble(chunks_of(path))
    assert 3000 < len(run.steps) < 4000
    ends = np.append(run.steps[1:], 10_000)
    expected = (run.steps + ends - 1) / 2 + 1
    np.testing.assert_allclose(
        run.metrics["grad_norm"][1][:, 0], expected, rtol=1e-6
    )
    # The largest of each point is kept beside the mean.
    np.testing.assert_array_equal(run.metrics["grad_norm"][2][:, 1], ends)
    norm = run.shared["global_grad_norm_low"]
    merged = ~np.isnan(norm)
    np.testing.assert_allclose(
        norm[merged], (run.steps[merged] + 1) * 2**0.5, rtol=1e-6
    )
    assert run.last_step == 9999


def test_file_of_fifty_layers_stays_small(tmp_path):
    grads = np.random.default_rng(0).lognormal(size=(10_000, 50))
    path = write_live(tmp_path, grads, 100)
    assert path.stat().st_size < 5e6


def test_resumed_run_replaces_what_it_repeats(tmp_path):
    first = write(
        tmp_path, make_trace(["a"], np.arange(100), np.ones((100, 1))), []
    )
    again = np.full((60, 1), 2.0)
    second = write(tmp_path, make_trace(["a"], np.arange(80, 140), again), [])
    run = assemble(chunks_of(first, second))
    assert run.steps.tolist() == list(range(140))
    values = run.metrics["grad_norm"][1][:, 0]
    assert set(values[:80]) == {1}
    assert set(values[80:]) == {2}


def test_new_run_in_an_old_directory_replaces_it(tmp_path, sick):
    trace, findings = sick
    layers = trace.layers.tolist()
    first = write(tmp_path, trace, findings)
    ones = np.ones((50, len(layers)))
    second = write(tmp_path, make_trace(layers, np.arange(50), ones), [])
    run = assemble(chunks_of(first, second))
    assert run.steps.tolist() == list(range(50))
    assert run.findings == []
    # As does another model.
    other = write(tmp_path, make_trace(["b"], np.arange(9), np.ones((9, 1))))
    run = assemble(chunks_of(first, second, other))
    assert run.layers == ["b"]
    assert run.steps.tolist() == list(range(9))


def test_damaged_chunks_are_left_out(tmp_path):
    grads = np.ones((100, 2))
    found = chunks_of(write_live(tmp_path, grads, 10))
    records = found[_chunks.RECORDS_TAG]
    records[3] = records[3][:2]
    records[4] = [b"\xff"]
    found[_chunks.FINDINGS_TAG].append([b'{"version": 1, "arrays": []}'])
    about, _ = _chunks.unpack(found[_chunks.FINDINGS_TAG][0])
    about = {**about, "part": 999, "findings": [{"rule": "half"}, 3]}
    found[_chunks.FINDINGS_TAG].append(_chunks.pack(about).tolist())
    run = assemble(found)
    gone = set(range(29, 49))
    assert run.steps.tolist() == [s for s in range(100) if s not in gone]
    assert run.findings == []
    assert run.left_out == {
        "records: a part lists other arrays than it has": 1,
        "records: the header of a part is no JSON": 1,
        "findings: a part has no session": 1,
        "findings: one lacks what a finding must have": 2,
    }
    assert assemble({}) is None


def test_dead_units_of_the_activations_that_can_die(tmp_path):
    trace = make_trace(["a", "b"], np.arange(200), np.ones((200, 2)))
    sites = ["a", "relu", "b"]
    trace.meta["sites"] = {
        site: {"activation": "relu", "can_die": site != "b"} for site in sites
    }
    for step in range(0, 200, 50):
        share = {"dead_fraction": [step / 200, 0.5, np.nan]}
        trace.append_activations(step, sites, share)
    path = write(tmp_path, trace, [])
    run = assemble(chunks_of(path))
    assert run.sites == ["a", "relu"]
    assert run.rows("dead_share") == run.sites
    assert run.rows("grad_norm") == ["a", "b"]
    steps, values, _ = run.metrics["dead_share"]
    assert steps.tolist() == [0, 50, 100, 150]
    np.testing.assert_allclose(values[:, 0], [0, 0.25, 0.5, 0.75])
    assert set(values[:, 1]) == {0.5}


def test_epochs_are_told_once(tmp_path):
    trace = make_trace(["a"], np.arange(20), np.ones((20, 1)))
    trace.append_epoch(0, 9, {"loss": 0.5})
    trace.append_epoch(1, 19, {"loss": float("nan"), "val_loss": 0.6})
    run = assemble(chunks_of(write(tmp_path, trace, [])))
    assert run.epochs == [
        [0, 9, {"loss": 0.5}],
        [1, 19, {"val_loss": 0.6, "loss": "NaN"}],
    ]


def test_equal_norms_in_other_digits_are_no_clipping(tmp_path):
    grads = np.random.default_rng(0).lognormal(size=(100, 3))
    norm = np.sqrt((grads**2).sum(axis=1)).astype(np.float32)
    trace = make_trace(
        ["a", "b", "c"],
        np.arange(100),
        grads,
        clipped_grad_norm=np.nextafter(norm, 0),
        extra={"clip_threshold": np.full(100, 1e9)},
    )
    run = assemble(chunks_of(write(tmp_path, trace, [])))
    assert not run.shared["clipped_fraction"].any()
