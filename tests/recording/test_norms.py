"""Norms of many tensors at once, against NumPy in float64."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_gradguard import _backend
from keras_gradguard._backend import host_norms
from keras_gradguard._backend import host_ops
from keras_gradguard._backend.segments import Segments

SIZES = [0, 1, 3, 31, 32, 33, 100, 1 << 14, (1 << 14) + 1, 40_000]
MEMORY = Path("/proc/self/clear_refs")
IS_TF = keras.backend.backend() == "tensorflow"


@pytest.fixture
def accelerator(monkeypatch):
    """JAX takes on a CPU the way that it takes on an accelerator."""
    if keras.backend.backend() != "jax":
        pytest.skip("one way on all devices")
    import jax

    monkeypatch.setattr(
        jax.lax, "platform_dependent", lambda *, cpu, default: default()
    )


def norms_of(arrays, xla):
    if xla == "host":
        return host_norms.l2_norms(arrays)
    backend = _backend.current()

    def run(tensors):
        return backend.l2_norms(tensors, xla)

    if xla and IS_TF:
        import tensorflow as tf

        run = tf.function(run, jit_compile=True)
    elif xla:
        run = backend.compiled(run)
    tensors = [keras.ops.convert_to_tensor(a) for a in arrays]
    return keras.ops.convert_to_numpy(run(tensors))


@pytest.mark.parametrize("xla", [False, True, "host"])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_norms_of_all_sizes(scale, xla):
    random = np.random.default_rng(0)
    arrays = [(random.normal(size=n) * scale).astype("float32") for n in SIZES]
    arrays.append(np.zeros((4, 5), "float32"))
    arrays.append(arrays[6].reshape(2, 5, 10))
    exact = [np.linalg.norm(a.astype("float64").reshape(-1)) for a in arrays]
    np.testing.assert_allclose(norms_of(arrays, xla), exact, rtol=2e-6)


@pytest.mark.parametrize("xla", [False, True, "host"])
@pytest.mark.parametrize("size", [2, 40, 40_000])
def test_norms_next_to_the_largest_float32_and_the_smallest(size, xla):
    arrays = [np.zeros(size, "float32") for _ in range(5)]
    for array, value in zip(
        arrays, [8.6e37, 2e38, 2.3e38, 1e-37, 1e15], strict=True
    ):
        array[-2:] = value
    exact = [np.linalg.norm(a.astype("float64")) for a in arrays]
    np.testing.assert_allclose(norms_of(arrays, xla), exact, rtol=2e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30, 1e38])
def test_norms_as_an_accelerator_takes_them(scale, accelerator):
    random = np.random.default_rng(0)
    arrays = [
        (random.uniform(-2, 2, size=n) * scale).astype("float32")
        for n in (*SIZES, 100_003, 512 * 300)
    ]
    exact = [np.linalg.norm(a.astype("float64")) for a in arrays]
    with np.errstate(over="ignore"):
        exact = np.asarray(exact).astype("float32")
    np.testing.assert_allclose(norms_of(arrays, True), exact, rtol=2e-6)
    bad = arrays[-1].copy()
    bad[7] = np.nan
    found = norms_of([*arrays[:-1], bad], True)
    np.testing.assert_allclose(found[:-1], exact[:-1], rtol=2e-6)
    assert np.isnan(found[-1])


@pytest.mark.parametrize("xla", [False, True, "host"])
@pytest.mark.parametrize("sizes", [[5, 5, 5], [100, 40, 64], [20_000, 5, 30]])
def test_what_is_not_finite_stays_where_it_is(sizes, xla):
    arrays = [np.ones(n, "float32") for n in sizes]
    arrays[0][-1], arrays[2][0] = np.nan, -np.inf
    found = norms_of(arrays, xla)
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(np.sqrt(sizes[1]))
    assert np.isposinf(found[2])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_what_the_host_reads_changes_as_the_device_says(scale, dtype):
    random = np.random.default_rng(0)
    scale = 1.0 if dtype == "float16" else scale
    before, after = (
        [(random.normal(size=n) * scale).astype(dtype) for n in SIZES]
        for _ in range(2)
    )
    before[3][:7] = 0
    found = host_norms.change_norms(before, after)
    assert found.dtype == "float32"
    wide = [[a.astype("float64") for a in arrays] for arrays in (before, after)]
    exact = [np.linalg.norm(a) for a in wide[0]]
    exact += [np.linalg.norm(b - a) for a, b in zip(*wide, strict=True)]
    np.testing.assert_allclose(found, exact, rtol=1e-6)
    zeros = [np.mean(a == 0) if a.size else 0.0 for a in before]
    np.testing.assert_allclose(
        host_norms.zero_fractions(before), zeros, rtol=1e-6
    )
    tensors = [keras.ops.convert_to_tensor(a) for a in before]
    views = _backend.current().on_host(tensors)
    for view, tensor in zip(views or (), tensors, strict=views is not None):
        np.testing.assert_array_equal(view, keras.ops.convert_to_numpy(tensor))


@pytest.mark.parametrize("xp", [keras.ops, host_ops])
@pytest.mark.parametrize(
    "sizes", [[3, 1, 4], [2, 2], [0, 3], [1, 1, 1], [3, 0]]
)
def test_segments(sizes, xp):
    random = np.random.default_rng(0)
    values = random.normal(size=(2, sum(sizes))).astype("float32")
    parts = np.split(values, np.cumsum(sizes)[:-1], axis=1)
    segments = Segments(sizes, xp)

    def close(found, expected):
        found = keras.ops.convert_to_numpy(found)
        np.testing.assert_allclose(found, np.stack(expected, -1), rtol=1e-5)

    tensor = xp.convert_to_tensor(values)
    close(segments.sum(tensor), [p.sum(-1) for p in parts])
    close(segments.max(tensor), [p.max(-1, initial=-np.inf) for p in parts])
    close(segments.min(tensor), [p.min(-1, initial=np.inf) for p in parts])
    close(
        segments.mean(tensor), [p.sum(-1) / max(1, p.shape[1]) for p in parts]
    )
    spread = keras.ops.convert_to_numpy(segments.spread(segments.max(tensor)))
    for part, wide in zip(
        parts, np.split(spread, np.cumsum(sizes)[:-1], axis=1), strict=True
    ):
        if part.size:
            np.testing.assert_array_equal(
                wide, np.broadcast_to(part.max(-1, keepdims=True), part.shape)
            )


@pytest.mark.skipif(
    keras.backend.backend() != "torch" or not MEMORY.exists(),
    reason="piece by piece on torch; needs the kernel's marks of memory",
)
def test_changes_of_large_weights_take_the_memory_of_a_piece():
    count = 1 << 24  # 64 MiB each
    before, after = (keras.ops.full((count,), v) for v in (1.0, 1.5))

    def mebibytes(key):
        lines = MEMORY.with_name("status").read_text().splitlines()
        return int(next(s for s in lines if key in s).split()[1]) / 1024

    MEMORY.write_text("5")  # sets back the mark of the peak
    first = mebibytes("VmRSS")
    norms = _backend.current().change_norms([before], [after])
    peak = mebibytes("VmHWM")
    expected = np.sqrt(count) * np.array([1.0, 0.5])
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(norms), expected, rtol=1e-6
    )
    assert peak - first < 16
