"""The callback that watches the gradients of a `fit`.

Longer than 350 lines, since one class is what users call: a third is its
documentation, and what it does at each call of Keras belongs side by side.
"""

import os
import warnings
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Literal

import numpy as np

from keras_gradguard import _paths
from keras_gradguard import _validation
from keras_gradguard.callbacks.activity import Activity
from keras_gradguard.callbacks.epoch_metrics import check_log_metrics
from keras_gradguard.callbacks.epoch_metrics import epoch_metrics
from keras_gradguard.callbacks.layer_choice import LayerChoice
from keras_gradguard.callbacks.looks import SHORT_EPOCH
from keras_gradguard.callbacks.looks import Looks
from keras_gradguard.callbacks.outlet import Outlet
from keras_gradguard.callbacks.referring import note_reference
from keras_gradguard.callbacks.short_fits import Together
from keras_gradguard.callbacks.watch import WatchingCallback
from keras_gradguard.callbacks.watch import undone_if_left
from keras_gradguard.capsule.keep import keep
from keras_gradguard.diagnosis import Report
from keras_gradguard.diagnosis import not_judged
from keras_gradguard.diagnosis import resolve_rules
from keras_gradguard.diagnosis.live import Judge
from keras_gradguard.diagnosis.rules import left_out
from keras_gradguard.diagnosis.rules import noted
from keras_gradguard.diagnosis.rules import said_of
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.exceptions import GradGuardFinding
from keras_gradguard.exceptions import GradGuardWarning
from keras_gradguard.findings.finding import Finding
from keras_gradguard.models import keras_private
from keras_gradguard.models import run_info
from keras_gradguard.models.own_step import ClearWatch
from keras_gradguard.models.recurrent import not_measured
from keras_gradguard.recording.averages import Averages
from keras_gradguard.recording.fit_exit import fit_frame
from keras_gradguard.recording.recording import recording_of
from keras_gradguard.recording.rows import Rows
from keras_gradguard.recording.weights import WeightWatch
from keras_gradguard.reporting import reporter
from keras_gradguard.reporting.live import reporter_for
from keras_gradguard.reporting.tensorboard.writer import EventWriter
from keras_gradguard.reporting.writers import WRITERS
from keras_gradguard.trace.trace import Trace

_OWNER = "GradientMonitor"
_ON_FINDING = ("warn", "stop", "raise", "ignore")


class GradientMonitor(WatchingCallback):
    """Records the gradients of every step and says what is wrong with them.

    Add it to `callbacks=` of `model.fit`. It records, per layer, the norm of
    the gradient that the optimizer is about to use (unscaled, accumulated,
    reduced over replicas, before clipping), and at some steps the norm of
    the weights and of the update. Rules judge the record while training
    goes on. Nothing changes for the model: its weights, its optimizer, its
    history and what it saves are the same bit for bit.

    The norm of a layer's gradient is `sqrt(sum(g ** 2))` over all its own
    trainable variables as one vector. A variable without a gradient (frozen,
    unused) is NaN. Before the first step there is an empty trace. Each `fit`
    starts a new one. A fit of less than 100 records is judged together with
    the short ones before it that it goes on from, as in a loop of
    `fit(epochs=1)`. `report().trace` holds all of them. Compiling anew, or
    another learning rate, begins anew.

    The weights are measured at the first few steps and every 64th; the
    change of the weights over an epoch at its end (of several short epochs
    at once).

    Args:
        log_dir: String or path. Directory for TensorBoard events, the trace
            and the findings; made if need be. Without TensorBoard all but
            its events is written. `None` writes nothing. Defaults to `None`.
        update_freq: Integer >= 1. Record every so many optimizer steps.
            Larger costs less and sees less. Defaults to 1.
        rules: `"default"`, or a list of rules: objects or ids. A dict from
            rule ids to dicts takes all rules and has some leave out layers,
            `{"frozen_layer": {"ignore": "embed*"}}`, or moves a threshold,
            `{"update_ratio": {"high": 0.2}}`; the summary says so. Defaults
            to `"default"`.
        on_finding: What a finding does: `"warn"` prints it, `"stop"` also
            ends training by `model.stop_training` once it is confirmed,
            `"raise"` raises `GradGuardFinding` then, `"ignore"` only keeps
            it. A finding is confirmed where it holds still after as many
            steps again as were needed to tell it; a gradient that is not
            finite is at once. A function is called instead with the `Finding`
            whenever its `status` changes: to `"raised"`, `"confirmed"`,
            `"resolved"` or `"withdrawn"`. Defaults to `"warn"`.
        verbose: `"auto"`, 0, 1 or 2. 1 prints findings as they come and a
            summary at the end; 2 also the table of layers of a healthy run;
            0 prints nothing. `"auto"` is a live cell in a notebook, and 1
            elsewhere. Defaults to 1.
        log_metrics: Whether to write `"grad_norm"`, `"grad_norm_min"`,
            `"grad_norm_max"`, `"update_ratio"`, `"clipped_fraction"`,
            `"skipped_steps"`, `"dead_fraction"` and `"findings"` into the
            logs of each epoch, or a list of some of these names. What comes
            behind this callback (`History`, `CSVLogger`, `EarlyStopping`, the
            progress bar, any tracker) sees them as floats, NaN where a value
            is not known. Defaults to False, since they become keys of
            `History`.
        histogram_freq: Integer >= 0. At the first update of every so many
            epochs, write histograms of each layer's gradients to `log_dir`
            for TensorBoard: their entries, and the log10 of the entries'
            absolute values, which shows how a gradient fades over layers and
            epochs. Larger writes less; 0 writes none and costs nothing.
            Defaults to 0.
        layers: Which layers to look at: a list of names, paths or class
            names, with the patterns `*`, `?` and `[...]`, and of layer
            classes; an entry also takes what is inside of a layer that it
            fits, and one that begins with `"!"` excludes. The trace, the
            rules and the logs see these alone: a global norm is theirs.
            Defaults to `None`: all.
        through_time: Bool. Whether to measure, at the steps at which the
            activations are measured, the gradient of the loss with respect to
            the state of each recurrent layer at each time step. That shows
            whether the far past can be learnt: `trace.time_gradients(layer)`.
            It runs the model forward and backward once more at these steps.
            Defaults to False.
        capsule: String or path. Directory for a capsule: what it takes to run
            the steps before a fault once more. It is written at the first
            step whose gradient or loss is not finite, whose gradient is over
            100 times the median of the 64 before (what is not finite then
            takes its place), or that raises an error. Then `python -m
            keras_gradguard replay CAPSULE` tells batch, layer and operation.
            `None` keeps none. Defaults to `None`.
        capsule_freq: Integer >= 1. Batches from one copy of the state to the
            next, for `capsule`. Larger costs less time, holds more batches,
            and takes longer to replay. Defaults to 50.

    Attributes:
        trace: `Trace` of the latest fit.

    Raises:
        TypeError: For an argument of the wrong type.
        ValueError: For a value out of range, or an unknown rule; when training
            starts, for an entry of `layers` that fits no layer.
        RuntimeError: When training starts and the model cannot be watched.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> from keras_gradguard import GradientMonitor
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> monitor = GradientMonitor(verbose=0)
    >>> x, y = np.ones((64, 4)), np.ones((64, 1))
    >>> history = model.fit(x, y, verbose=0, callbacks=[monitor])
    >>> monitor.trace.get("grad_norm").shape  # two steps, one layer
    (2, 1)
    >>> print(monitor.report().healthy)  # two steps are too few to say so
    None

    Notes:
        On JAX the state of a running fit is not synced for this callback.
        Without a subscriber left, the compiled step from before the fit is
        put back; so the first watched fit compiles twice.

        A `capsule` takes memory of the host: one copy of the weights and of
        the optimizer's state, and the batches since it was made.
    """

    _owner = _OWNER
    _of_a_fit = (
        "_reporters",
        "_weights",
        "_first_weights",
        "_raise",
        "_loop",
        "_keeper",
        "_together",
        "_rows",
        "_cleared",
    )

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        update_freq: int = 1,
        rules: str
        | Sequence[str | Rule]
        | Mapping[str, Mapping[str, Any]] = "default",
        on_finding: str | Callable[[Finding], Any] = "warn",
        verbose: int | Literal["auto"] = 1,
        histogram_freq: int = 0,
        log_metrics: bool | str | Sequence[str] = False,
        layers: str | type | Sequence[str | type] | None = None,
        through_time: bool = False,
        capsule: str | os.PathLike[str] | None = None,
        capsule_freq: int = 50,
    ) -> None:
        super().__init__()
        self.log_dir = _paths.check_log_dir(_OWNER, log_dir)
        self.update_freq = _validation.check_int(
            _OWNER,
            "update_freq",
            update_freq,
            minimum=1,
            hint="Pass 1 to record every step, 10 for every tenth.",
        )
        self.rules = resolve_rules(rules, owner=_OWNER)
        if not callable(on_finding):
            _validation.check_choice(
                _OWNER,
                "on_finding",
                on_finding,
                _ON_FINDING,
                "Or pass a function that takes the finding.",
            )
        self.on_finding: Any = on_finding
        self.verbose = _validation.check_choice(
            _OWNER, "verbose", verbose, ("auto", 0, 1, 2), "Pass 0 for silence."
        )
        self.histogram_freq = _paths.check_histogram_freq(
            _OWNER, histogram_freq, self.log_dir
        )
        self.log_metrics = log_metrics
        self._metrics = check_log_metrics(_OWNER, log_metrics)
        self.layers = layers
        self._choice = LayerChoice(_OWNER, layers)
        self.through_time = _validation.check_bool(
            _OWNER, "through_time", through_time
        )
        self.capsule = _paths.check_folder(
            _OWNER, "capsule", capsule, "runs/capsule"
        )
        self.capsule_freq = _validation.check_int(
            _OWNER,
            "capsule_freq",
            capsule_freq,
            minimum=1,
            hint="Pass 50 for a copy every fifty batches.",
        )
        self._keeper: Any = None
        self._cleared: Any = None
        # What else the report of the latest fit says.
        self._notes: list[str] = []
        self.trace = Trace([], [], [])
        # What is judged: `trace`, or that of several short fits.
        self._whole: Any = None
        self._together: Any = None
        self._looks = Looks(0, 0)
        self._judged = Judge(self.rules)
        self._outlet = Outlet(_OWNER)
        self._reporters: list = []
        self._rows: Any = None
        self._weights: Any = None
        self._first_weights: Any = None
        self._averages: Any = None
        self._activity = Activity()
        self._records = self._logged = 0
        self._measured_at = 0
        self._planned: dict = {}
        self._epoch_ends = self._put_off = False
        self._raise: Any = None
        # `watch` puts its recording here.
        self._loop: Any = None

    # Keras calls these

    @undone_if_left
    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        model = self._model
        recording = self._loop
        if recording is None:
            run_info.check_model(_OWNER, model)
        self._choice.check(model)
        self.trace, self._whole = Trace([], [], []), None
        self._outlet.begin(model)
        self._watch.speaks = self._outlet.is_chief
        self._looks = Looks.of(self.params)
        self._judged = self._new_judge()
        self._weights = self._first_weights = self._averages = None
        self._rows = None
        self._activity = Activity()
        self._records, self._measured_at, self._logged = 0, 0, 0
        self._epoch_ends = self._put_off = False
        self._raise = None
        if recording is None:
            recording = recording_of(model, self.update_freq)
            recording.wanted |= {*self._looks.marks, *self._looks.sure}
            if self._outlet.is_alone:
                self._rows = recording.rows = recording.rows or Rows()
        self._reporters = [
            reporter.Guarded(
                reporter_for(self.verbose if self._outlet.is_chief else 0)
            ),
            *self._outlet.open(
                self.log_dir,
                self._watch,
                recording,
                WRITERS,
                # Histograms are for TensorBoard alone.
                spare=() if self.histogram_freq else (EventWriter,),
            ),
        ]
        if self.through_time:
            recording.look_through_time()
        self._watch.start(recording, self.params.get("steps"))
        if self.histogram_freq:
            self._watch.record_histograms()
        iterator = keras_private.epoch_iterator(fit_frame())
        batches = bool(keras_private.gives_batches(iterator))
        self._planned = run_info.facts(model, self.params, batches)
        if self.capsule is not None:
            self._planned["capsule"] = True
        self._together = Together(
            model,
            self._watch.first_step,
            self._planned,
            repr((self.update_freq, self.layers)),
        )
        self._judged.said.update(self._together.said)
        self._watch.guard(self._begin)
        self._notes = []
        if self._loop is None:
            self._watch.guard(self._watch_clearing)
        self._keeper = keep(
            _OWNER, self.capsule, self.capsule_freq, model, recording
        )

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._watch.epoch_begin()
        if self._keeper is not None:
            self._keeper.epoch_begin(epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._watch.ask_for_histogram()

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._raise_finding()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        metrics = dict.fromkeys(self._metrics, float("nan"))
        self._watch.guard(self._end_epoch, epoch, logs or {}, metrics)
        if logs is not None:
            logs.update(metrics)
        self._raise_finding()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._watch.finish(self._finish)
        self._raise_finding()

    # The recording calls these

    def on_block(self, block: Any) -> None:
        """Take in a block of records; called between two steps."""
        if self._keeper is not None:
            self._keeper.on_block(block)
        if not len(self.trace.variables):
            self._begin_trace()
        table = self._watch.recording.make_table()
        block = self._choice.block(self._model, table, block)
        if len(block.update_steps):
            self.trace.append_updates(block.update_steps, **block.updates)
        if len(block.steps):
            self._take_records(block)

    def _take_records(self, block: Any) -> None:
        keep = block.steps % self.update_freq == 0
        wanted = block if keep.all() else block.with_records(keep)
        wanted.append_to(self.trace)
        self._records += len(wanted.steps)
        self._deliver("on_records", self.trace, int(block.steps[0]))
        nonfinite = not np.isfinite(
            block.grad_norm[:, block.has_gradient]
        ).all()
        due = self._judged.is_due(self._records, int(block.steps[-1]))
        if nonfinite and not self.findings:
            self._judge()
        elif due and (
            self._epoch_ends or 0 < self._looks.plan <= self._records
        ):
            self._put_off = True
        elif due:
            self._judge()

    def on_measurement(self, measurement: Any) -> None:
        """Take in what a step showed of the activations and its batch."""
        if not len(self.trace.variables):
            self._begin_trace()
        measurement = self._choice.measurement(self._model, measurement)
        self._activity.append_to(self.trace, measurement)

    def on_time_gradients(self, measurement: Any) -> None:
        """Take in gradients through time."""
        if not len(self.trace.variables):
            self._begin_trace()
        measured = self._choice.time_gradients(self._model, measurement)
        if self.through_time and measured.layers:
            self.trace.append_time_gradients(
                measured.step, measured.layers, measured.lengths, measured.norms
            )

    def on_histogram(self, histogram: Any) -> None:
        """Take in the histograms of an update's gradients."""
        if not len(self.trace.variables):
            self._begin_trace()
        table = self._watch.recording.make_table()
        histogram = self._choice.histogram(self._model, table, histogram)
        self._deliver("on_histogram", histogram, self.trace)

    def on_counts(self, counts: Any) -> None:
        """Take in how often units were active, if somebody else counts it."""
        self._activity.add_counts(counts)

    def on_left(self) -> None:
        """Write down what there is: an exception has left the fit."""
        self._judge(is_last=True)
        self._raise = None
        del self._reporters[:1]  # the console has said enough
        self._deliver("close", self.trace, self.findings)
        self._outlet.close()
        self._stop_keeping()
        self._let_go()

    # What users call

    @property
    def findings(self) -> list[Finding]:
        """List of `Finding` of the latest fit, in order of their first step."""
        return self._judged.findings

    def flush(self) -> None:
        """Take into `trace` what is still on the device.

        While a fit runs, the latest steps may wait there. Elsewhere it does
        nothing.
        """
        if self._watch.recording is not None:
            self._watch.guard(self._watch.recording.flush)

    def report(self) -> Report:
        """Judge the record so far.

        Returns:
            A `Report`: `str()` of it is the verdict in words.
        """
        trace = self._judged_trace
        reasons = not_judged(trace, left_out(self.rules))
        return Report(
            self.findings,
            trace,
            notes=[*said_of(self.rules, trace), *self._notes],
            not_judged=reasons,
            history=self._judged.history,
        )

    def plot(self) -> Any:
        """Draw the record.

        Returns:
            A matplotlib figure: loss, layers x steps heatmap of the gradient
            norms, norms and update ratios per layer, weights over epochs,
            with the findings marked.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        from keras_gradguard.reporting import plots

        return plots.plot(self._judged_trace, self.findings)

    def _repr_html_(self) -> str:
        """Return what a notebook shows of it."""
        from keras_gradguard.reporting.notebook import run_html

        return run_html(self._judged_trace, self.findings)

    # Inside

    @property
    def _judged_trace(self) -> Trace:
        return self.trace if self._whole is None else self._whole

    def _begin(self) -> None:
        """Measure the weights before the first step, if they exist."""
        if not self._model.built or self._watch.recording.reason is not None:
            return
        self._watch_weights()
        if self._watch.recording.order_known:
            self._begin_trace()
            if not self._together.goes_on:
                # What the configuration alone tells need not wait.
                self._judge()

    def _new_judge(self) -> Judge:
        """A judge who looks early where few steps are planned."""
        looks = self._looks
        return Judge(
            self.rules,
            looks.first,
            self._outlet.is_alone,
            looks.early,
            looks.marks,
            sure=looks.sure,
        )

    def _make_table(self) -> Any:
        """Table of the layers that are looked at."""
        table = self._watch.recording.make_table()
        return self._choice.table(self._model, table)

    def _watch_weights(self) -> None:
        table = self._make_table()
        self._weights = WeightWatch(
            table.variables, table.sizes, self._watch.recording.cache
        )
        self._first_weights = self._weights.measure()
        self._averages = Averages(self._model)

    def _begin_trace(self) -> None:
        """Make the trace, as soon as the order of the layers is known."""
        table = self._make_table()
        self.trace = run_info.empty_trace(table, self._planned)
        if self._weights is None or not self._weights.covers(table.variables):
            # Layers were built by the first step.
            self._watch_weights()
        self._weights.reorder(table.variables)
        self._append_weights(self._watch.first_step, self._first_weights)

    def _append_weights(self, step: Any, measured: Any) -> None:
        columns = self._weights.columns
        self.trace.append_updates(
            [step], **{k: v[np.newaxis, columns] for k, v in measured.items()}
        )
        self._measured_at = self._watch.executions

    def _note_averages(self) -> None:
        """Note what predictions of a model with averages go by."""
        updates = self._watch.step - self._watch.first_step + 1
        left = self._averages.of_the_data(updates)
        if left is not None:
            self.trace.meta["averages"] = left

    def _end_epoch(
        self, epoch: int, logs: dict[str, Any] | None, metrics: Any
    ) -> None:
        self._activity.end_epoch()
        planned = self.params.get("epochs") or 0
        due = (
            not len(self.trace.epochs)
            or epoch + 1 >= planned
            or self._watch.executions - self._measured_at >= SHORT_EPOCH
        )
        # Behind the last epoch one look serves, with the logs: what else the
        # end of the fit would add is there.
        is_last = 0 < planned <= epoch + 1
        self._epoch_ends = is_last
        if due or metrics:
            self._watch.recording.flush()
            self._watch.check_records()
        logs = {**self._moved_rate(), **(logs or {})}
        self.trace.append_epoch(epoch, self._watch.step, logs)
        if due and len(self.trace.variables):
            self._append_weights(self._watch.step, self._weights.measure())
            self._note_averages()
        self._deliver("on_epoch", self.trace, epoch)
        self._epoch_ends, put_off = False, self._put_off
        if put_off or self._judged.is_due(self._records):
            self._put_off = False
            self._judge(is_last)
        if metrics and len(self.trace.variables):
            records, self._logged = self._records - self._logged, self._records
            found = epoch_metrics(self.trace, records, self.findings)
            metrics.update({name: found[name] for name in metrics})

    def _moved_rate(self) -> dict[str, Any]:
        """Return the learning rate for the logs, once somebody has set it.

        Keras's own callbacks write it there, those of users do not.
        """
        run = self.trace.run
        rate = run_info.learning_rate_of(self._model)
        if run.optimizer.schedule or None in (rate, run.learning_rate):
            return {}
        known = rate == run.learning_rate
        if known and "learning_rate" not in self.trace.logs:
            return {}
        return {"learning_rate": rate}

    def _raise_finding(self) -> None:
        """Raise what `on_finding="raise"` asked for, where Keras is safe."""
        if self._raise is not None:
            error, self._raise = self._raise, None
            raise error

    def _deliver(self, what: str, *arguments: Any) -> None:
        """Let all reporters know."""
        for guarded in self._reporters:
            guarded.deliver(what, *arguments)

    def _judge(self, is_last: bool = False) -> None:
        judged, trace = self._judged, self.trace
        if self._cleared is not None and self._cleared.carried:
            trace.meta["uncleared"] = True
        if self._rows is not None:
            note_reference(trace, self._rows, is_last)
        if self._together is not None:
            self._whole = trace = self._together.judged(trace)
        changed, fresh = judged.look(trace, trace.records_seen, is_last)
        self.trace.meta["not_judged"] = judged.not_judged
        self._deliver("on_judged", judged.findings, judged.history, trace)
        if fresh:
            self._deliver("on_findings", fresh, trace)
        sure = [f for f in changed if f.status == "confirmed"]
        if callable(self.on_finding):
            for finding in changed:
                self._call(finding)
        elif sure and self.on_finding == "stop":
            self._model.stop_training = True
        elif sure and self.on_finding == "raise" and self._raise is None:
            self._raise = GradGuardFinding(sure[0])

    def _call(self, finding: Any) -> None:
        """Let the user's function know; where it fails, warn and go on."""
        try:
            self.on_finding(finding)
        except Exception as error:
            warnings.warn(
                f"{_OWNER}: `on_finding` failed with {type(error).__name__}: "
                f"{error}. Training goes on, and so does the monitor.",
                GradGuardWarning,
                stacklevel=2,
            )

    def _finish(self) -> None:
        self._judge(is_last=True)
        self._add_notes()
        whole, together = self._judged_trace, self._together
        known = together.end(
            self.trace, whole, self._watch.step + 1, self._judged
        )
        console, *files = self._reporters
        console.deliver(
            "close_again" if known else "close", whole, self.findings
        )
        for file in files:
            file.deliver("close", self.trace, self.findings)
        self._reporters, self._together, self._rows = [], None, None
        self._outlet.close()
        self._stop_keeping()

    def _add_notes(self) -> None:
        """Say what is no finding: layers left out, and where a capsule is."""
        self._notes = noted(self.rules, self._judged_trace)
        if self.through_time:
            self._notes += not_measured(self._model)
        if self._loop is not None:
            self._notes += self._loop.notes
        if self._keeper is not None and self._keeper.written is not None:
            self._notes.append(self._keeper.note())
        traces = [self.trace]
        if self._judged_trace is not self.trace:
            self._notes.append(self._together.note)
            traces.append(self._judged_trace)
        for trace in traces if self._notes else ():
            before = trace.meta.get("notes") or []
            before = [note for note in before if note not in self._notes]
            trace.meta["notes"] = [*before, *self._notes]

    def _watch_clearing(self) -> None:
        if self._model.built:
            self._cleared = ClearWatch(self._model)

    def _stop_keeping(self) -> None:
        cleared, self._cleared = self._cleared, None
        if cleared is not None:
            cleared.stop()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.stop()
