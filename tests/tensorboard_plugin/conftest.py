"""Runs in event files, a plugin that reads them, and a real TensorBoard."""

import atexit
import contextlib
import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing import data_provider
from tensorboard.backend.event_processing import plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from werkzeug import test
from werkzeug import wrappers

from keras_gradguard import Trace
from keras_gradguard import diagnose
from keras_gradguard.reporting.tensorboard.chunks import PLUGIN_NAME
from keras_gradguard.reporting.tensorboard.chunks import SAMPLES
from keras_gradguard.reporting.tensorboard.points import Points
from keras_gradguard.reporting.tensorboard.writer import EventWriter
from keras_gradguard.tensorboard_plugin import loader
from keras_gradguard.tensorboard_plugin.plugin import GradGuardPlugin
from tests.diagnosis.synthetic import steady
from tests.tensorboard_plugin import board

ROOT = pathlib.Path(__file__).parents[2]


def make_trace(layers, steps, grads, **series):
    """Trace of dense layers with one kernel each; NaN is a frozen layer."""
    grads = np.asarray(grads, np.float32)
    trace = Trace(
        layers,
        [f"{layer}/kernel" for layer in layers],
        range(len(layers)),
        has_gradient=~np.isnan(grads).all(axis=0),
        meta={"model": "net", "optimizer": {"class": "Adam"}},
    )
    trace.append(steps, grads, **series)
    measured = steps[::64]
    shape = (len(measured), len(layers))
    trace.append_updates(measured, np.full(shape, 2.0), np.full(shape, 2e-3))
    return trace


def write(folder, trace, findings=None):
    """Write a run as `GradientMonitor(log_dir=folder)` does."""
    writer = EventWriter(folder)
    writer.on_records(trace, 0)
    if findings is None:
        findings = diagnose(trace).findings
    if findings:
        writer.on_findings(findings, trace)
    writer.close(trace, findings)
    return writer.path


def write_live(folder, grads, each, thin=True):
    """Write a run as it grows, in an event per `each` records.

    `thin=False` keeps every record, however many there are.
    """
    layers = [f"net/block_{i}/dense" for i in range(grads.shape[1])]
    trace = make_trace(layers, np.arange(0), grads[:0])
    trace.set_has_gradient([True] * len(layers))
    writer = EventWriter(folder)
    if not thin:
        writer._tab._points = Points(1, 10**9)
    for start in range(0, len(grads), each):
        steps = np.arange(start, start + each)
        trace.append(steps, grads[start : start + each])
        writer._tab._due = 0.0  # as if each block took long
        writer.on_records(trace, start)
    writer.close(trace, [])
    return writer.path


@pytest.fixture
def logdir(tmp_path):
    """Runs: sick (vanishing), exploded (NaN from step 120 on), clipped."""
    layers = [f"net/h{i}" for i in range(7)]
    profile = [0.02, 0.008, 0.003, 0.001, 0.001, 0.009, 0.07]
    steps = np.arange(200)
    loss = {"loss": np.full(200, 0.693)}
    write(
        tmp_path / "sick",
        make_trace(layers, steps, steady(profile), extra=loss),
    )
    grads = steady(np.ones(7))
    grads[120:] = np.nan
    grads[120, 2] = np.inf
    grads[:, 5] = np.nan
    write(tmp_path / "exploded", make_trace(layers, steps, grads))
    grads = steady(np.ones(7))
    norm = np.sqrt((grads**2).sum(axis=1))
    trace = make_trace(
        layers,
        steps,
        grads,
        clipped_grad_norm=np.minimum(norm, 2.5),
        skipped=steps == 50,
        extra={"clip_threshold": np.full(200, 2.5)},
    )
    for epoch in range(4):
        logs = {"loss": 0.5 / (epoch + 1), "val_loss": 0.6}
        trace.append_epoch(epoch, 50 * epoch + 49, logs)
    write(tmp_path / "clipped", trace)
    return tmp_path


def provider_of(logdir):
    """What TensorBoard's Python loader has read of a directory."""
    multiplexer = plugin_event_multiplexer.EventMultiplexer(
        tensor_size_guidance={PLUGIN_NAME: SAMPLES}
    )
    multiplexer.AddRunsFromDirectory(str(logdir))
    multiplexer.Reload()
    return data_provider.MultiplexerDataProvider(multiplexer, str(logdir))


def plugin_of(logdir):
    context = base_plugin.TBContext(data_provider=provider_of(logdir))
    return loader.GradGuardLoader().load(context)


class Client:
    """Asks the routes of a plugin."""

    def __init__(self, logdir):
        plugin = plugin_of(logdir)
        assert isinstance(plugin, GradGuardPlugin)
        self.apps = plugin.get_plugin_apps()

    def get(self, route, path=None, method="GET", **query):
        client = test.Client(self.apps[route], wrappers.Response)
        return client.open(path or route, method=method, query_string=query)

    def json(self, route, **query):
        response = self.get(route, **query)
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "application/json"
        return response.get_json()


@pytest.fixture
def client(logdir):
    return Client(logdir)


@functools.cache
def _boards(for_whom=None):
    """The process that forks TensorBoards, or serves `for_whom` itself."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.tensorboard_plugin.board"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )

    def end():
        process.stdin.close()
        process.wait(timeout=20)

    atexit.register(end)
    return process


@contextlib.contextmanager
def serving(logdir, load_fast="false"):
    """A real TensorBoard in a process of its own; yields its address."""
    arguments = ["--logdir", str(logdir), "--port", "0"]
    arguments += ["--load_fast", load_fast, "--reload_interval", "1"]
    boards = _boards(None if board.HAS_FORK else str(logdir))
    boards.stdin.write(json.dumps(arguments) + "\n")
    boards.stdin.flush()
    number, url = json.loads(boards.stdout.readline() or "[0, null]")
    assert url, "TensorBoard did not start"
    try:
        yield url
    finally:
        os.kill(number, signal.SIGTERM)


def fetch(url):
    """Return what an address answers, as text."""
    with urllib.request.urlopen(url, timeout=20) as reply:
        return reply.read().decode()


def eventually(ask, seconds=60):
    """Call until the answer is true; return it, or the last one."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer or time.monotonic() > end:
            return answer
        time.sleep(0.25)
