"""Made-up traces with a known sickness."""

import numpy as np

from keras_gradguard import Trace


def make_trace(
    grads,
    loss=None,
    *,
    ratio=None,
    skipped=None,
    epoch_loss=None,
    meta=None,
    chunk=64,
    **kwargs,
):
    """Build a trace of dense layers.

    Args:
        grads: (T, L) gradient norms, one kernel per layer.
        loss: (T,) loss of each batch.
        ratio: (T, L) update ratios, measured at each step.
        skipped: (T,) bool.
        epoch_loss: (E,) loss of epochs of equal length.
        meta: dict.
        chunk: records per append.
    """
    grads = np.asarray(grads, np.float32)
    total, count = grads.shape
    layers = [f"dense_{i}" for i in range(count)]
    kwargs.setdefault("has_gradient", np.ones(count, bool))
    trace = Trace(
        layers,
        [f"{layer}/kernel" for layer in layers],
        range(count),
        meta=meta or {},
        **kwargs,
    )
    for a in range(0, total, chunk):
        b = min(total, a + chunk)
        steps = np.arange(a, b)
        extra = None if loss is None else {"loss": np.asarray(loss)[a:b]}
        skip = None if skipped is None else np.asarray(skipped)[a:b]
        trace.append(steps, grads[a:b], skipped=skip, extra=extra)
        if ratio is not None:
            weights = np.ones((b - a, count))
            trace.append_updates(steps, weights, np.asarray(ratio)[a:b])
    if epoch_loss is not None:
        length = total // len(epoch_loss)
        for epoch, value in enumerate(epoch_loss):
            last = (epoch + 1) * length - 1
            trace.append_epoch(epoch, last, {"loss": value})
    return trace


def steady(profile, total=200, noise=0.3, seed=0):
    """Gradient norms around `profile`, with noise from step to step."""
    rng = np.random.default_rng(seed)
    profile = np.asarray(profile, float)
    shape = (total, len(profile))
    return profile * np.exp(noise * rng.normal(size=shape))
