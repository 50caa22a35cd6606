"""Events, read back with TensorBoard's own reader."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_file_loader import (
    EventFileLoader,
)
from tensorboard.util import tensor_util

from keras_gradguard import Trace
from keras_gradguard.reporting.tensorboard.encoding import ScalarTemplate
from keras_gradguard.reporting.tensorboard.encoding import crc32c
from keras_gradguard.reporting.tensorboard.encoding import frame
from keras_gradguard.reporting.tensorboard.writer import EventWriter
from keras_gradguard.trace.histogram import COLUMNS
from keras_gradguard.trace.histogram import OCTAVES
from keras_gradguard.trace.histogram import GradientHistogram
from tests.diagnosis.synthetic import make_trace
from tests.diagnosis.synthetic import steady

pytestmark = pytest.mark.pure


def read(path):
    """Return {tag: [(step, value)]} of a file."""
    found = {}
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            data = tensor_util.make_ndarray(value.tensor)
            found.setdefault(value.tag, []).append((event.step, data))
    return found


def test_checksums():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


def test_checksum_of_long_data_equals_that_of_tensorboard():
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import crc32c as c

    rng = np.random.default_rng(0)
    for size in (1023, 1024, 1025, 5000, 100_003):
        data = rng.bytes(size)
        assert crc32c(data) == c(data)


def test_template_equals_the_slow_way():
    pb = pytest.importorskip("tensorboard.compat.proto.event_pb2")
    rng = np.random.default_rng(0)
    tags = [f"grad_norm/model/block_{i}" for i in range(7)]
    template = ScalarTemplate(tags)
    for step in (0, 1, 127, 128, 2**31, 2**40):
        values = rng.normal(size=7).astype(np.float32)
        values[3] = np.nan
        data = template.encode(1234.5678, step, values)
        body = data[12:-4]
        assert frame(body) == data
        event = pb.Event.FromString(body)
        assert event.step == step
        assert event.wall_time == 1234.5678
        assert [v.tag for v in event.summary.value] == tags
        got = [v.simple_value for v in event.summary.value]
        np.testing.assert_array_equal(np.float32(got), values)


def test_round_trip(tmp_path, sick):
    trace, findings = sick
    writer = EventWriter(tmp_path)
    writer.on_records(trace, 0)
    writer.on_findings(findings, trace)
    writer.close(trace, findings)
    writer.close(trace, findings)
    found = read(writer.path)
    for layer in trace.layers:
        assert f"grad_norm/{layer}" in found
        assert f"update_ratio/{layer}" in found
        assert f"weight_norm/{layer}" in found
    series = found["global_grad_norm"]
    steps = [step for step, _ in series]
    assert steps == sorted(set(steps))
    assert steps[-1] == 199
    # Points are means over the steps since the point before.
    norms, low = trace.global_grad_norm, 0
    for step, value in series:
        np.testing.assert_allclose(value, norms[low : step + 1].mean(), 1e-5)
        low = step + 1
    ratio = dict(found["update_ratio/dense_0"])
    assert all(abs(v - 1e-3) < 1e-8 for v in ratio.values())
    text = found["findings"][-1][1].item().decode()
    assert "vanishing\\_gradient" in text
    assert "custom_scalars__config__" in found
    assert "grad_norm_log10_over_layers" in found
    assert found["grad_norm_log10_over_layers"][0][1][:, 2].sum() == 7


def test_layout_arranges_the_tags(tmp_path, sick):
    from tensorboard.plugins.custom_scalar import layout_pb2

    writer = EventWriter(tmp_path)
    writer.close(*sick)
    data = read(writer.path)["custom_scalars__config__"][0][1].item()
    (category,) = layout_pb2.Layout.FromString(data).category
    assert category.title == "GradGuard"
    tags = [tag for chart in category.chart for tag in chart.multiline.tag]
    assert "grad_norm/" in tags


def test_size_stays_small(tmp_path):
    writer = EventWriter(tmp_path)
    rng = np.random.default_rng(0)
    layers = [f"model/block_{i}/dense_{i}" for i in range(50)]
    trace = Trace(layers, layers, range(50), has_gradient=np.ones(50))
    for start in range(0, 10_000, 100):
        writer._not_before = 0.0  # as if each step took long
        steps = np.arange(start, start + 100)
        trace.append(steps, rng.lognormal(size=(100, 50)))
        trace.append_updates(steps[::10], np.ones((10, 50)), np.ones((10, 50)))
        writer.on_records(trace, start)
    writer.close(trace, [])
    assert writer.path.stat().st_size < 5e6
    points = read(writer.path)["grad_norm/model/block_0/dense_0"]
    assert 200 < len(points) < 1000


def test_resumed_run_goes_on_in_a_new_file(tmp_path):
    first = EventWriter(tmp_path)
    first.close(make_trace(steady(np.ones(3), 50)), [])
    trace = Trace(["a"], ["a/k"], [0])
    trace.append(np.arange(50, 100), np.ones((50, 1)))
    second = EventWriter(tmp_path)
    second.close(trace, [])
    assert first.path != second.path
    assert read(second.path)["global_grad_norm"][0][0] >= 50
    assert read(first.path)["global_grad_norm"][-1][0] == 49


def test_resumed_run_purges_no_earlier_point(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )

    for start in (0, 50):
        trace = Trace(["a"], ["a/k"], [0])
        trace.append(np.arange(start, start + 50), np.ones((50, 1)))
        EventWriter(tmp_path).close(trace, [])
    reader = EventAccumulator(str(tmp_path))
    reader.Reload()
    steps = [event.step for event in reader.Scalars("global_grad_norm")]
    assert steps == sorted(steps)
    assert steps[0] < 50 <= steps[-1]
    assert steps[-1] == 99


def test_histograms_of_all_layers_are_one_event(tmp_path):
    octaves = np.zeros((3, COLUMNS))
    octaves[0, :5] = [-10, 1, 4, 2, 0]  # 1 NaN, 6 positive entries
    octaves[1, 0], octaves[1, 2 + OCTAVES] = 3, 7
    octaves[2] = np.nan
    histogram = GradientHistogram.unpack(5, octaves, [9, 7, 4])
    trace = Trace(["a", "b", "c"], ["a/k", "b/k", "c/k"], [0, 1, 2])
    writer = EventWriter(tmp_path)
    writer.on_histogram(histogram, trace)
    writer.close(trace, [])
    found = [
        {value.tag: tensor_util.make_ndarray(value.tensor) for value in values}
        for event in EventFileLoader(str(writer.path)).Load()
        if (values := event.summary.value)
        and not values[0].tag.startswith("keras_gradguard")
    ]
    (tensors,) = found
    assert set(tensors) == {
        f"{group}/{layer}"
        for group in ("gradients", "gradients_log10")
        for layer in "ab"
    }
    unit = 2.0**-10
    np.testing.assert_array_equal(
        tensors["gradients/a"],
        [
            [-unit / 2, unit / 2, 2],
            [unit / 2, unit, 2],
            [unit, 2 * unit, 4],
        ],
    )
    np.testing.assert_array_equal(tensors["gradients/b"], [[-16, -8, 7]])
    np.testing.assert_allclose(
        tensors["gradients_log10/b"], [[np.log10(8), np.log10(16), 7]]
    )


def test_killed_run_is_readable(tmp_path, sick):
    trace, _ = sick
    writer = EventWriter(tmp_path)
    writer.on_records(trace, 0)
    writer.flush()
    whole = writer.path.read_bytes()
    cut = tmp_path / "events.out.tfevents.cut"
    cut.write_bytes(whole[:-3])
    assert "global_grad_norm" in read(cut)
    writer.close(trace, [])


def test_nan_is_written_as_it_is(tmp_path, broken):
    writer = EventWriter(tmp_path)
    writer.close(*broken)
    assert np.isnan(read(writer.path)["grad_norm/dense_0"][-1][1])


def test_text_is_harmless(tmp_path):
    from keras_gradguard import Finding
    from keras_gradguard.reporting.markdown import findings_table

    finding = Finding(
        "r", "warning", ["a|b\n<script>"], 0, 1, None, {}, "x [y](z) | *k*"
    )
    line = findings_table([finding], None)[2]
    assert "<script>" not in line
    assert line.count(" | ") == 4
    assert "\\[y\\]" in line


def test_no_backend_is_imported():
    code = (
        "import sys, tempfile, keras_gradguard as k\n"
        "from keras_gradguard.reporting.tensorboard.writer import EventWriter\n"
        "t = k.Trace(['a'], ['a/k'], [0]); t.append([0, 1], [[1.], [2.]])\n"
        "w = EventWriter(tempfile.mkdtemp()); w.on_records(t, 0)\n"
        "w.close(t, [])\n"
        "for name in ('tensorflow', 'keras', 'jax', 'torch'):\n"
        "    assert name not in sys.modules, name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_tensorboard_names_the_extra(tmp_path, monkeypatch):
    module = "tensorboard.compat.proto.event_pb2"
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"keras-gradguard\[tensorboard\]"):
        EventWriter(tmp_path)


def test_failing_disk_is_told_by_the_next_call(tmp_path, sick):
    trace, _ = sick
    writer = EventWriter(tmp_path)
    writer.flush()
    writer._file._file.close()
    writer._file._file = open("/dev/full", "ab", buffering=0)  # noqa: SIM115
    with pytest.raises(OSError, match="No space left"):
        writer.close(trace, [])
    writer.close(trace, [])
