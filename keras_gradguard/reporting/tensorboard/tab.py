"""Writes what the GradGuard tab of TensorBoard shows."""

import time

import numpy as np

from keras_gradguard._files import jsonable
from keras_gradguard._optional import tensorboard
from keras_gradguard.reporting.lives import counted
from keras_gradguard.reporting.lives import culprits
from keras_gradguard.reporting.reporter import SHARE_OF_TIME
from keras_gradguard.reporting.tensorboard import chunks as _chunks
from keras_gradguard.reporting.tensorboard.dead_share import dead_share
from keras_gradguard.reporting.tensorboard.global_series import GLOBAL
from keras_gradguard.reporting.tensorboard.global_series import global_series
from keras_gradguard.reporting.tensorboard.points import Points
from keras_gradguard.reporting.tensorboard.points import highs
from keras_gradguard.reporting.tensorboard.points import lows
from keras_gradguard.reporting.tensorboard.points import means
from keras_gradguard.trace.series import SHOWN_MEASURED
from keras_gradguard.trace.series import SHOWN_STEPS
from keras_gradguard.trace.through_time import TIMES

# Every record at first, later one per thousandth of the run so far: 3,300 in
# 10,000 steps (0.7 MB for 50 layers), 7,900 in a million.
_SHARE = 1000
# The same per variable, of which there are more: 1,400 in 10,000 steps.
_VARIABLE_SHARE = 250
# Seconds between chunks, and the share of the run that they grow to.
_INTERVAL = 1.0
_INTERVAL_SHARE = 1 / 500
# Series of which the extremes are kept, too.
_RANGED = (GLOBAL[0], "batch_loss")
_STEPS = tuple(series.name for series in SHOWN_STEPS)
_MEASURED = tuple(series.name for series in SHOWN_MEASURED)
_META = ("model", "optimizer", "backend", "learning_rate", "epochs_planned")


class TabSeries:
    """Puts records, epochs and findings into events of the tab's own.

    A run of several fits has several sessions; the reader puts them in order.

    Args:
        file: `EventFile`.
    """

    def __init__(self, file):
        self._file = file
        self._started = time.time()
        self._begin = time.perf_counter()
        self._points = Points(1, _SHARE)
        self._variable_points = Points(1, _VARIABLE_SHARE)
        self._due = 0.0
        self._parts = 0
        self._epochs_done = 0
        self._done = {}
        self._layers = None
        self._sites = []
        self._write(0, _chunks.STARTED_TAG, self._header())

    def write(self, trace, force=False):
        """Write a chunk of what is new, if it is time to.

        Args:
            trace: `keras_gradguard.Trace`.
            force: Bool. Write whatever the time.
        """
        begin = time.perf_counter()
        if not len(trace.steps) or (begin < self._due and not force):
            return
        busy = self._file.busy
        self._write_chunk(trace, force)
        end = time.perf_counter()
        # The thread's time is that of the chunk before.
        spent = end - begin + busy
        self._file.busy = 0.0
        self._due = end + max(
            _INTERVAL,
            _INTERVAL_SHARE * (end - self._begin),
            spent / SHARE_OF_TIME,
        )

    def write_findings(self, findings, step, trace, history=()):
        """Write all findings so far; the latest of these events counts.

        Args:
            findings: List of `Finding` that stand.
            step: Int. The step where the run is.
            trace: `Trace` of the run; it notes why a run without findings may
                not be called healthy, too.
            history: List of `Finding`. All, also those that are resolved or
                withdrawn. Defaults to none.
        """
        header = self._header()
        gone = [f for f in history if f.status in ("resolved", "withdrawn")]
        for key, some in (("findings", findings), ("gone", gone)):
            header[key] = [_as_shown(finding, trace) for finding in some]
        reasons = trace.meta.get("not_judged") or ()
        header["not_judged"] = [str(reason) for reason in reasons]
        self._write(step, _chunks.FINDINGS_TAG, header)

    def _write_chunk(self, trace, force):
        ends, rows = self._points.cuts(trace.steps, force=force)
        rows = np.unique(rows)
        arrays = {}
        if len(rows) > 1:
            arrays = self._records(trace, rows)
        arrays.update(self._variables(trace, force))
        if ends:
            for name in _MEASURED:
                since = self._done.get(name, -1)
                steps, values = trace.measured(name, since=since)
                arrays.update(self._measured(name, steps, values, ends))
            arrays.update(self._dead_share(trace, ends))
            arrays.update(self._through_time(trace, ends))
        if len(rows) > 1:
            self._write_layers(trace)
        epochs = self._epochs(trace)
        if not arrays and not epochs:
            return
        header = {**self._header(), "epochs": epochs}
        # A point stands for several steps; this is where the last one ends.
        first, last = (rows[0], rows[-1] - 1) if len(rows) > 1 else (-1, -1)
        header["last_step"] = int(trace.steps[last])
        step = trace.steps[first]
        self._write(step, _chunks.RECORDS_TAG, header, arrays)

    def _records(self, trace, rows):
        """Return the arrays of the records, thinned out to points."""
        low, high = rows[0], rows[-1]
        norms = trace.layer_norms(low, high).astype(np.float64)
        arrays = {"step": np.asarray(trace.steps[rows[:-1]], np.int64)}
        series = global_series(trace, low, high, norms)
        merged = (np.diff(rows) > 1).any()
        for name, values in series.items():
            arrays[f"shared/{name}"] = _float32(means(values, rows))
            if merged and name in _RANGED:
                arrays[f"shared/{name}_low"] = _float32(lows(values, rows))
                arrays[f"shared/{name}_high"] = _float32(highs(values, rows))
        for name in _STEPS:
            if name == "grad_norm":
                values = norms
            else:
                values = trace.layer_norms(low, high, name).astype(np.float64)
            arrays[f"{name}/step"] = arrays["step"]
            arrays[name] = _float32(means(values, rows))
            if merged:
                # One step in fifty is lost in a mean, but it may be the story.
                arrays[name + _chunks.HIGH] = _float32(highs(values, rows))
        return arrays

    def _variables(self, trace, force):
        """Return the norms per variable, where layers have several."""
        if len(trace.variables) == len(trace.layers):
            return {}
        _, rows = self._variable_points.cuts(trace.steps, force=force)
        rows = np.unique(rows)
        if len(rows) < 2:
            return {}
        low, high = rows[0], rows[-1]
        norms = trace.get("grad_norm", by="variable")[low:high]
        norms = np.asarray(norms, np.float64)
        steps = np.asarray(trace.steps[rows[:-1]], np.int64)
        return {
            "variable_norm/step": steps,
            "variable_norm": _float32(means(norms, rows)),
            f"variable_norm{_chunks.HIGH}": _float32(highs(norms, rows)),
        }

    def _dead_share(self, trace, ends):
        """Return the shares of dead units of the activations that can die."""
        since = self._done.get("dead_share", -1)
        self._sites, steps, values = dead_share(trace, since)
        return self._measured("dead_share", steps, values, ends)

    def _through_time(self, trace, ends):
        """Return the gradients through time, like `_measured`."""
        layers = trace.recurrent_layers.tolist()
        if not layers:
            return {}
        since = self._done.get(_chunks.TIME_NORMS, -1)
        steps, _, _ = trace.time_gradients(layers[0])
        at = np.searchsorted(steps, ends) - 1
        at = np.unique(at[at >= 0])
        at = at[steps[at] > since]
        if not len(at):
            return {}
        self._done[_chunks.TIME_NORMS] = int(steps[at[-1]])
        shape = (len(at), len(layers))
        lengths = np.zeros(shape, np.int64)
        norms = np.full((*shape, TIMES), np.nan, np.float32)
        for column, layer in enumerate(layers):
            _, times, values = trace.time_gradients(layer)
            lengths[:, column] = times[at].max(axis=1, initial=-1) + 1
            norms[:, column, : values.shape[1]] = values[at]
        return {
            _chunks.TIME_STEPS: np.asarray(steps[at], np.int64),
            _chunks.TIME_LENGTHS: lengths,
            _chunks.TIME_NORMS: norms,
        }

    def _measured(self, name, steps, values, ends):
        """Return the last measurement before each end of a point."""
        at = np.searchsorted(steps, ends) - 1
        at = np.unique(at[at >= 0])
        if not len(at):
            return {}
        self._done[name] = int(steps[at[-1]])
        at = at[~np.isnan(values[at]).all(axis=1)]
        if not len(at):
            return {}
        return {
            f"{name}/step": np.asarray(steps[at], np.int64),
            name: _float32(values[at]),
        }

    def _epochs(self, trace):
        """Return [number, last step, logs] of the epochs that are new."""
        # Read by number: the oldest epochs are thinned out in a long run.
        new = np.flatnonzero(trace.epochs >= self._epochs_done)
        if not len(new):
            return []
        self._epochs_done = int(trace.epochs[-1]) + 1
        logs = trace.logs
        return [
            jsonable(
                [
                    int(trace.epochs[at]),
                    int(trace.epoch_steps[at]),
                    _logged({name: logs[name][at] for name in logs}),
                ]
            )
            for at in new
        ]

    def _write_layers(self, trace):
        active = np.zeros(len(trace.layers), bool)
        active[trace.owners[trace.has_gradient]] = True
        recurrent = trace.recurrent_layers.tolist()
        if self._layers == (active.tolist(), self._sites, recurrent):
            return
        self._layers = (active.tolist(), self._sites, recurrent)
        header = self._header()
        header["sites"] = self._sites
        header["recurrent"] = recurrent
        run = trace.run
        header["layers"] = run.names(trace.layers)
        header["active"] = active.tolist()
        header["variables"] = _variables(trace, header["layers"])
        header["variables_active"] = trace.has_gradient.tolist()
        header["classes"] = [
            run.info(layer).get("class") or "" for layer in trace.layers
        ]
        meta = {key: trace.meta.get(key) for key in _META}
        if isinstance(meta["optimizer"], dict):
            meta["optimizer"] = meta["optimizer"].get("class")
        header["meta"] = jsonable(meta)
        self._write(trace.steps[0], _chunks.LAYERS_TAG, header)

    def _header(self):
        self._parts += 1
        return {"session": self._started, "part": self._parts}

    def _write(self, step, tag, header, arrays=None):
        summary_pb2 = tensorboard("compat.proto.summary_pb2")
        plugin_data = summary_pb2.SummaryMetadata.PluginData(
            plugin_name=_chunks.PLUGIN_NAME
        )
        # Without the class, data providers do not list a tensor.
        metadata = summary_pb2.SummaryMetadata(
            plugin_data=plugin_data, data_class=summary_pb2.DATA_CLASS_TENSOR
        )
        self._file.write_tensor(
            time.time(), step, tag, _chunks.pack(header, arrays), metadata
        )


def _as_shown(finding, trace):
    """Return a finding as JSON; its card lists the layers, its text none."""
    layers = culprits(finding, trace)
    message = counted(finding.message, layers)
    return {**finding.to_dict(), "layers": layers, "message": message}


def _variables(trace, names):
    """Return the paths of variables, below the names of their layers."""
    shown = []
    for path, owner in zip(trace.variables.tolist(), trace.owners, strict=True):
        if names[owner] != str(trace.layers[owner]):
            path = f"{names[owner]}/{path.rpartition('/')[2]}"
        shown.append(path)
    return shown


def _logged(logs):
    """Return logs as JSON holds them: a loss is known in every epoch."""
    known: dict = {n: float(v) for n, v in logs.items() if not np.isnan(v)}
    if "loss" in logs and "loss" not in known:
        known["loss"] = "NaN"
    return known


def _float32(values):
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float32)
