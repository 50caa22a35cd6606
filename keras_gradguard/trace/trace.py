"""What was recorded of a run: NumPy arrays, bounded, saved as one file.

Longer than 350 lines, since one class is what users call: most of it says what
its methods take and return, and each passes on to a table.
"""

import contextlib
import copy
import os
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_gradguard import _validation
from keras_gradguard._text import count
from keras_gradguard._validation import check_choice
from keras_gradguard.trace import file
from keras_gradguard.trace import frames
from keras_gradguard.trace.activations import ActivationMeasurements
from keras_gradguard.trace.blocks import Blocks
from keras_gradguard.trace.epochs import Epochs
from keras_gradguard.trace.layers import TraceVariables
from keras_gradguard.trace.records import GradientRecords
from keras_gradguard.trace.run_info import RunInfo
from keras_gradguard.trace.series import GRADIENT_SERIES
from keras_gradguard.trace.series import SERIES
from keras_gradguard.trace.tables import TraceTables
from keras_gradguard.trace.through_time import TimeGradients
from keras_gradguard.trace.weights import WeightMeasurements

_MIB = 1024 * 1024
_CLOSE = 1e-4


class Trace:
    """Record of the gradients and weights of a run, layer by layer.

    A trace is plain data: it needs neither Keras nor a backend, and the rules
    of `keras_gradguard.diagnose` judge nothing else. It stays within
    `capacity_bytes` however long the run: the newest half of the records is
    kept at full resolution, older ones are thinned out evenly. The first and
    the last record, the steps of findings and those that led to the first
    non-finite gradient are never dropped.

    A variable without a gradient (frozen, unused) is NaN in every record. To
    tell that from a gradient that *became* NaN, pass `has_gradient`; without
    it, a variable counts as having a gradient once a value other than NaN was
    seen.

    Args:
        layers: Sequence of L str. Layer paths in forward order.
        variables: Sequence of V str. Variable paths in forward order.
        owners: Sequence of V int. Index into `layers` of each variable.
        capacity_bytes: Int. Memory for records and weight measurements; at
            least 512 records are kept whatever it is. Larger keeps more old
            steps. Defaults to 1 MiB.
        meta: Dict of what JSON can hold: `"layer_info"` (by layer path),
            `"optimizer"`, `"epochs_planned"`, `"steps_per_epoch"`, ... All
            keys are optional. Defaults to none.
        has_gradient: Bool array (V,). Defaults to being inferred.
        sizes: Int array (V,). Entries per variable, the weights of
            `zero_fraction` of a layer. Defaults to equal weights.

    Attributes:
        meta: The dict passed in.
        logs: Dict of str to float64 array (E,). Logs of each epoch.
        found: List of dicts. Findings remembered with `remember`.

    Raises:
        ValueError: If `owners`, `has_gradient` or `sizes` do not fit.

    Example:
    >>> import numpy as np
    >>> from keras_gradguard import Trace
    >>> trace = Trace(["a", "b"], ["a/kernel", "b/kernel"], [0, 1])
    >>> trace.append(np.arange(3), np.array([[3, 4], [0, 1], [6, 8]]))
    >>> trace.global_grad_norm
    array([ 5.,  1., 10.])
    >>> trace.get("grad_norm").shape
    (3, 2)
    """

    def __init__(
        self,
        layers: Sequence[str],
        variables: Sequence[str],
        owners: npt.ArrayLike,
        *,
        capacity_bytes: int = _MIB,
        meta: dict[str, Any] | None = None,
        has_gradient: npt.ArrayLike | None = None,
        sizes: npt.ArrayLike | None = None,
    ) -> None:
        self.meta = dict(_validation.check_dict("Trace", "meta", meta))
        capacity_bytes = _validation.check_int(
            "Trace", "capacity_bytes", capacity_bytes, minimum=0
        )
        self.found: list = []
        self._variables = TraceVariables(
            layers, variables, owners, has_gradient, sizes
        )
        self.layers = self._variables.layers
        self.variables = self._variables.paths
        self.owners = self._variables.owners
        self._tables = TraceTables(
            len(self.layers), len(self.variables), capacity_bytes
        )
        self._records = GradientRecords(self._tables, self._variables)
        self._weights = WeightMeasurements(self._tables, self._variables)
        self._activations = ActivationMeasurements(self._tables)
        self._time_gradients = TimeGradients(self._tables)
        self._epochs = Epochs(self._tables)
        self._derived: Any = None

    # Writing

    def append(
        self,
        steps: npt.ArrayLike,
        grad_norm: npt.ArrayLike,
        clipped_grad_norm: npt.ArrayLike | None = None,
        skipped: npt.ArrayLike | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        """Append a block of n records in time order.

        Args:
            steps: Int array (n,). `optimizer.iterations` before each update.
                A step may repeat when a loss-scale optimizer skips updates.
            grad_norm: Float array (n, V). NaN where there is no gradient.
            clipped_grad_norm: Float array (n,). Global norm after clipping;
                NaN or None where it equals the global norm.
            skipped: Bool array (n,). Updates that were not applied. Defaults
                to none.
            extra: Dict of name to float array (n,), e.g. `"loss"`,
                `"learning_rate"`, `"clip_threshold"`. A new name starts as NaN
                for all earlier records.

        Raises:
            ValueError: If the shapes do not fit.
        """
        self._records.append(
            steps, grad_norm, clipped_grad_norm, skipped, extra
        )

    def append_updates(
        self,
        steps: npt.ArrayLike,
        weight_norm: npt.ArrayLike,
        update_norm: npt.ArrayLike | None = None,
        zero_fraction: npt.ArrayLike | None = None,
        distance: npt.ArrayLike | None = None,
        epoch_change: npt.ArrayLike | None = None,
    ) -> None:
        """Append m measurements of the weights, at a coarser cadence.

        Args:
            steps: Int array (m,). Steps at which was measured.
            weight_norm: Float array (m, V). L2 norm before the update.
            update_norm: Float array (m, V). L2 norm of the weights after minus
                before this one update. NaN where not measured, as below.
            zero_fraction: Float array (m, V). Share of weights that are
                exactly zero.
            distance: Float array (m, V). L2 norm of the weights minus those
                at the start of the fit.
            epoch_change: Float array (m, V). L2 norm of the weights minus
                those at the end of the epoch before.

        Raises:
            ValueError: If the shapes do not fit.
        """
        self._weights.append(
            steps,
            weight_norm,
            update_norm,
            zero_fraction,
            distance,
            epoch_change,
        )

    def append_activations(
        self,
        step: int,
        sites: Sequence[str] | None = None,
        activations: dict[str, Any] | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        """Append one measurement of activations and of the batch's data.

        Args:
            step: Int. The step at which was measured.
            sites: Sequence of A str, paths of the layers measured; the same
                in each call. Defaults to none.
            activations: Dict from names of `ACTIVATION_SERIES` to float arrays
                (A,). What is absent is NaN.
            data: Dict from names of `DATA_SERIES` to floats.

        Raises:
            ValueError: If a name is unknown, or `sites` changes.
        """
        self._activations.append(step, sites, activations, data)

    def append_time_gradients(
        self,
        step: int,
        layers: Sequence[str],
        lengths: npt.ArrayLike,
        norms: npt.ArrayLike,
    ) -> None:
        """Append one measurement of gradients through time.

        Args:
            step: Int. The step at which was measured.
            layers: Sequence of R str, paths of recurrent layers; the same in
                each call.
            lengths: Int array (R,). Time steps that each went through, 0
                where it was not called.
            norms: Float array (R, 64). Norms at the time steps that are kept:
                all of them up to 64, else 64 evenly spaced ones, the first and
                the last included. NaN behind them.

        Raises:
            ValueError: If the shapes do not fit, or `layers` changes.
        """
        self._time_gradients.append(step, layers, lengths, norms)

    def append_epoch(
        self, epoch: int, step: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Append the logs of an epoch.

        Args:
            epoch: Int. Its number, from 0.
            step: Int. The last step of the epoch.
            logs: Dict of floats. What is no number is left out.
        """
        self._epochs.append(epoch, step, logs)

    def pin(self, steps: npt.ArrayLike) -> None:
        """Protect these steps from being thinned out."""
        steps = _validation.check_array("Trace.pin", "steps", steps, np.int64)
        self._tables.pin(steps)

    def remember(self, findings: Iterable[Any]) -> None:
        """Keep what was found, and its steps, when records are thinned out.

        Call it with all findings so far; it replaces what was remembered.
        `diagnose` falls back on them for the steps that a thinned trace no
        longer holds, so that a saved trace gives the findings of the live run.

        Args:
            findings: List of `Finding`.
        """
        findings = list(findings) if np.iterable(findings) else [findings]
        if not all(hasattr(finding, "to_dict") for finding in findings):
            _validation.fail(
                TypeError,
                "Trace.remember",
                "findings",
                "a list of Finding",
                findings,
                "Pass all that were found so far.",
            )
        self._remember([finding.to_dict() for finding in findings])

    def _remember(self, found: list) -> None:
        self.found = found
        steps = [f[key] for f in found for key in ("first_step", "last_step")]
        self._tables.of_findings = np.unique(np.array(steps, np.int64))

    def set_has_gradient(self, mask: npt.ArrayLike) -> None:
        """Say which variables get a gradient, for the whole run.

        Args:
            mask: Bool array (V,).
        """
        mask = _validation.check_array(
            "Trace.set_has_gradient", "mask", mask, bool, self.variables.shape
        )
        self._variables.say_gradient(mask)

    # Reading

    @property
    def has_gradient(self) -> np.ndarray:
        """Bool array (V,): variables that get a gradient."""
        return self._variables.has_gradient

    @property
    def sizes(self) -> np.ndarray:
        """Float array (V,): entries per variable, NaN where unknown."""
        if self._variables.sizes is None:
            return np.full(len(self.variables), np.nan)
        return self._variables.sizes

    @property
    def steps(self) -> np.ndarray:
        """Int array (T,): optimizer step of each record."""
        return self._records.steps

    @property
    def skipped(self) -> np.ndarray:
        """Bool array (T,): updates that were not applied."""
        return self._records.skipped

    @property
    def global_grad_norm(self) -> np.ndarray:
        """Float64 array (T,): gradient norm over all variables."""
        return self.global_norms(0, len(self._records))

    @property
    def clipped_grad_norm(self) -> np.ndarray:
        """Float64 array (T,): global norm after clipping."""
        return self.global_norms(0, len(self._records), clipped=True)

    @property
    def clipped(self) -> np.ndarray:
        """Bool array (T,): updates whose gradient was clipped."""
        return self.was_clipped(0, len(self._records))

    @property
    def extra(self) -> dict[str, np.ndarray]:
        """Dict of name to float32 array (T,): further series per record."""
        return self._records.extra

    @property
    def update_steps(self) -> np.ndarray:
        """Int array (M,): steps at which the weights were measured."""
        return self._weights.steps

    @property
    def sites(self) -> np.ndarray:
        """Str array (A,): paths of the layers whose outputs are measured.

        In the order of the forward pass; empty until they are known.
        """
        return self._activations.sites

    @property
    def activation_steps(self) -> np.ndarray:
        """Int array (K,): steps at which activations were measured."""
        return self._activations.steps

    def activation(self, name: str) -> np.ndarray:
        """Return a series of the activations.

        Over one batch each: `"mean"` and `"std"` of a layer's outputs,
        `"zero_fraction"` of exact zeros, `"saturated_fraction"` of outputs
        where the activation's slope is below a hundredth of its largest,
        `"inactive_fraction"` of units that are zero on the whole batch,
        `"input_std"` of the activation's inputs; and `"dead_fraction"` of
        units that were zero in all measurements of late.

        Args:
            name: Str. One of `keras_gradguard.trace.ACTIVATION_SERIES`.

        Returns:
            Float32 array (K, A), NaN where not measured.

        Raises:
            ValueError: If `name` is unknown.
        """
        return self._activations.activation(name)

    @property
    def recurrent_layers(self) -> np.ndarray:
        """Str array (R,): layers whose gradients through time were measured."""
        return self._time_gradients.shown

    def time_gradients(
        self, layer: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the gradients through time of a recurrent layer.

        That is the norm of the gradient of the loss with respect to the state
        that the layer hands on at a time step (of an LSTM `h` and `c` as one
        vector), over the whole batch. Time steps count in the order in which
        the layer goes through them. At one that is masked in a sample the
        sample gives 0; it is NaN where it is masked in all.

        Args:
            layer: Str. One of `recurrent_layers`.

        Returns:
            Tuple of int array (K,), the optimizer's steps at which was
            measured; int array (K, B), the time steps, at most 64 of them with
            the first and the last, -1 where a batch had fewer; and float32
            array (K, B), the norms.

        Raises:
            ValueError: If there is no such layer.
        """
        return self._time_gradients.of(layer)

    def data(self, name: str) -> np.ndarray:
        """Return a series of the batches' data, at `activation_steps`.

        `"loss"` of the batch; minimum, maximum, mean and standard deviation of
        what enters the first layer with weights (`input_`), of the targets
        (`target_`) and of the model's outputs (`output_`); the smallest and
        largest standard deviation of an input feature over the batch
        (`feature_scale_`); the share of targets that are no integers
        (`target_fraction`), the largest distance of a target row's sum from 1
        (`target_row_sum`), the root mean square of the standard deviations
        of the targets' columns (`target_spread`), the largest of an output
        over the batch (`output_spread`), how many `samples` the batch had,
        the correlation of outputs with targets (`output_correlation`), the
        smallest index that an `Embedding` looks up (`index_min`) and how far
        the largest lies beyond the last row of its table (`index_excess`).
        Where samples are weighted, the mean weight of the targets below and
        above the mean target (`weight_of_low`, `weight_of_high`), and the
        share of those above (`share_of_high`).
        In images and sequences of up to 4096 numbers each place is a column.

        Args:
            name: Str. One of `keras_gradguard.trace.DATA_SERIES`.

        Returns:
            Float32 array (K,), NaN where not measured.

        Raises:
            ValueError: If `name` is unknown.
        """
        return self._activations.data(name)

    @property
    def epochs(self) -> np.ndarray:
        """Int array (E,): numbers of the epochs that ended."""
        return self._epochs.numbers

    @property
    def epoch_steps(self) -> np.ndarray:
        """Int array (E,): last step of each epoch."""
        return self._epochs.last_steps

    @property
    def logs(self) -> dict[str, np.ndarray]:
        """Dict of name to float64 array (E,): logs of each epoch."""
        return self._epochs.logs

    @property
    def thinned(self) -> bool:
        """Whether records were dropped to stay within the capacity."""
        return self._tables.records.count < self._tables.records.seen

    @property
    def records_seen(self) -> int:
        """Number of records ever appended, dropped ones included."""
        return self._tables.records.seen

    @property
    def nbytes(self) -> int:
        """Bytes that the recorded arrays occupy."""
        return self._tables.nbytes

    def get(self, name: str, by: str = "layer") -> np.ndarray:
        """Return a series on the time axis `steps`.

        Args:
            name: Str. One of `keras_gradguard.trace.SERIES`.
            by: Str. `"layer"` or `"variable"`.

        Returns:
            Float32 array (T, L) or (T, V), NaN where not measured.

        Raises:
            ValueError: If `name` or `by` is unknown.
        """
        _check_series(name, by)
        if name not in GRADIENT_SERIES:
            return self._weights.series_on(self.steps, name, by)
        if by == "variable":
            return self._records.by_variable(name)
        return self.layer_norms(0, len(self._records), name)

    def measured(
        self, name: str, by: str = "layer", since: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a series at the steps where it was measured.

        Args:
            name: Str. As for `get`; gradients are measured at each record.
            by: Str. `"layer"` or `"variable"`.
            since: Int. Leaves out measurements up to and with this step.
                Defaults to none left out.

        Returns:
            Int array (M,) of steps and float32 array (M, L) or (M, V).

        Raises:
            ValueError: If `name` or `by` is unknown.
        """
        _check_series(name, by)
        if name in GRADIENT_SERIES:
            start = 0
            if since is not None:
                since = _validation.check_int("Trace.measured", "since", since)
                start = int(np.searchsorted(self.steps, since, side="right"))
            if by == "variable":
                values = self._records.by_variable(name)[start:]
            else:
                values = self.layer_norms(start, len(self._records), name)
            return self.steps[start:], values
        return self._weights.series(name, by, since)

    def global_norms(
        self, first: int, last: int, clipped: bool = False
    ) -> np.ndarray:
        """Return global norms of records `first` to `last`, float64.

        Args:
            first: Int. Index of the first record.
            last: Int. Index after the last record.
            clipped: Bool. After clipping instead of before it.
        """
        return self._records.global_norms(first, last, clipped)

    def was_clipped(self, first: int, last: int) -> np.ndarray:
        """Return whether records `first` to `last` were clipped, bool.

        The norms before and after are computed apart, so equal ones differ in
        the last digits: a ten-thousandth less counts.

        Args:
            first: Int. Index of the first record.
            last: Int. Index after the last record.
        """
        before = self.global_norms(first, last)
        after = self.global_norms(first, last, clipped=True)
        return after < before * (1 - _CLOSE)

    def layer_norms(
        self, first: int, last: int, name: str = "grad_norm"
    ) -> np.ndarray:
        """Return `get(name)[first:last]` without computing the rest.

        Args:
            first: Int. Index of the first record.
            last: Int. Index after the last record.
            name: Str. A series that is recorded in each step.
        """
        return self._records.by_layer(first, last, name)

    def blocks(self) -> Blocks:
        """Return summaries of the run in blocks of equally many records.

        Returns:
            A `keras_gradguard.trace.blocks.Blocks`: what the rules judge. It is
            computed as records come, so thinning does not change it.
        """
        return self.derive(_read_blocks)

    def without(self, leaves_out: Callable[[str], bool]) -> "Trace":
        """Return a view in which some layers have no gradient.

        It shares what was recorded. Activations of these layers are NaN.

        Args:
            leaves_out: Callable that takes the path of a layer.
        """
        view = copy.copy(self)
        hidden = np.array([leaves_out(str(name)) for name in self.layers], bool)
        sites = np.array([leaves_out(str(name)) for name in self.sites], bool)
        view._variables = self._variables.without(hidden)
        view._records = self._records.of(view._variables)
        view._weights = WeightMeasurements(self._tables, view._variables)
        view._activations = self._activations.without(sites)
        view._time_gradients = self._time_gradients.without(
            filter(leaves_out, self.recurrent_layers.tolist())
        )
        view._derived = {}
        return view

    def derive(self, function: Callable[[Any], Any]) -> Any:
        """Return `function(self)`, computed once while `unchanged` is open.

        Args:
            function: Callable that takes a trace.
        """
        if self._derived is None:
            return function(self)
        if function not in self._derived:
            self._derived[function] = function(self)
        return self._derived[function]

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """Promise that the trace stays as it is, so that `derive` remembers.

        What it remembers is forgotten at the end.
        """
        if self._derived is not None:
            yield
            return
        self._derived = {}
        try:
            yield
        finally:
            self._derived = None

    def class_of(self, layer: str) -> str:
        """Return the class name of a layer path, "" if it is not known."""
        return self.info(layer).get("class") or ""

    @property
    def run(self) -> RunInfo:
        """`RunInfo`: what `meta` knows of model, optimizer, data and plan."""
        return self.derive(_read_run)

    def info(self, layer: str) -> dict[str, Any]:
        """Return what `meta` knows of a layer path, {} if nothing."""
        return self.run.info(layer)

    def epoch_of(self, step: int) -> int | None:
        """Return the epoch that a step belongs to, None if unknown."""
        step = _validation.check_int("Trace.epoch_of", "step", step)
        if len(self._epochs):
            return self._epochs.of(step)
        per_epoch = self.run.steps_per_epoch
        if per_epoch and len(self.steps):
            return int(step - self.steps[0]) // per_epoch
        return None

    # Files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trace as one compressed file, atomically.

        Args:
            path: Str or path. The name is used as it is; `.npz` is customary.

        Raises:
            OSError: If the file cannot be written.
            ValueError: If `meta` holds what JSON cannot.
        """
        file.save(self, path)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], max_bytes: int | None = None
    ) -> "Trace":
        """Read a trace that `save` wrote.

        The file may come from anywhere: nothing in it is run, and it is
        refused whole if any part of it is not as it must be.

        Args:
            path: Str or path: the file, or the directory of a run, which is
                the `log_dir` of a `GradientMonitor`.
            max_bytes: Int. What the file may unpack to in memory. Defaults to
                64 MiB, or fifty times its size if that is more.

        Returns:
            The trace, every array equal bit by bit.

        Raises:
            OSError: If the file cannot be read.
            ValueError: If it is no trace, is damaged, or newer than this
                package.
        """
        return file.load(cls, path, max_bytes)

    def to_dataframe(self, long: bool = False) -> Any:
        """Return the record as a pandas table.

        By default it has one row per record, and the steps as its index.
        Columns are `global_grad_norm`, `clipped_grad_norm`, `skipped`, the
        names of `extra`, and `<series>/<layer path>` for each layer and each
        of `keras_gradguard.trace.SERIES`, as in `get`: `grad_norm/dense`,
        `weight_norm/dense`, `update_ratio/dense`. They are NaN in records in
        which nothing was measured.

        A long table has one row per number that was measured, and holds all of
        the record. Its columns are `step`, `series`, `layer` ("" where the
        number belongs to none), `time_step` (-1 but for gradients through
        time) and `value`. The series are those above, those of `activation`,
        `data/<name>` for those of `data`, and `time_gradient`.

        Args:
            long: Bool. One row per number. Defaults to False.

        Returns:
            `pandas.DataFrame`.

        Raises:
            ImportError: If pandas is not installed.
        """
        long = _validation.check_bool("Trace.to_dataframe", "long", long)
        return frames.to_dataframe(self, long)

    def plot(
        self,
        what: str = "run",
        layers: Sequence[str] | None = None,
        findings: Sequence[Any] = (),
    ) -> Any:
        """Draw the record.

        Args:
            what: `"run"`: loss, the gradient norms as a map layers by steps,
                norms and update ratios per layer, weights over epochs.
                `"weights"`: the weights of each layer over the epochs, alone.
            layers: List of layer paths to show. Defaults to all.
            findings: List of `Finding` to mark, as in
                `trace.plot(findings=keras_gradguard.diagnose(trace).findings)`.
                Only `"run"` marks them. Defaults to none.

        Returns:
            A `matplotlib.figure.Figure`. Notebooks show it as it is;
            `figure.savefig("x.png")` saves it.

        Raises:
            ImportError: If matplotlib is not installed.
            TypeError: If `findings` holds anything but findings.
            ValueError: If `what` or a layer is unknown.
        """
        from keras_gradguard.reporting import plots

        return plots.plot_of(self, what, layers, findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the trace as lists and dicts that JSON can hold.

        NaN becomes None; infinities become the strings `"Infinity"` and
        `"-Infinity"`.
        """
        return file.to_dict(self)

    def __len__(self) -> int:
        return len(self._records)

    def __bool__(self) -> bool:
        # An empty trace is a trace, too.
        return True

    def __getitem__(self, name: str) -> np.ndarray:
        """`trace[name]` is `trace.get(name)`."""
        return self.get(name)

    def _repr_html_(self) -> str:
        """Return what a notebook shows of it."""
        from keras_gradguard.reporting.notebook import trace_html

        return trace_html(self)

    def __repr__(self) -> str:
        return (
            f"<Trace: {count(len(self), 'record')} of "
            f"{count(len(self.layers), 'layer')}, "
            f"{count(len(self.epochs), 'epoch')}>"
        )


def _read_run(trace: Trace) -> RunInfo:
    return RunInfo.of(trace.meta)


def _read_blocks(trace: Trace) -> Blocks:
    return Blocks.of(trace._tables.blocks)


def _check_series(name: str, by: str) -> None:
    check_choice("Trace.get", "name", name, SERIES)
    check_choice("Trace.get", "by", by, ("layer", "variable"))
