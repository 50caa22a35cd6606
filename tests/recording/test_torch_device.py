"""On torch, nothing is read from the device from batch to batch.

No GPU is here: see `tests/device.py` for what stands in for one.
"""

import pathlib
import warnings

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard.trace.series import DATA_SERIES
from keras_gradguard.trace.series import OUTPUT_STATISTICS
from tests import fresh

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="about torch's devices"
)
POLICIES = (
    "float32",
    "float64",
    "bfloat16",
    "float16",
    "mixed_bfloat16",
    "mixed_float16",
)
CLIPPERS = ("percentile", "zscore", "unitwise", "norm", "value")
STEPS = 48


@pytest.fixture
def device(monkeypatch):
    from tests import device

    with device.standin(monkeypatch) as present:
        yield present


def data():
    x = np.random.default_rng(0).normal(size=(4 * STEPS, 8, 8, 3))
    return x.astype("float32"), (x.mean((1, 2, 3)) > 0).astype("int32")


def network(optimizer="adam"):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="tanh"),
            keras.layers.Dense(40, activation="relu"),
            keras.layers.Dense(2),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    return model


def fit(model, *callbacks):
    with warnings.catch_warnings():
        warnings.simplefilter("error", kgg.GradGuardWarning)
        warnings.simplefilter("error", DeprecationWarning)
        model.fit(*data(), batch_size=4, verbose=0, callbacks=list(callbacks))


@pytest.mark.parametrize("policy", POLICIES)
def test_records_every_step_under_every_policy(policy, device):
    keras.config.set_dtype_policy(policy)
    try:
        model = network()
        monitor = kgg.GradientMonitor(verbose=0, on_finding="ignore")
        detector = kgg.DeadReLUDetector(verbose=0)
        fit(model, monitor, detector)
    finally:
        keras.config.set_dtype_policy("float32")
    assert len(monitor.trace.steps) == STEPS
    assert np.isfinite(monitor.trace.global_grad_norm[1:]).any()
    assert np.isfinite(monitor.trace.get("weight_norm")).any()
    assert len(detector.history) == 3


@pytest.mark.parametrize("method", ["gradient", "activation"])
def test_reads_at_drains_only(method, device):
    from tests.device import DRAIN
    from tests.device import CountReads

    reads = CountReads(device)
    monitor = kgg.GradientMonitor(verbose=0, on_finding="ignore")
    fit(network(), reads, monitor, kgg.DeadReLUDetector(method, verbose=0))
    assert len(monitor.trace.steps) == STEPS
    seen = [batch for batch in reads.by_batch if batch]
    assert {name for batch in seen for name in batch} <= {DRAIN}
    # At shares of the plan and doublings, see `RingDrain`: few in a long run.
    assert 1 <= len(seen) <= 10


@pytest.mark.parametrize("clipper", CLIPPERS)
def test_auto_clip_waits_for_one_number_a_step(clipper, device):
    from tests.device import SKIPS
    from tests.device import CountReads

    reads = CountReads(device)
    optimizer = kgg.AutoClip(keras.optimizers.Adam(1e-3), clipper)
    fit(network(optimizer), reads)
    assert all(set(batch) == {SKIPS} for batch in reads.by_batch)
    assert optimizer.skipped_steps == 0


def test_propagating_auto_clip_reads_nothing(device):
    from tests.device import SKIPS
    from tests.device import CountReads

    reads = CountReads(device)
    optimizer = kgg.AutoClip("sgd", "zscore", nonfinite="propagate")
    fit(network(optimizer), reads)
    assert {name for batch in reads.by_batch for name in batch} <= {SKIPS}


def test_stand_in_refuses_what_a_gpu_refuses(device):
    from tests.device import refuses

    assert refuses(keras.ops.ones(1))


def test_numbers_are_those_of_the_cpu(monkeypatch):
    from tests.device import standin

    def trace():
        keras.utils.set_random_seed(0)
        monitor = kgg.GradientMonitor(verbose=0, on_finding="ignore")
        fit(network(kgg.AutoClip("adam", "unitwise")), monitor)
        return monitor.trace

    expected = trace()
    with standin(monkeypatch):
        found = trace()
    for series in ("grad_norm", "weight_norm", "update_ratio", "zero_fraction"):
        np.testing.assert_allclose(
            found.get(series), expected.get(series), rtol=1e-6, err_msg=series
        )


@pytest.mark.slow
@pytest.mark.parametrize("clipper", ["none", *CLIPPERS])
def test_step_runs_on_tensors_without_values(clipper):
    """With a device of its own: mixing devices fails, and reading values."""
    script = pathlib.Path(__file__).with_name("fake_device_step.py")
    done = fresh.run(
        script, clipper, backend="torch", KERAS_TORCH_DEVICE="standin:0"
    )
    if done.returncode == 3:
        pytest.skip("this torch cannot make up a device")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "moved by us: []"


@pytest.mark.parametrize("policy", POLICIES)
def test_the_host_works_out_what_torch_would(policy, monkeypatch):
    # What is at hand on a CPU is packed by NumPy, elsewhere by torch.
    from keras_gradguard._backend import torch as backend

    def activations():
        keras.utils.set_random_seed(0)
        monitor = kgg.GradientMonitor(verbose=0, on_finding="ignore")
        fit(network(), monitor)
        trace = monitor.trace
        return {
            **{name: trace.activation(name) for name in OUTPUT_STATISTICS},
            **{name: trace.data(name) for name in DATA_SERIES},
        }

    keras.config.set_dtype_policy(policy)
    try:
        here = activations()
        monkeypatch.setattr(backend, "at_hand", lambda structure: None)
        there = activations()
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(here["mean"]).all()
    for name, series in here.items():
        np.testing.assert_allclose(
            series, there[name], rtol=1e-5, atol=1e-6, err_msg=name
        )


def test_small_weights_are_compared_like_large_ones(monkeypatch):
    import torch

    from keras_gradguard._backend.torch import norms

    random = np.random.default_rng(0)
    before = [random.normal(size=n).astype("float32") for n in (3, 50, 9000)]
    after = [w + 1e-3 * random.normal(size=w.size) for w in before]
    tensors = [
        [torch.as_tensor(w, dtype=torch.float32) for w in weights]
        for weights in (before, after)
    ]
    found = norms.change_norms(*tensors)
    monkeypatch.setattr(norms, "_are_small", lambda *pair: False)
    np.testing.assert_allclose(found, norms.change_norms(*tensors), rtol=1e-6)
    size = np.linalg.norm(tensors[1][1].numpy() - before[1])
    assert float(found[4]) == pytest.approx(float(size), rel=1e-6)


def test_rows_of_a_batch_wait_on_the_device(device):
    import torch

    from keras_gradguard.recording.rows import Rows

    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 5)).astype("float32")
    y = (x[:, :1] > 0).astype("float32")
    rows, plain = Rows(), Rows()
    plain.take((x, y))
    rows.take((torch.from_numpy(x), torch.from_numpy(y)))
    assert device.reads == []
    assert (len(rows), len(plain)) == (0, 64)
    rows.settle()
    assert len(rows) == 64
    np.testing.assert_array_equal(rows._views[0][0], plain._views[0][0])
    np.testing.assert_array_equal(rows._targets[0], plain._targets[0])
