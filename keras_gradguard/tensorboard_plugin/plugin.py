"""The plugin: its routes and nothing but its routes."""

import functools
import json
import mimetypes
from pathlib import Path
from typing import Any

from tensorboard import errors
from tensorboard import plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

from keras_gradguard.reporting.tensorboard.chunks import METRICS
from keras_gradguard.reporting.tensorboard.chunks import PLUGIN_NAME
from keras_gradguard.reporting.tensorboard.chunks import SAMPLES
from keras_gradguard.reporting.tensorboard.chunks import SHOWN
from keras_gradguard.tensorboard_plugin import views
from keras_gradguard.tensorboard_plugin.data import RunStore

_STATIC = Path(__file__).parent / "static"
_TYPES = {".js": "text/javascript", ".css": "text/css"}
# Made of what Python declares; no such file exists.
_METRICS_FILE = "metrics.js"
_MOST_POINTS = 4000

# Typed for functions, it takes methods as well.
_answers: Any = wrappers.Request.application


def _route(answer):
    """Make a WSGI application of a method that returns what JSON can hold."""

    @functools.wraps(answer)
    def application(self, environ, start_response):
        request = wrappers.Request(environ)
        response = _only_read(request) or http_util.Respond(
            request, answer(self, request), "application/json"
        )
        return response(environ, start_response)

    return application


def _only_read(request):
    """Return the refusal of a request that is not to read, else None."""
    if request.method in ("GET", "HEAD"):
        return None
    return http_util.Respond(
        request,
        "Only GET is answered.",
        "text/plain",
        code=405,
        headers=[("Allow", "GET, HEAD")],
    )


class GradGuardPlugin(base_plugin.TBPlugin):
    """Shows the gradients of runs that `GradientMonitor` wrote.

    It reads through TensorBoard's data provider alone and opens no file but
    its own front end.

    Args:
        context: `TBContext` of TensorBoard.
    """

    plugin_name = PLUGIN_NAME

    def __init__(self, context):
        hints = context.sampling_hints or {}
        most = hints.get(PLUGIN_NAME)
        self._store = RunStore(context.data_provider, most or SAMPLES)
        self._files = {
            path.name: path
            for path in _STATIC.iterdir()
            if path.suffix in _TYPES
        }

    def get_plugin_apps(self):
        """Return what answers to each route."""
        return {
            "/index.js": self._serve_index,
            "/static/*": self._serve_static,
            "/runs": self._serve_runs,
            "/summaries": self._serve_summaries,
            "/table": self._serve_table,
            **{f"/{name}": self._serve_view(name) for name in VIEWS},
        }

    def is_active(self):
        """Return False: TensorBoard itself looks for data of our name."""
        return False

    def data_plugin_names(self):
        """Return the names of the plugins whose data are shown."""
        return (PLUGIN_NAME,)

    def frontend_metadata(self):
        """Return where the front end starts."""
        return base_plugin.FrontendMetadata(
            es_module_path="/index.js",
            tab_name="GradGuard",
            # It looks for new data itself and keeps what is selected.
            disable_reload=True,
        )

    @_answers
    def _serve_index(self, request):
        return self._file(request, "index.js")

    @_answers
    def _serve_static(self, request):
        return self._file(request, request.path.rpartition("/static/")[2])

    def _file(self, request, name):
        refused = _only_read(request)
        if refused is not None:
            return refused
        if name == _METRICS_FILE:
            text = f"export const METRICS = {json.dumps(SHOWN)};\n"
            return http_util.Respond(request, text, _TYPES[".js"])
        # A name that is not in the table is never made into a path.
        path = self._files.get(name)
        if path is None:
            raise errors.NotFoundError("No such file")
        kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
        return http_util.Respond(request, path.read_bytes(), kind)

    @_route
    def _serve_runs(self, request):
        ctx, experiment = _where(request)
        versions, begun = self._store.listed(ctx, experiment)
        return {
            "runs": [
                {"run": run, "version": version}
                for run, version in sorted(versions.items())
            ],
            "begun": begun,
            "all": self._store.count_all(ctx, experiment),
        }

    @_route
    def _serve_summaries(self, request):
        return {"runs": self._store.summaries(*_where(request))}

    def _serve_view(self, name):
        def answer(self, request):
            run, version = self._run(request)
            return {**VIEWS[name](run, request), "version": version}

        return functools.partial(_route(answer), self)

    @_answers
    def _serve_table(self, request):
        refused = _only_read(request)
        if refused is not None:
            return refused
        run, _ = self._run(request)
        lines = views.table(run, _metric(request, run), *_window(request))
        return http_util.Respond(request, "".join(lines), "text/csv")

    def _run(self, request):
        """Return the run that is asked for, and its version."""
        ctx, experiment = _where(request)
        found = self._store.read(ctx, experiment, request.args.get("run", ""))
        if found is None:
            raise errors.NotFoundError("No such run with GradGuard data")
        return found


def _overview(run, request):
    points = _integer(request, "points", 2, _MOST_POINTS, 800)
    return views.overview(run, points, *_window(request))


def _matrix(run, request):
    metric = _metric(request, run)
    columns = _integer(request, "columns", 2, _MOST_POINTS, 800)
    cells = request.args.get("cells", "mean")
    if cells not in ("mean", "max"):
        raise errors.InvalidArgumentError("`cells` must be mean or max")
    first, last = _window(request)
    shown = views.matrix(run, metric, columns, first, last, cells)
    return {"metric": metric, "cells": cells, **shown}


def _layer(run, request):
    points = _integer(request, "points", 2, _MOST_POINTS, 400)
    name = request.args.get("layer", "")
    answer = views.layer(run, name, points, *_window(request))
    if answer is None:
        raise errors.NotFoundError("No such layer in this run")
    return answer


def _profile(run, request):
    return views.profile(run, _integer(request, "step", 0, 2**62))


def _times(run, request):
    return views.times(run, _integer(request, "step", 0, 2**62))


# What is shown of a run: a function of `RunData` and the request each.
VIEWS = {
    "overview": _overview,
    "matrix": _matrix,
    "layer": _layer,
    "profile": _profile,
    "times": _times,
}


def _where(request):
    environ = request.environ
    return plugin_util.context(environ), plugin_util.experiment_id(environ)


def _metric(request, run):
    metric = request.args.get("metric", METRICS[0])
    if metric not in run.metrics:
        raise errors.NotFoundError("No such metric in this run")
    return metric


def _window(request):
    """Return the first and the last step asked for, None where none was."""
    return [
        _integer(request, name, 0, 2**62) if name in request.args else None
        for name in ("first", "last")
    ]


def _integer(request, name, low, high, default=None):
    """Return an argument, moved into its range."""
    text = request.args.get(name)
    if text is None and default is not None:
        return default
    try:
        value = int(text)
    except (TypeError, ValueError):
        raise errors.InvalidArgumentError(
            f"`{name}` must be an integer"
        ) from None
    if default is None and not low <= value <= high:
        raise errors.NotFoundError(f"`{name}` must be from {low} to {high}")
    return min(max(value, low), high)
