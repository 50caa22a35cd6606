"""Takes a case to the end: all that a user can do with it."""

import contextlib
import io
import json
import os
import types
import warnings

import numpy as np

from keras_gradguard import Report
from keras_gradguard import Trace
from keras_gradguard import diagnose
from keras_gradguard.trace import SERIES
from tests.hostile import outcomes

# An error of one screen: longer ones repeat a value.
MOST = 1200


def outcome_of_trace(path, plots=False):
    """Load a trace file and use it for all that it is good for.

    Args:
        path: Path of the file.
        plots: Bool. Draw it, too, which takes a second.

    Returns:
        An outcome: refused, right, or a raw error.
    """
    try:
        trace = Trace.load(path)
    except ValueError as error:
        return _refusal(error, path)
    except BaseException as error:
        return outcomes.raw(error, "load:")
    where = "diagnose:"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = diagnose(trace)
            for name, use in uses(trace, report, path.parent, plots):
                where = name
                use()
    except BaseException as error:
        return outcomes.raw(error, where)
    return outcomes.RIGHT


def _refusal(error, path):
    text = str(error)
    clear = (
        text.startswith("Trace.load: ")
        and "Received" in text
        and str(path) in text
        and len(text) <= MOST
        and text.endswith(".")
    )
    return outcomes.REFUSED if clear else outcomes.raw(error, "unclear:")


def uses(trace, report, folder, plots=False):
    """Yield (name, function) of each use of a trace and its report."""
    yield "str:", lambda: (str(report), repr(report), repr(trace))
    yield "to_dict:", lambda: json.dumps(trace.to_dict(), allow_nan=False)
    for ending in ("html", "md", "json"):
        target = folder / f"report.{ending}"
        yield f"report.{ending}:", lambda t=target: report.save(t)
    yield "series:", lambda: _series(trace)
    yield "save:", lambda: _saved_again(trace, folder / "again.npz")
    yield "remember:", lambda: trace.remember(report.findings)
    yield "run directory:", lambda: _run_directory(trace, report, folder)
    yield "console:", lambda: _console(trace, report)
    yield "events:", lambda: _events(trace, report, folder)
    if plots:
        yield "plot:", lambda: _plot(trace, report)
    yield "append:", lambda: _append(trace)


def _series(trace):
    for name in SERIES:
        for by in ("layer", "variable"):
            assert len(trace.get(name, by)) == len(trace.steps)
    for step in (*trace.steps[:3], -1, 10**9):
        trace.epoch_of(step)
    for layer in trace.layers:
        assert isinstance(trace.class_of(layer), str)


def _saved_again(trace, path):
    trace.save(path)
    again = Trace.load(path)
    text = json.dumps(trace.to_dict(), sort_keys=True)
    assert json.dumps(again.to_dict(), sort_keys=True) == text
    assert diagnose(again).to_dict() == diagnose(trace).to_dict()


def _run_directory(trace, report, folder):
    from keras_gradguard.commands import load_report
    from keras_gradguard.reporting.run_directory import RunWriter

    writer = RunWriter(folder / "run")
    writer.on_findings(report.findings, trace)
    writer.on_epoch(trace, 0)
    writer.close(trace, report.findings)
    assert isinstance(load_report(folder / "run"), Report)


def _console(trace, report):
    from keras_gradguard.reporting.console import ConsoleReporter

    with contextlib.redirect_stdout(io.StringIO()) as out:
        console = ConsoleReporter()
        console.on_findings(report.findings, trace)
        console.close(trace, report.findings)
    assert out.getvalue()


def _events(trace, report, folder):
    from keras_gradguard.reporting.tensorboard.writer import EventWriter

    writer = EventWriter(folder / "events")
    try:
        writer.on_records(trace, 0)
        writer.on_findings(report.findings, trace)
    finally:
        writer.close(trace, report.findings)
    os.remove(writer.path)


def _plot(trace, report):
    import matplotlib.pyplot as plt

    from keras_gradguard.reporting import plots

    plt.close(plots.plot(trace, report.findings))


def _append(trace):
    step = int(trace.steps[-1]) + 1 if len(trace.steps) else 0
    if step >= 2**62:
        return
    rows = np.ones((700, len(trace.variables)), np.float32)
    trace.append(np.arange(step, step + 700), rows)
    diagnose(trace)


class Provider:
    """Gives the tab a stream where TensorBoard would give it a directory."""

    def __init__(self, stream):
        self._stream = stream

    def list_runs(self, ctx, *, experiment_id):
        return ["run"]

    def list_tensors(self, ctx, *, experiment_id, plugin_name):
        listed = types.SimpleNamespace(max_wall_time=1.0)
        return {"run": {tag: listed for tag, c in self._stream.items() if c}}

    def read_tensors(self, ctx, *, experiment_id, **arguments):
        return {
            "run": {
                tag: [
                    types.SimpleNamespace(numpy=_array(parts))
                    for parts in chunks
                ]
                for tag, chunks in self._stream.items()
            }
        }


def _array(parts):
    kind = object if any(isinstance(p, bytes) for p in parts) else None
    return np.array(parts, dtype=kind)


def outcome_of_stream(stream):
    """Ask all routes of the tab for a run with this stream.

    Returns:
        The outcome, and the answer of `/overview`, None if there is none.
    """
    from tensorboard.plugins import base_plugin

    from keras_gradguard.tensorboard_plugin.plugin import GradGuardPlugin

    context = base_plugin.TBContext(data_provider=Provider(stream))
    apps = GradGuardPlugin(context).get_plugin_apps()
    overview, route = None, "/overview"
    try:
        _ask(apps, "/runs")
        overview = _ask(apps, "/overview", run="run")
        if overview is None:
            return outcomes.REFUSED, None
        _check_overview(overview)
        for metric in overview["metrics"]:
            route = "/matrix"
            _ask(apps, "/matrix", run="run", metric=metric, columns=9)
        route = "/layer"
        for layer in overview["layers"]:
            _ask(apps, "/layer", run="run", layer=layer)
        for step in (0, 30, 2**53):
            route = "/profile"
            _ask(apps, "/profile", run="run", step=step)
    except BaseException as error:
        return outcomes.raw(error, route), overview
    return outcomes.RIGHT, overview


def _ask(apps, route, **query):
    from werkzeug import test
    from werkzeug import wrappers

    client = test.Client(apps[route], wrappers.Response)
    try:
        response = client.open(route, query_string=query)
    except Exception as error:
        if getattr(error, "http_code", None) == 404:
            return None
        raise
    assert response.status_code == 200, response.status_code
    return json.loads(response.text, parse_constant=_no_constant)


def _no_constant(name):
    raise AssertionError(f"{name} is no JSON")


def _check_overview(answer):
    """What the front end reads has the types that it counts on."""
    texts = [answer["layers"], answer["classes"]]
    assert all(isinstance(text, str) for part in texts for text in part)
    assert all(isinstance(flag, bool) for flag in answer["active"])
    for number, step, logs in answer["epochs"]:
        assert type(number) is type(step) is int
        assert all(_is_number(value) for value in logs.values())
    for finding in answer["findings"] or ():
        assert all(isinstance(layer, str) for layer in finding["layers"])
        for remedy in finding["remedies"]:
            assert isinstance(remedy["title"], str)
    steps = answer["steps"]
    assert steps == sorted(steps)
    assert all(0 <= step < 2**53 for step in steps)


def _is_number(value):
    return value in ("NaN", "Infinity", "-Infinity") or (
        isinstance(value, int | float) and not isinstance(value, bool)
    )
