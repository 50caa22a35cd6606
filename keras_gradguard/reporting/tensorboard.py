"""Scalars, histograms and verdicts for TensorBoard's own dashboards."""

import itertools
import os
import queue
import re
import socket
import threading
import time
from pathlib import Path

import numpy as np

from keras_gradguard._optional import require
from keras_gradguard.reporting._events import ScalarTemplate
from keras_gradguard.reporting._events import frame
from keras_gradguard.reporting.markdown import findings_table

_OWNER = "GradientMonitor"
_GLOBAL = ("global_grad_norm", "clipped_grad_norm")
_RANGE = ("grad_norm_min", "grad_norm_max")
# At first a point per 20 steps, later one per hundredth of the run so far:
# some 300 points in 10,000 steps, 600 in 200,000.
_FIRST_INTERVAL = 20
_SHARE = 100
# Points may take this share of the time: with steps of a tenth of a
# millisecond they get sparser.
_SHARE_OF_TIME = 0.005
_MOST_POINTS = 5
_BUCKETS = 30
_MODULES = (
    "tensorboard.compat.proto.event_pb2",
    "tensorboard.compat.proto.summary_pb2",
    "tensorboard.plugins.custom_scalar.layout_pb2",
    "tensorboard.plugins.custom_scalar.metadata",
    "tensorboard.plugins.histogram.metadata",
    "tensorboard.plugins.text.metadata",
    "tensorboard.util.tensor_util",
)
_counter = itertools.count()


class EventWriter:
    """Writes a run as TensorBoard events, without TensorFlow.

    Scalars `grad_norm/<layer path>`, `update_ratio/<layer path>` and
    `weight_norm/<layer path>`; the global norms and the smallest and largest
    of the layers; the distribution of the norms over the layers; findings as
    text; and a Custom Scalars layout that puts these on few charts. A point
    is the mean over the steps since the point before, and points get sparser
    as the run gets longer.

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

    def __init__(self, log_dir):
        for module in ("event_pb2", "summary_pb2"):
            require(f"tensorboard.compat.proto.{module}", "tensorboard", _OWNER)
        folder = Path(log_dir)
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        host = re.sub(r"[^A-Za-z0-9_.-]", "_", socket.gethostname())
        self.path = folder / (
            f"events.out.tfevents.{int(now):010d}.{host}.{os.getpid()}."
            f"{next(_counter)}.gradguard"
        )
        self._file = _FileThread(self.path)
        self._templates = {}
        self._next = None
        self._point_from = None
        self._update_done = -1
        self._not_before = 0.0
        self._layout_written = False
        self._told = []
        self._write_event(now, file_version="brain.Event:2")

    def on_findings(self, findings, trace):
        """Write all findings so far as a table in the Text dashboard."""
        self._told.extend(findings)
        step = trace.steps[-1] if len(trace.steps) else 0
        self._write_text(int(step), self._told)

    def on_records(self, trace, first_step):
        """Write a point, if one is due."""
        begin = time.perf_counter()
        if len(trace.steps) and begin >= self._not_before:
            self._write_points(trace, force=False)
            end = time.perf_counter()
            self._not_before = end + (end - begin) / _SHARE_OF_TIME

    def on_epoch(self, trace, epoch):
        """Write nothing of its own: epochs may last milliseconds."""

    def close(self, trace, findings):
        """Write what is left and close the file; a second call does nothing."""
        if self._file.closed:
            return
        try:
            if trace is not None and len(trace.steps):
                self._write_points(trace, force=True)
                if findings:
                    self._write_text(int(trace.steps[-1]), findings)
        finally:
            self._file.close()

    def flush(self):
        """Wait until everything written so far is in the file."""
        self._file.flush()

    def _write_points(self, trace, force):
        steps = trace.steps
        if self._point_from is None:
            self._point_from = int(steps[0])
            self._next = self._point_from + _FIRST_INTERVAL
            self._write_layout()
        last = int(steps[-1])
        ends = []
        while self._next <= last:
            ends.append(self._next)
            run = self._next - int(steps[0])
            self._next += max(_FIRST_INTERVAL, run // _SHARE)
        if force and last >= self._point_from:
            ends.append(last + 1)
        if not ends:
            return
        # Those that waited for their time are merged.
        ends = ends[:: -(-len(ends) // _MOST_POINTS)][:-1] + ends[-1:]
        now = time.time()
        cuts = np.searchsorted(steps, [self._point_from, *ends])
        self._point_from = ends[-1]
        low, high = cuts[0], cuts[-1]
        if low == high:
            return
        norms = trace.layer_norms(low, high).astype(np.float64)
        shared = self._shared_series(trace, low, high, norms)
        for a, b in itertools.pairwise(cuts - low):
            if a == b:
                # Its records were thinned out, or not every step is recorded.
                continue
            step = steps[low + b - 1]
            means = norms[a:b].mean(axis=0)
            self._scalars(now, step, "grad_norm", trace.layers, means)
            self._emit(
                now,
                step,
                list(shared),
                [series[a:b].mean() for series in shared.values()],
            )
        self._write_histogram(now, int(steps[high - 1]), means)
        self._write_updates(now, trace, ends)

    def _shared_series(self, trace, low, high, norms):
        """Return dict of tag to float array: what concerns the whole model."""
        active = ~np.isnan(norms).all(axis=0)
        series = {
            _GLOBAL[0]: trace.global_norms(low, high),
            _GLOBAL[1]: trace.global_norms(low, high, clipped=True),
        }
        if active.any():
            series[_RANGE[0]] = norms[:, active].min(axis=1)
            series[_RANGE[1]] = norms[:, active].max(axis=1)
        for name, values in trace.extra.items():
            part = values[low:high]
            # Infinity is a value; NaN everywhere is "not recorded".
            if not np.isnan(part).all():
                tag = "batch_loss" if name == "loss" else name
                series[tag] = part
        if "clip_threshold" in trace.extra:
            # Their means are shares.
            norm, after = series[_GLOBAL[0]], series[_GLOBAL[1]]
            series["clipped_fraction"] = (after < norm).astype(float)
            series["skipped_fraction"] = trace.skipped[low:high].astype(float)
        return series

    def _write_updates(self, now, trace, ends):
        """Write the last measurement before each point."""
        since = self._update_done
        steps, ratio = trace.measured("update_ratio", since=since)
        weights = trace.measured("weight_norm", since=since)[1]
        at = np.searchsorted(steps, ends) - 1
        for row in np.unique(at[at >= 0]):
            step, layers = steps[row], trace.layers
            self._scalars(now, step, "update_ratio", layers, ratio[row])
            self._scalars(now, step, "weight_norm", layers, weights[row])
            self._update_done = int(step)

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
        self._file.write(self._templates[key].encode(now, step, values))

    def _write_histogram(self, now, step, means):
        """Write how the layers' norms are spread, by their log10."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log10(means[np.isfinite(means) & (means > 0)])
        if not len(logs):
            return
        counts, edges = np.histogram(logs, _BUCKETS)
        rows = np.stack([edges[:-1], edges[1:], counts], axis=1)
        metadata = require(
            "tensorboard.plugins.histogram.metadata", "tensorboard", _OWNER
        )
        self._write_tensor(
            now,
            step,
            "grad_norm_log10_over_layers",
            rows,
            metadata.create_summary_metadata(
                display_name=None, description="log10 of the layers' norms"
            ),
        )

    def _write_text(self, step, findings):
        metadata = require(
            "tensorboard.plugins.text.metadata", "tensorboard", _OWNER
        )
        self._write_tensor(
            time.time(),
            step,
            "findings",
            np.array(
                ["\n".join(findings_table(findings)).encode()], dtype=object
            ),
            metadata.create_summary_metadata(
                display_name=None, description="What GradGuard found"
            ),
        )

    def _write_layout(self):
        """Arrange the Custom Scalars dashboard, once."""
        if self._layout_written:
            return
        self._layout_written = True
        layout = require(
            "tensorboard.plugins.custom_scalar.layout_pb2",
            "tensorboard",
            _OWNER,
        )
        metadata = require(
            "tensorboard.plugins.custom_scalar.metadata", "tensorboard", _OWNER
        )
        charts = (
            ("Global gradient norm, before and after clipping", _GLOBAL),
            ("Smallest and largest layer", _RANGE),
            ("Gradient norm per layer", ("grad_norm/",)),
            ("Update / weights per layer", ("update_ratio/",)),
            ("Norm of the weights per layer", ("weight_norm/",)),
        )
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
        self._write_tensor(
            time.time(),
            0,
            metadata.CONFIG_SUMMARY_TAG,
            np.array(data, dtype=object),
            metadata.create_summary_metadata(),
        )

    def _write_tensor(self, now, step, tag, array, summary_metadata):
        summary_pb2 = require(
            "tensorboard.compat.proto.summary_pb2", "tensorboard", _OWNER
        )
        tensor_util = require(
            "tensorboard.util.tensor_util", "tensorboard", _OWNER
        )
        value = summary_pb2.Summary.Value(
            tag=tag,
            metadata=summary_metadata,
            tensor=tensor_util.make_tensor_proto(array),
        )
        self._write_event(
            now, step=step, summary=summary_pb2.Summary(value=[value])
        )

    def _write_event(self, now, **fields):
        event_pb2 = require(
            "tensorboard.compat.proto.event_pb2", "tensorboard", _OWNER
        )
        event = event_pb2.Event(wall_time=now, **fields)
        self._file.write(frame(event.SerializeToString()))


class _FileThread:
    """Appends bytes to a file, from a thread."""

    def __init__(self, path):
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115
        self._queue = queue.SimpleQueue()
        self._error = None
        self.closed = False
        self._thread = threading.Thread(
            target=self._run, name="gradguard-events", daemon=True
        )
        self._thread.start()

    def write(self, data):
        self._raise()
        if not self.closed:
            self._queue.put(data)

    def flush(self):
        done = threading.Event()
        if not self.closed:
            self._queue.put(done)
            done.wait()
        self._raise()

    def close(self):
        if self.closed:
            return
        self.closed = True
        self._queue.put(None)
        self._thread.join()
        self._file.close()
        self._raise()

    def _raise(self):
        """Hand an error of the thread to whoever writes next."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self):
        while True:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                self._file.write(item)
            except OSError as error:
                self._error = self._error or error
