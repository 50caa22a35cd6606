"""A directory with everything about a run."""

import contextlib
import csv
import io
import json
import os
import time
from pathlib import Path

import numpy as np

from keras_gradguard._files import jsonable
from keras_gradguard._files import naming_log_dir
from keras_gradguard._files import remove_drafts
from keras_gradguard._files import write_atomically
from keras_gradguard.findings.causes import ended
from keras_gradguard.reporting.reporter import SHARE_OF_TIME
from keras_gradguard.reporting.reporter import Reporter
from keras_gradguard.reporting.tables import verdict
from keras_gradguard.reporting.tables import weight_history
from keras_gradguard.trace.file import IN_A_RUN
from keras_gradguard.trace.resuming import first_step
from keras_gradguard.trace.resuming import joined
from keras_gradguard.trace.trace import Trace
from keras_gradguard.version import __version__

TRACE, FINDINGS, RUN = IN_A_RUN, "findings.jsonl", "run.json"
EPOCHS, LAYERS = "epochs.csv", "layers.csv"
_LARGE = ("layer_info", "sites")
_BEFORE_ALL = (-1, -1)
_LAYER_FIELDS = (
    "weight_norm",
    "percent_change",
    "epoch_change",
    "since_start",
    "zero_fraction",
)


class RunWriter(Reporter):
    """Writes a run into a directory, so that a crash leaves it readable.

    `findings.jsonl` gets a line per finding as it comes, and another one when
    its status changes: the latest counts; `epochs.csv` (logs
    and global norms) and `layers.csv` (weights per layer) a row per epoch and
    layer; `trace.npz` is saved now and then and at the end; `run.json` says
    what was run and how it ended.

    A fit that goes on from an earlier one of the same layers in the directory,
    at a later step of the optimizer, goes on in its files. What the earlier
    one wrote of the same steps is replaced, and so is any other run.

    Args:
        log_dir: Str or path. Created if absent.

    Attributes:
        log_dir: Path.

    Raises:
        OSError: If the directory cannot be written.
    """

    work = "writing into `log_dir`"

    def __init__(self, log_dir):
        self.log_dir = Path(log_dir)
        with naming_log_dir("GradientMonitor", log_dir):
            self.log_dir.mkdir(parents=True, exist_ok=True)
            remove_drafts(self.log_dir, (TRACE, FINDINGS, RUN))
            self._earlier, self._earlier_findings = self._read_earlier()
            for name in (FINDINGS, EPOCHS, LAYERS):
                (self.log_dir / name).write_text("")
        self._history: list = []
        # The status that was last written of each finding.
        self._written: dict = {}
        self._epoch_fields = None
        # Step and number of the last epoch that each has.
        self._last_epoch = {EPOCHS: _BEFORE_ALL, LAYERS: _BEFORE_ALL}
        self._next_save = 0.0
        self._started = time.time()

    def on_findings(self, findings, trace):
        """Append the findings to `findings.jsonl`."""
        self._append_findings(findings)

    def on_judged(self, findings, history, trace):
        """Append what has become of those that were written."""
        self._history = history
        before = self._written
        self._append_findings(
            [f for f in history if before.get(f.key, f.status) != f.status]
        )

    def _append_findings(self, findings):
        self._written |= {f.key: f.status for f in findings}
        if not findings:
            return
        with open(self.log_dir / FINDINGS, "a", encoding="utf-8") as file:
            for finding in findings:
                line = json.dumps(finding.to_dict(), allow_nan=False)
                file.write(f"{line}\n")

    def on_epoch(self, trace, epoch):
        """Bring the files up to date, if it is time to."""
        now = time.perf_counter()
        if now >= self._next_save:
            whole = joined(self._earlier, trace)
            self._write_epochs(whole)
            self._write_layers(whole)
            self._save(whole, [], "running")
            spent = time.perf_counter() - now
            self._next_save = now + spent / SHARE_OF_TIME

    def close(self, trace, findings):
        """Write what is left, the trace and the verdict."""
        whole = joined(self._earlier, trace)
        self._write_epochs(whole)
        self._write_layers(whole)
        # A finding's last step moves on; the file ends with the final state.
        last = [*findings, *ended(self._history)]
        lines = [json.dumps(f.to_dict(), allow_nan=False) + "\n" for f in last]
        if whole is not trace:
            keys = {finding.key for finding in last}
            lines = self._lines_before(first_step(trace), keys) + lines
        text = "".join(lines).encode()
        write_atomically(self.log_dir / FINDINGS, lambda file: file.write(text))
        self._save(whole, findings, "finished")

    def _read_earlier(self):
        """The trace that lies in the directory, and the lines of findings."""
        try:
            earlier = Trace.load(self.log_dir / TRACE)
            text = (self.log_dir / FINDINGS).read_text(encoding="utf-8")
        except Exception:
            return None, []  # none, or damaged: then it is replaced
        return earlier, text.splitlines()

    def _lines_before(self, step, keys):
        """The latest line of each other finding that began before a step."""
        kept = {}
        for line in self._earlier_findings:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                found = json.loads(line)
                key = found["rule"], found["first_step"]
                if found["first_step"] < step and key not in keys:
                    kept[key] = line + "\n"
        return list(kept.values())

    def _save(self, trace, findings, state):
        trace.save(self.log_dir / TRACE)
        run = {
            "keras_gradguard": __version__,
            "state": state,
            "started": self._started,
            "written": time.time(),
            "records": trace.records_seen,
            "epochs": len(trace.epochs),
            "layers": trace.layers,
            # What is known of each layer stands in the trace.
            "meta": {k: v for k, v in trace.meta.items() if k not in _LARGE},
        }
        if state == "finished":
            run["verdict"] = verdict(trace, findings)
            run["findings"] = [f.rule for f in findings]
        text = json.dumps(jsonable(run), indent=2, default=str).encode()
        write_atomically(self.log_dir / RUN, lambda file: file.write(text))

    def _write_epochs(self, trace):
        logs = trace.logs
        fields = ["epoch", "step", *logs, "grad_norm", "grad_norm_max"]
        fresh = fields != self._epoch_fields
        last = _BEFORE_ALL if fresh else self._last_epoch[EPOCHS]
        ends = trace.epoch_steps
        rows = np.flatnonzero(_later(ends, trace.epochs, last))
        if not len(rows):
            return
        norms, steps = trace.global_grad_norm, trace.steps
        lines = []
        for at in rows:
            low = ends[at - 1] if at else -1
            part = norms[(steps > low) & (steps <= ends[at])]
            mean = float(part.mean()) if len(part) else float("nan")
            top = float(part.max()) if len(part) else float("nan")
            values = [series[at] for series in logs.values()]
            lines.append([trace.epochs[at], ends[at], *values, mean, top])
        self._append(EPOCHS, fields if fresh else None, lines)
        self._epoch_fields = fields
        self._last_epoch[EPOCHS] = int(ends[-1]), int(trace.epochs[-1])

    def _write_layers(self, trace):
        history = weight_history(trace)
        last = self._last_epoch[LAYERS]
        lines = []
        steps, epochs = history["step"], history["epoch"]
        for at in np.flatnonzero(_later(steps, epochs, last)):
            for index, layer in enumerate(trace.layers):
                values = [history[name][at, index] for name in _LAYER_FIELDS]
                lines.append([epochs[at], steps[at], layer, *values])
        if lines:
            header = ["epoch", "step", "layer", *_LAYER_FIELDS]
            new = last == _BEFORE_ALL
            self._append(LAYERS, header if new else None, lines)
            self._last_epoch[LAYERS] = int(steps[-1]), int(epochs[-1])

    def _append(self, name, header, lines):
        """Append rows; with a header the file begins anew."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        if header is not None:
            table.writerow(header)
        table.writerows([[_cell(value) for value in line] for line in lines])
        mode = "a" if header is None else "w"
        path = self.log_dir / name
        if header is None and not os.path.exists(path):
            raise FileNotFoundError(f"{path} is gone")
        with open(path, mode, encoding="utf-8", newline="") as file:
            file.write(text.getvalue())


def _cell(value):
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.6g}"
    return str(value)


def _later(steps, epochs, last):
    """Which epochs come after that of this last step and number."""
    step, epoch = last
    return (steps > step) | ((steps == step) & (epochs > epoch))
