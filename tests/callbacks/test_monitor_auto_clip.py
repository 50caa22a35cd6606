"""What `GradientMonitor` sees of an `AutoClip`, and that it changes nothing."""

import keras
import numpy as np
import pytest

import keras_gradguard as kgg

BACKEND = keras.backend.backend()
MODES = {
    "jax": ["jit", "eager"],
    "torch": ["eager"],
    "tensorflow": ["jit", "graph", "eager"],
}[BACKEND]
BAD = (3, 4)  # batches with a NaN


def make(optimizer, mode="eager"):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="tanh"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(
        optimizer,
        loss="mse",
        jit_compile=mode == "jit",
        run_eagerly=mode == "eager" and BACKEND != "torch",
    )
    return model


def fit(model, bad=BAD, monitor=None, epochs=1):
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = x[:, :1] * 2
    for batch in bad:
        x[8 * batch] = np.nan
    model.fit(
        x,
        y,
        batch_size=8,
        shuffle=False,
        verbose=0,
        epochs=epochs,
        callbacks=[] if monitor is None else [monitor],
    )
    optimizer = model.optimizer
    return [
        keras.ops.convert_to_numpy(v)
        for v in [*model.variables, *optimizer.variables]
    ]


def watch(make_optimizer, mode, **kwargs):
    """Trace of a watched fit, once it is seen to equal an unwatched one."""
    plain = fit(make(make_optimizer(), mode), **kwargs)
    monitor = kgg.GradientMonitor(verbose=0, on_finding="ignore")
    model = make(make_optimizer(), mode)
    watched = fit(model, monitor=monitor, **kwargs)
    for a, b in zip(plain, watched, strict=True):
        np.testing.assert_array_equal(a, b)
    return monitor.trace, model.optimizer


# Compiled as a graph, or by XLA on JAX: each case. The other ways: thresholds,
# and XLA on TensorFlow also the norms of units.
COMPILED = {"jax": "jit", "torch": "eager", "tensorflow": "graph"}[BACKEND]


@pytest.mark.optimized
@pytest.mark.parametrize(
    ("mode", "percentile"), [*((mode, 50) for mode in MODES), (COMPILED, 100)]
)
def test_thresholds_norms_and_skips(mode, percentile):
    def optimizer():
        return kgg.AutoClip(keras.optimizers.Adam(1e-2), percentile=percentile)

    trace, optimizer = watch(optimizer, mode)
    assert optimizer.skipped_steps == len(BAD)
    skipped = np.isin(np.arange(8), BAD)
    np.testing.assert_array_equal(trace.skipped, skipped)
    # The optimizer's step stands still while updates are skipped.
    np.testing.assert_array_equal(trace.steps, [0, 1, 2, 3, 3, 3, 4, 5])
    norms = trace.global_grad_norm
    np.testing.assert_array_equal(np.isfinite(norms), ~skipped)
    applied = norms[~skipped]
    expected = [
        np.percentile(applied[: i + 1], percentile) for i in range(len(applied))
    ]
    threshold = trace.extra["clip_threshold"]
    np.testing.assert_allclose(threshold[~skipped], expected, rtol=1e-5)
    assert np.isnan(threshold[skipped]).all()
    np.testing.assert_allclose(
        trace.clipped_grad_norm[~skipped],
        np.minimum(applied, expected),
        rtol=1e-5,
    )
    assert threshold[-1] == pytest.approx(optimizer.threshold)


@pytest.mark.optimized
@pytest.mark.parametrize(
    ("mode", "clipper"),
    [
        (MODES[0], "unitwise"),
        *((COMPILED, clipper) for clipper in ("value", "norm", "zscore")),
    ],
)
def test_norms_after_every_clipper(mode, clipper):
    trace, optimizer = watch(
        lambda: kgg.AutoClip(keras.optimizers.SGD(1e-2), clipper), mode, bad=()
    )
    before, after = trace.global_grad_norm, trace.clipped_grad_norm
    assert (after <= before * (1 + 1e-6)).all()
    if clipper != "zscore":  # whose warm-up is longer
        assert optimizer.clipped_fraction > 0
        assert (after < before).any()


@pytest.mark.optimized
def test_accumulation_is_one_record_per_update():
    def optimizer():
        inner = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
        return kgg.AutoClip(inner, percentile=50)

    trace, optimizer = watch(optimizer, COMPILED, bad=())
    np.testing.assert_array_equal(trace.steps, np.arange(4))
    assert trace.global_grad_norm[-1] == pytest.approx(
        optimizer.last_norm, rel=1e-5
    )
    assert trace.extra["clip_threshold"][-1] == pytest.approx(
        optimizer.threshold, rel=1e-5
    )


def test_an_auto_clip_still_clips_after_a_watched_fit():
    optimizer = kgg.AutoClip(keras.optimizers.SGD(0.1), "norm", threshold=0.1)
    model = make(optimizer, MODES[0])
    fit(model, bad=(), monitor=kgg.GradientMonitor(verbose=0))
    before = optimizer.clipped_fraction
    fit(model, bad=())
    assert int(optimizer.iterations) == 16
    assert 0 < optimizer.clipped_fraction <= before


def test_a_row_of_skips_is_found_while_it_goes_on():
    monitor = kgg.GradientMonitor(verbose=0, on_finding="stop")
    model = make(kgg.AutoClip("sgd", warn_after=10**6), MODES[0])
    fit(model, bad=range(8), monitor=monitor, epochs=20)
    (finding,) = [f for f in monitor.findings if f.rule == "nonfinite_gradient"]
    assert finding.evidence["skipped"]
    assert model.stop_training
