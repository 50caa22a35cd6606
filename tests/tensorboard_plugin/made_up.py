"""Runs of large models, made up: what their traces look like, not trained."""

import numpy as np

from keras_gradguard import Trace
from keras_gradguard import diagnose
from keras_gradguard.reporting.tensorboard.writer import EventWriter
from keras_gradguard.trace.through_time import TIMES
from keras_gradguard.trace.through_time import times_of

_EACH = 250


def resnet_layers(blocks=10):
    """Names and classes as a ResNet of three stages has them in Keras."""
    layers = [("stem", "Conv2D")]
    for stage in (1, 2, 3):
        for block in range(1, blocks + 1):
            for part in (1, 2):
                path = f"stage{stage}_block{block}"
                layers.append((f"{path}_conv{part}", "Conv2D"))
                layers.append((f"{path}_bn{part}", "BatchNormalization"))
    return [*layers, ("classifier", "Dense")]


def deep_layers(count=200):
    """Names as long as those of real backbones, with folders."""
    names = []
    stage_of = (10, 20, 50, 20)
    for stage, blocks in enumerate(stage_of, 1):
        for block in range(1, blocks + 1):
            for part in (1, 2):
                names.append(
                    f"backbone/stage_{stage}/residual_block_{block:02}/"
                    f"separable_convolution_{part}"
                )
    return [(name, "SeparableConv2D") for name in names[:count]]


def trace_of(
    layers, grads, loss, per_epoch, model, two_variables=False, folder=None
):
    """A trace with an epoch after every `per_epoch` steps.

    With a `folder`, what is written there while it grows is returned, too:
    later a long trace has forgotten most of its steps.
    """
    names = [name for name, _ in layers]
    variables, owners = [], []
    for at, (name, kind) in enumerate(layers):
        normal = kind == "BatchNormalization"
        pair = ("gamma", "beta") if normal else ("kernel", "bias")
        for part in pair[: 2 if two_variables else 1]:
            variables.append(f"{name}/{part}")
            owners.append(at)
    trace = Trace(
        names,
        variables,
        owners,
        meta={
            "model": model,
            "optimizer": {"class": "Adam"},
            "backend": "jax",
            "layer_info": {name: {"class": kind} for name, kind in layers},
        },
    )
    grads = np.asarray(grads, np.float32)[:, owners]
    if two_variables:
        # The second of a layer has a tenth of its square.
        share = np.where(np.arange(len(owners)) % 2, 0.1, 0.9)
        grads = grads * np.sqrt(share).astype(np.float32)
    steps = np.arange(len(grads))
    loss = np.asarray(loss, np.float32)
    writer = EventWriter(folder) if folder else None
    for start in range(0, len(grads), _EACH):
        part = slice(start, start + _EACH)
        trace.append(steps[part], grads[part], extra={"loss": loss[part]})
        if writer is not None:
            writer._tab._due = 0.0  # as if each block took long
            writer.on_records(trace, start)
    measured = steps[::64]
    shape = (len(measured), len(variables))
    trace.append_updates(measured, np.full(shape, 2.0), np.full(shape, 2e-3))
    for epoch, end in enumerate(range(per_epoch, len(grads) + 1, per_epoch)):
        mean = float(np.mean(loss[end - per_epoch : end]))
        trace.append_epoch(
            epoch, end - 1, {"loss": mean, "val_loss": 1.1 * mean}
        )
    return trace if writer is None else (trace, writer)


def write(folder, trace, findings=None):
    """Write a run as a monitor does."""
    writer = EventWriter(folder)
    writer.on_records(trace, 0)
    judge(writer, trace, findings)


def judge(writer, trace, findings=None):
    """Write findings, those of the rules unless others are given."""
    if findings is None:
        report = diagnose(trace)
        findings = report.findings
        trace.meta["not_judged"] = report.not_judged
        writer.on_judged(findings, report.history, trace)
    writer.close(trace, findings)


def noise(shape, size=0.2, seed=0):
    return 10.0 ** np.random.default_rng(seed).normal(0, size, shape)


def resnet(steps=480, blocks=10, seed=0):
    """Healthy; the normalizations' gradients are smaller throughout."""
    layers = resnet_layers(blocks)
    depth = np.linspace(0.3, 1.2, len(layers))
    small = np.array([0.15 if "bn" in name else 1.0 for name, _ in layers])
    fall = np.exp(-np.arange(steps) / (steps / 2))[:, None]
    grads = depth * small * (0.15 + fall) * noise((steps, len(layers)), 0.12)
    grads[int(0.62 * steps)] *= 25
    loss = 2.3 * np.exp(-np.arange(steps) / (steps / 4)) + 0.05
    loss = loss * noise(steps, 0.03, seed + 1)
    return trace_of(layers, grads, loss, steps // 8, "resnet", True)


def write_deep(folder, steps=10_000, count=200, sick=True, seed=0):
    """Write a long run of a backbone in which some blocks hardly learn."""
    layers = deep_layers(count)
    depth = 10.0 ** np.linspace(-2.2, -0.8, count)
    fall = np.exp(-np.arange(steps) / (steps / 3))[:, None]
    grads = depth * (0.05 + fall) * noise((steps, count), 0.15, seed)
    if sick:
        grads[:, 66:70] *= 1e-3 * (0.01 + fall)
        grads[:, 40:44] = 0.0
    grads[int(0.7213 * steps), 120:140] *= 300
    loss = 0.6 + 1.7 * np.exp(-np.arange(steps) / (steps / 2))
    loss = loss * noise(steps, 0.02, seed + 1)
    judge(
        *reversed(
            trace_of(
                layers, grads, loss, steps // 20, "backbone", folder=folder
            )
        )
    )


def sigmoid(steps=480, activation="sigmoid", seed=0, layers=10):
    """A small net whose gradients fade, or do not."""
    names = [(f"net/{activation}_{i}", "Dense") for i in range(1, layers)]
    names.append(("net/output", "Dense"))
    low = -6 if activation == "sigmoid" else -0.6
    depth = 10.0 ** np.linspace(low, -0.9, layers)
    fall = np.exp(-np.arange(steps) / (steps / 3))[:, None]
    if activation == "sigmoid":
        fall = np.ones_like(fall)
    grads = depth * (0.1 + fall) * noise((steps, layers), 0.12, seed)
    flat = activation == "sigmoid"
    drop = 0.005 if flat else 0.65
    loss = 0.693 - drop * (1 - np.exp(-np.arange(steps) / (steps / 4)))
    loss = loss * noise(steps, 0.004, seed + 1)
    return trace_of(names, grads, loss, steps // 12, "net")


def recurrent(steps=320):
    """Two recurrent layers over 200 and 24 time steps; the first forgets."""
    layers = [("net/reader", "SimpleRNN"), ("net/writer", "LSTM")]
    layers.append(("net/output", "Dense"))
    loss = 0.69 * noise(steps, 0.004)
    grads = np.array([0.3, 0.2, 0.5]) * noise((steps, 3), 0.1)
    trace = trace_of(layers, grads, loss, steps // 4, "reader")
    lengths, norms = [200, 24], np.full((2, TIMES), np.nan)
    for row, length, factor in zip(norms, lengths, (0.8, 0.97), strict=True):
        times = times_of(length)
        row[: len(times)] = 0.2 * factor ** (length - 1 - times)
    for step in (0, 64, 128, 192, 256):
        names = [name for name, _ in layers[:2]]
        trace.append_time_gradients(step, names, lengths, norms)
        norms = norms * 0.5
    return trace
