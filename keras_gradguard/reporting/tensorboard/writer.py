"""Scalars, histograms and verdicts for TensorBoard's own dashboards."""

import time
from pathlib import Path

import numpy as np

from keras_gradguard._files import naming_log_dir
from keras_gradguard._optional import tensorboard
from keras_gradguard.reporting.markdown import findings_table
from keras_gradguard.reporting.reporter import SHARE_OF_TIME
from keras_gradguard.reporting.reporter import Reporter
from keras_gradguard.reporting.tensorboard import (
    histograms as _gradient_histograms,
)
from keras_gradguard.reporting.tensorboard.dead_share import dead_share
from keras_gradguard.reporting.tensorboard.encoding import ScalarTemplate
from keras_gradguard.reporting.tensorboard.event_file import EventFile
from keras_gradguard.reporting.tensorboard.global_series import GLOBAL
from keras_gradguard.reporting.tensorboard.global_series import RANGE
from keras_gradguard.reporting.tensorboard.global_series import global_series
from keras_gradguard.reporting.tensorboard.hparams import Session
from keras_gradguard.reporting.tensorboard.points import Points
from keras_gradguard.reporting.tensorboard.points import means
from keras_gradguard.reporting.tensorboard.tab import TabSeries
from keras_gradguard.trace.series import SHOWN_MEASURED
from keras_gradguard.trace.series import SHOWN_STEPS

# At first a point per 20 steps, later one per hundredth of the run so far:
# some 300 points in 10,000 steps, 600 in 200,000.
_FIRST_INTERVAL = 20
_SHARE = 100
_MOST_POINTS = 5
_BUCKETS = 30
_MODULES = (
    "util.tensor_util",
    "plugins.custom_scalar.layout_pb2",
    "plugins.custom_scalar.metadata",
    "plugins.histogram.metadata",
    "plugins.hparams.metadata",
    "plugins.hparams.plugin_data_pb2",
    "plugins.text.metadata",
)


class EventWriter(Reporter):
    """Writes a run as TensorBoard events, without TensorFlow.

    Scalars `grad_norm/<layer path>`, `update_ratio/<layer path>`,
    `weight_norm/<layer path>` and `dead_share/<layer path>`; the global norms
    and the smallest and largest of the layers; the distribution of the norms
    over the layers; where they were asked for, histograms of the gradients,
    `gradients/<layer path>` and `gradients_log10/<layer path>`; findings as
    text; a Custom Scalars layout that puts these
    on few charts; what the run was trained with for the HParams dashboard; and
    the data of the GradGuard tab. A point is the mean over the steps since the
    point before, and points get sparser as the run gets longer.

    Each writer starts a file of its own, and steps go on where the optimizer
    is, so that a resumed run keeps its earlier points. Files are written by a
    thread; a run that is killed leaves what was written so far readable.

    Args:
        log_dir: Str or path. Created if absent.

    Attributes:
        path: Path of the event file.

    Raises:
        ImportError: If TensorBoard is not installed.
        OSError: If the file cannot be written.
    """

    work = "writing TensorBoard's events"

    def __init__(self, log_dir):
        folder = Path(log_dir)
        with naming_log_dir("GradientMonitor", log_dir):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = EventFile(folder, first=_import_modules)
            try:
                self._tab = TabSeries(self._file)
                self._session = Session(self._file)
            except OSError:
                # The thread may have failed by now; it hands its error on.
                self._file.abandon()
                raise
        self.path = self._file.path
        self._points = Points(_FIRST_INTERVAL, _SHARE)
        self._templates = {}
        self._update_done = self._dead_done = -1
        self._not_before = 0.0
        self._layout_written = False
        self._told = []
        self._history = []

    def on_judged(self, findings, history, trace):
        """Write what became of the findings, if anything has."""
        before = self._states()
        self._told, self._history = list(findings), list(history)
        if self._states() != before and len(trace.steps):
            self._write_findings(int(trace.steps[-1]), self._told, trace)

    def on_findings(self, findings, trace):
        """Write all findings so far, as a table and for the tab."""
        known = {finding.key for finding in self._told}
        fresh = [f for f in findings if f.key not in known]
        if fresh:
            self._told.extend(fresh)
            step = trace.steps[-1] if len(trace.steps) else 0
            self._write_findings(int(step), self._told, trace)

    def on_records(self, trace, first_step):
        """Write a point, if one is due."""
        begin = time.perf_counter()
        if len(trace.steps) and begin >= self._not_before:
            self._write_points(trace, force=False)
            end = time.perf_counter()
            self._not_before = end + (end - begin) / SHARE_OF_TIME
        self._tab.write(trace)

    def on_histogram(self, histogram, trace):
        """Write histograms of the gradients, all layers as one event."""
        self._file.write_tensors(
            time.time(),
            histogram.step,
            lambda: _gradient_histograms.tensors(histogram, trace),
        )

    def on_epoch(self, trace, epoch):
        """Write to the tab if it is time to: epochs may last milliseconds."""
        self._tab.write(trace)

    def close(self, trace, findings):
        """Write what is left and close the file; a second call does nothing."""
        if self._file.closed:
            return
        try:
            if trace is not None and len(trace.steps):
                self._write_points(trace, force=True)
                self._tab.write(trace, force=True)
                # Also without any: then the run is known to be healthy.
                self._write_findings(int(trace.steps[-1]), findings, trace)
            self._session.end()
        finally:
            self._file.close()

    def abandon(self):
        """Close the file as it is: no descriptor and no thread stays."""
        self._file.abandon()

    def flush(self):
        """Wait until everything written so far is in the file."""
        self._file.flush()

    def _write_points(self, trace, force):
        if not self._layout_written:
            self._layout_written = True
            self._write_layout(trace)
            self._session.start(trace)
        # Those that waited for their time are merged.
        ends, rows = self._points.cuts(
            trace.steps, force=force, most=_MOST_POINTS
        )
        # A point may be empty: its records were thinned out, or not every
        # step is recorded.
        rows = np.unique(rows)
        if len(rows) < 2:
            return
        now = time.time()
        low, high = rows[0], rows[-1]
        norms = trace.layer_norms(low, high).astype(np.float64)
        series = global_series(trace, low, high, norms)
        layers = means(norms, rows)
        names = np.array(trace.run.names(trace.layers))
        others = {
            s.name: means(
                trace.layer_norms(low, high, s.name).astype(np.float64), rows
            )
            for s in SHOWN_STEPS
            if s.name != "grad_norm"
        }
        shared = [means(values, rows) for values in series.values()]
        for at, row in enumerate(rows[1:]):
            step = trace.steps[row - 1]
            self._scalars(now, step, "grad_norm", names, layers[at])
            for name, of_layers in others.items():
                self._scalars(now, step, name, names, of_layers[at])
            self._emit(now, step, list(series), [mean[at] for mean in shared])
        self._write_histogram(now, int(trace.steps[high - 1]), layers[-1])
        self._write_updates(now, trace, ends)
        self._write_dead_share(now, trace, ends)

    def _write_updates(self, now, trace, ends):
        """Write the last measurement before each point."""
        since = self._update_done
        measured = {
            series.name: trace.measured(series.name, since=since)
            for series in SHOWN_MEASURED
        }
        steps = measured["update_ratio"][0]
        at = np.searchsorted(steps, ends) - 1
        names = np.array(trace.run.names(trace.layers))
        for row in np.unique(at[at >= 0]):
            step = steps[row]
            for name, (_, values) in measured.items():
                self._scalars(now, step, name, names, values[row])
            self._update_done = int(step)

    def _write_dead_share(self, now, trace, ends):
        """Write the last measurement before each point, layer by layer."""
        sites, steps, values = dead_share(trace, self._dead_done)
        at = np.searchsorted(steps, ends) - 1
        for row in np.unique(at[at >= 0]):
            self._scalars(
                now, steps[row], "dead_share", np.array(sites), values[row]
            )
            self._dead_done = int(steps[row])

    def _scalars(self, now, step, group, layers, values):
        """Write one scalar per layer, of those that have any."""
        known = ~np.isnan(values)
        if not known.any():
            # A layer without a gradient has no chart, but NaN in all layers
            # is what a user must see.
            if group != "grad_norm":
                return
            known[:] = True
        tags = [f"{group}/{layer}" for layer in layers[known]]
        self._emit(now, step, tags, values[known])

    def _emit(self, now, step, tags, values):
        key = tuple(tags)
        if key not in self._templates:
            if len(self._templates) >= 16:
                self._templates.clear()
            self._templates[key] = ScalarTemplate(tags)
        with np.errstate(over="ignore"):
            values = np.asarray(values, np.float32)
        template = self._templates[key]
        self._file.write(lambda: template.encode(now, step, values))

    def _write_histogram(self, now, step, means):
        """Write how the layers' norms are spread, by their log10."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log10(means[np.isfinite(means) & (means > 0)])
        if not len(logs):
            return
        counts, edges = np.histogram(logs, _BUCKETS)
        rows = np.stack([edges[:-1], edges[1:], counts], axis=1)
        metadata = tensorboard("plugins.histogram.metadata")
        self._file.write_tensor(
            now,
            step,
            "grad_norm_log10_over_layers",
            rows,
            metadata.create_summary_metadata(
                display_name=None, description="log10 of the layers' norms"
            ),
        )

    def _states(self):
        """What of the findings is worth another event."""
        return [
            (f.key, f.status, f.cause) for f in [*self._told, *self._history]
        ]

    def _write_findings(self, step, findings, trace):
        self._tab.write_findings(findings, step, trace, self._history)
        if not findings:
            return
        metadata = tensorboard("plugins.text.metadata")
        table = "\n".join(findings_table(findings, trace)).encode()
        self._file.write_tensor(
            time.time(),
            step,
            "findings",
            np.array([table], dtype=object),
            metadata.create_summary_metadata(
                display_name=None, description="What GradGuard found"
            ),
        )

    def _write_layout(self, trace):
        """Arrange the Custom Scalars dashboard."""
        layout = tensorboard("plugins.custom_scalar.layout_pb2")
        metadata = tensorboard("plugins.custom_scalar.metadata")
        charts = [
            ("Global gradient norm, before and after clipping", GLOBAL),
            ("Smallest and largest layer", RANGE),
            *(
                (f"{series.title} per layer", (f"{series.name}/",))
                for series in (*SHOWN_STEPS, *SHOWN_MEASURED)
            ),
        ]
        if dead_share(trace, -1)[0]:
            charts.append(("Share of dead units per layer", ("dead_share/",)))
        category = layout.Category(
            title="GradGuard",
            chart=[
                layout.Chart(
                    title=title,
                    multiline=layout.MultilineChartContent(
                        tag=[
                            tag if tag.endswith("/") else f"{tag}$"
                            for tag in tags
                        ]
                    ),
                )
                for title, tags in charts
            ],
        )
        data = layout.Layout(category=[category]).SerializeToString()
        self._file.write_tensor(
            time.time(),
            0,
            metadata.CONFIG_SUMMARY_TAG,
            np.array(data, dtype=object),
            metadata.create_summary_metadata(),
        )


def _import_modules():
    """Import what the first events need; write nothing."""
    for module in _MODULES:
        tensorboard(module)
    return b""
