"""The callback that finds units that are never active.

Longer than 350 lines, since one class is what users call: a third is its
documentation, and what it does at each call of Keras belongs side by side.
"""

import os
from collections.abc import Sequence
from typing import Any
from typing import Literal

import numpy as np

from keras_gradguard import _paths
from keras_gradguard import _validation
from keras_gradguard.callbacks.activity import Activity
from keras_gradguard.callbacks.layer_choice import LayerChoice
from keras_gradguard.callbacks.measured_units import MeasuredUnits
from keras_gradguard.callbacks.outlet import Outlet
from keras_gradguard.callbacks.revive import Reviver
from keras_gradguard.callbacks.unit_counts import UnitCounts
from keras_gradguard.callbacks.unit_methods import choose_methods
from keras_gradguard.callbacks.watch import WatchingCallback
from keras_gradguard.callbacks.watch import undone_if_left
from keras_gradguard.diagnosis import Report
from keras_gradguard.diagnosis import not_judged
from keras_gradguard.diagnosis import resolve_rules
from keras_gradguard.diagnosis.live import Judge
from keras_gradguard.findings.finding import Finding
from keras_gradguard.models import run_info
from keras_gradguard.recording.recording import recording_of
from keras_gradguard.reporting import dead_units as shown
from keras_gradguard.reporting import reporter
from keras_gradguard.reporting.console import ConsoleReporter
from keras_gradguard.reporting.tensorboard.writer import EventWriter
from keras_gradguard.trace.trace import Trace

_OWNER = "DeadReLUDetector"
_METHODS = ("auto", "gradient", "activation")
_RULES = ("dead_relu", "saturated_activation")


class DeadReLUDetector(WatchingCallback):
    """Finds the units that are zero on all the data of an epoch.

    It looks at what the layers give in the training steps themselves, so it
    needs no data and no second pass, and it is exact over what was trained
    on. A unit is judged where its activation is zero on a half-line: ReLU and
    its kin, in a layer of their own, as `activation=`, behind a
    normalization, in nested, shared and subclassed models. LeakyReLU, ELU,
    GELU, SELU and others cannot die and are left out.

    A unit counts as active for a sample if any of its outputs (over
    positions, time steps and calls) is not exactly zero. An activation layer
    that is called on tensors of different widths has the units of all its
    calls, one call after the other. With dropout behind
    the activation nothing changes; what a frozen layer, a regularizer or a
    blocked gradient do to the gradient plays no role but for
    `method="gradient"`.

    Args:
        method: `"activation"` counts outputs that are not zero. `"gradient"`
            counts steps in which the gradient of a unit's bias (or of its
            column of the kernel) is not zero; it is blind where weights are
            frozen or regularized, and cannot tell a unit that is active but
            gets no gradient, unless one of the measured steps shows it (see
            `blocked`). `"auto"` takes the activation wherever it can be seen
            in the step, else the gradient. Defaults to `"auto"`.
        threshold: Float in [0, 1]. A unit is dead at or below this share of
            active samples (of steps, by the gradient) over an epoch. Defaults
            to 0.0: never active.
        patience: Integer >= 1. Epochs in a row after which it counts as dead.
            Defaults to 1.
        revive: Bool. Whether dead units get fresh incoming weights, zeroed
            outgoing weights and fresh optimizer moments at the end of an
            epoch (ReDo, Sokar et al. 2023, arXiv:2302.12902). It changes the
            training. Defaults to `False`.
        verbose: `"auto"`, 0, 1 or 2. 1 (and `"auto"`) prints findings as
            they come, and at the end one line or the layers with many dead
            units; 2 prints all layers; 0 nothing. Defaults to 1.
        dormant_threshold: Float >= 0 or `None`. Also report units of any
            activation, those that cannot die as well, whose ReDo score, the
            mean of `|output|` over that of the layer, is at or below it;
            the paper uses 0.025 and 0.1. `None` reports none. Defaults to
            `None`.
        seed: Integer or `None`. Seed of the revived weights. `None` draws one
            from Keras's global seed. Defaults to `None`.
        log_dir: String or path. Directory for TensorBoard scalars; `None`
            writes none. Defaults to `None`.
        layers: Which layers to look at, as for `GradientMonitor`: a list of
            names, patterns and layer classes; one that begins with `"!"`
            excludes. Defaults to `None`: all.

    Attributes:
        dead_units: Dict from layer path (its name where Keras gives it none)
            to an int array `(k,)`, indices of the dead units.
        dead_fraction: Dict from layer path to float, share of dead units.
        history: Dict from layer path to a float array `(E,)`, share of units
            at or below the threshold in each epoch.
        share: Dict from layer path to a float array `(units,)`, share of
            active samples in the latest epoch.
        blocked: Dict from layer path to an int array of units that are active
            but get no gradient, as far as that was seen.
        dormant: Dict from layer path to an int array of dormant units.
        skipped: Dict from layer path to the reason why it is not judged.
        revived: List of dicts, one per epoch, from layer path to the number
            of revived units or the reason why none was.
        trace: `Trace` of the activations.
        findings: List of `Finding`: `dead_relu` and `saturated_activation`.

    Raises:
        TypeError: For an argument of the wrong type.
        ValueError: For a value out of range; when training starts, for an
            entry of `layers` that fits no layer.
        RuntimeError: When training starts and the model has no optimizer.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> from keras_gradguard import DeadReLUDetector
    >>> model = keras.Sequential([
    ...     keras.Input((4,)),
    ...     keras.layers.Dense(3, activation="relu", name="hidden"),
    ...     keras.layers.Dense(1),
    ... ])
    >>> _ = model.layers[0].bias.assign([0.0, -100.0, 0.0])
    >>> model.compile("sgd", "mse")
    >>> detector = DeadReLUDetector(verbose=0)
    >>> x, y = np.random.rand(64, 4), np.ones((64, 1))
    >>> history = model.fit(x, y, verbose=0, callbacks=[detector])
    >>> 1 in detector.dead_units["sequential/hidden"]
    True
    """

    hint_for_loops = (
        "dead units are seen in `fit` and `train_on_batch`; what "
        "`with kgg.watch(model):` around your loop records are the gradients"
    )
    _owner = _OWNER
    _of_a_fit = ("_reviver", "_events")

    def __init__(
        self,
        method: str = "auto",
        threshold: float = 0.0,
        patience: int = 1,
        revive: bool = False,
        verbose: int | Literal["auto"] = 1,
        dormant_threshold: float | None = None,
        seed: int | None = None,
        log_dir: str | os.PathLike[str] | None = None,
        layers: str | type | Sequence[str | type] | None = None,
    ) -> None:
        super().__init__()
        check = _validation
        self.method = check.check_choice(_OWNER, "method", method, _METHODS)
        self.threshold = check.check_number(
            _OWNER, "threshold", threshold, minimum=0.0, maximum=1.0
        )
        self.patience = check.check_int(
            _OWNER, "patience", patience, minimum=1, hint="Pass 1 or more."
        )
        self.revive = check.check_bool(_OWNER, "revive", revive)
        self.verbose = check.check_choice(
            _OWNER, "verbose", verbose, ("auto", 0, 1, 2), "Pass 0 for silence."
        )
        self.dormant_threshold = dormant_threshold
        if dormant_threshold is not None:
            self.dormant_threshold = check.check_number(
                _OWNER, "dormant_threshold", dormant_threshold, minimum=0.0
            )
        self.seed = seed
        if seed is not None:
            self.seed = check.check_int(_OWNER, "seed", seed, minimum=0)
        self.log_dir = _paths.check_log_dir(_OWNER, log_dir)
        self.layers = layers
        self._choice = LayerChoice(_OWNER, layers)
        # A monitor of the same fit writes all that this callback would.
        self._outlet = Outlet(_OWNER, defers_to="GradientMonitor")
        self._reset()

    def _reset(self) -> None:
        self.trace = Trace([], [], [])
        alone = self._outlet.is_alone
        self._judged = Judge(resolve_rules(list(_RULES)), by_clock=alone)
        self.dead_units: dict[str, Any] = {}
        self.dead_fraction: dict[str, float] = {}
        self.history: dict[str, Any] = {}
        self.blocked: dict[str, Any] = {}
        self.dormant: dict[str, Any] = {}
        self.skipped: dict[str, str] = {}
        self.revived: list = []
        self._counts = UnitCounts(self.threshold, self.patience)
        self._by_gradient: dict = {}
        self._activity = Activity()
        self._measured = MeasuredUnits()
        self._reviver: Any = None
        self._facts: dict = {}
        self._speaks = bool(self.verbose) and self._outlet.is_chief
        self._console = reporter.Guarded(
            ConsoleReporter(int(self._speaks)), type(self).__name__
        )
        self._events: Any = None

    # Keras calls these

    @undone_if_left
    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        model = self._model
        run_info.check_model(_OWNER, model)
        self._choice.check(model, weights=False)
        self._outlet.begin(model)
        self._watch.speaks = self._outlet.is_chief
        self._reset()
        # No gradients are wanted: 0.
        recording = recording_of(model, 0)
        self._watch.start(recording, self.params.get("steps"))
        self._facts = run_info.facts(model, self.params)
        self._watch.guard(self._choose, recording)

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self._events is None:
            # Only now: a monitor behind this callback has begun, too.
            self._events = self._outlet.open(
                self.log_dir,
                self._watch,
                self._watch.recording,
                (EventWriter,),
            )
        self._watch.epoch_begin()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._watch.guard(self._end_epoch, epoch, logs or {})

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._watch.finish(self._finish)

    # The recording calls these

    def on_block(self, block: Any) -> None:
        """Note which layers get no gradient at all."""
        table = self._begin_trace()
        if not len(block.steps):
            return
        self._measured.add_gradients(table, block)
        block = self._choice.block(self._model, table, block)
        block.append_to(
            self.trace, without=("clipped_grad_norm", "clip_threshold")
        )

    def on_measurement(self, measurement: Any) -> None:
        """Take in what one step showed of the activations."""
        self._begin_trace()
        measurement = self._choice.measurement(self._model, measurement)
        self._activity.append_to(self.trace, measurement)
        self._measured.add_outputs(measurement)
        if self._judged.is_due(len(self.trace.activation_steps)):
            self._judge()

    def on_counts(self, counts: Any) -> None:
        """Take in for how many samples each unit was active."""
        wanted = self._choice.counts(self._model, counts)
        for path in self._by_gradient:
            wanted.pop(path, None)
        self._counts.add(wanted)
        self._activity.add_counts(counts)

    def on_unit_counts(self, counts: Any) -> None:
        """Take in in how many steps each unit got a gradient."""
        self._counts.add(
            {
                path: (found, counts.steps)
                for path, found in counts.counts.items()
                if path in self._by_gradient
            }
        )

    def on_left(self) -> None:
        """Close the files: an exception has left the fit."""
        self._deliver("close", self.trace, self.findings)
        self._outlet.close()
        self._let_go()

    # What users call

    @property
    def findings(self) -> list[Finding]:
        """List of `Finding` of the latest fit, in order of their first step."""
        return self._judged.findings

    @property
    def share(self) -> dict[str, Any]:
        """Dict from layer path to the share of active samples per unit."""
        return self._counts.share

    def report(self) -> Report:
        """Judge what was seen so far.

        Returns:
            A `Report`.
        """
        seen = len(self.trace.steps) or self.dead_fraction
        reasons = () if seen else not_judged(self.trace)
        return Report(self.findings, self.trace, not_judged=reasons)

    def summary(self) -> str:
        """Return the table of layers and their dead units, as text."""
        return shown.table(self)

    def plot(self) -> Any:
        """Draw layers x units, the share of active samples of each.

        Returns:
            A matplotlib figure.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        return shown.plot(self)

    # Inside

    def _begin_trace(self) -> Any:
        """Make the trace once the model is known, and return its table."""
        table = self._watch.recording.make_table()
        if not len(self.trace.variables):
            chosen = self._choice.table(self._model, table)
            self.trace = run_info.empty_trace(chosen, self._facts)
        return table

    def _choose(self, recording: Any) -> None:
        """Decide layer by layer how to tell dead units."""
        taken = self._choice.takes(self._model)
        sites = [site for site in recording.sites if id(site.layer) in taken]
        unseen = self._choice.of_paths(self._model, recording.unseen)
        self.skipped.update(unseen)
        outputs, gradients, skipped = choose_methods(sites, self.method)
        self.skipped.update(skipped)
        self._by_gradient = {g.site.path: g for g in gradients}
        if outputs:
            recording.count_active_units()
        if gradients:
            recording.count_active_units(gradients)

    def _end_epoch(self, epoch: int, logs: dict[str, Any] | None) -> None:
        self._watch.recording.flush()
        self._watch.check_records()
        self._find_dormant()
        self._measured.end_epoch()
        counted = self._counts.end_epoch(self._by_output)
        self._activity.end_epoch()
        self._take_over()
        self.trace.append_epoch(epoch, self._watch.step, logs)
        if counted and self.revive:
            self._revive(epoch)
        self._deliver("on_records", self.trace, self._watch.step)
        self._judge()

    @property
    def _by_output(self) -> Any:
        """Units judged by their gradient whose output was seen not zero."""
        return {
            path: seen
            for path, seen in self._measured.active.items()
            if path in self._by_gradient
        }

    def _take_over(self) -> None:
        for path, units in self._counts.dead.items():
            total = len(self._counts.share[path])
            self.dead_units[path] = units
            self.dead_fraction[path] = len(units) / total
            self.history[path] = np.array(self._counts.history[path])
            blocked = self._measured.blocked(
                path, self._counts.share[path], path in self._by_gradient
            )
            if blocked is None:
                self.blocked.pop(path, None)
            else:
                self.blocked[path] = blocked

    def _deliver(self, what: str, *arguments: Any) -> None:
        for writer in self._events or ():
            writer.deliver(what, *arguments)

    def _find_dormant(self) -> None:
        if self.dormant_threshold is None:
            return
        for path, score in self._measured.scores().items():
            self.dormant[path] = np.flatnonzero(score <= self.dormant_threshold)

    def _revive(self, epoch: int) -> None:
        # Through `model`: on JAX that brings the weights back first.
        model = self.model
        if self._reviver is None:
            self._reviver = Reviver(model, self.seed)
        revived = self._reviver.revive(self.dead_units, epoch)
        for path, units in self.dead_units.items():
            if isinstance(revived.get(path), int):
                self._counts.forget(path, units)
        self.revived.append(revived)

    def _repr_html_(self) -> str:
        """Return what a notebook shows of it."""
        from keras_gradguard.reporting.notebook import text_html

        return text_html(shown.table(self), self.findings)

    def _judge(self) -> None:
        records = len(self.trace.activation_steps)
        _, fresh = self._judged.look(self.trace, records)
        if fresh and "GradientMonitor" not in self._watch.recording.owners:
            self._console.deliver("on_findings", fresh, self.trace)

    def _finish(self) -> None:
        if self._speaks:
            shown.print_summary(self, everything=self.verbose == 2)
        self._deliver("close", self.trace, self.findings)
        self._outlet.close()
