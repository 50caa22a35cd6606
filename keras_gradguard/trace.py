"""What was recorded of a run: NumPy arrays, bounded, saved as one file."""

import contextlib

import numpy as np

from keras_gradguard import _blocks
from keras_gradguard import _trace_file
from keras_gradguard._layer_norms import LayerSums
from keras_gradguard._layer_norms import squares
from keras_gradguard._series import ACTIVATION_SERIES
from keras_gradguard._series import DATA_SERIES
from keras_gradguard._series import UPDATE_SERIES
from keras_gradguard._trace_tables import TraceTables

_MIB = 1024 * 1024
SERIES = ("grad_norm", "update_ratio", *UPDATE_SERIES)


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
        sites: Str array (A,). Paths of the layers whose outputs are measured,
            in the order of the forward pass; empty until they are known.
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
        layers,
        variables,
        owners,
        *,
        capacity_bytes=_MIB,
        meta=None,
        has_gradient=None,
        sizes=None,
    ):
        self.layers = np.array(list(layers), dtype=str)
        self.variables = np.array(list(variables), dtype=str)
        self.owners = np.asarray(list(owners), np.int64)
        self.meta = dict(meta or {})
        self.found = []
        self.sites = np.zeros(0, dtype=str)
        self._check_owners()
        count = len(self.variables)
        self._sizes = self._per_variable("sizes", sizes, np.float64)
        self._seen_gradient = np.zeros(count, bool)
        self._has_gradient = None
        if has_gradient is not None:
            self.set_has_gradient(has_gradient)
        self._extra = []
        self._derived = None
        self._ratio = (None, None)
        self._sums = LayerSums(self.owners, len(self.layers))
        self._tables = TraceTables(len(self.layers), count, capacity_bytes)

    # Writing

    def append(
        self, steps, grad_norm, clipped_grad_norm=None, skipped=None, extra=None
    ):
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
        steps = np.atleast_1d(np.asarray(steps))
        grad_norm = np.asarray(grad_norm, np.float32)
        rows = len(steps)
        if grad_norm.shape != (rows, len(self.variables)):
            raise ValueError(
                "Trace.append: `grad_norm` must be of shape (steps, variables)"
                f" = {(rows, len(self.variables))}. Received: grad_norm of "
                f"shape {grad_norm.shape}. Pass one row per step."
            )
        if not rows:
            return
        values = {"step": steps, "grad_norm": grad_norm}
        if clipped_grad_norm is not None:
            values["clipped"] = np.asarray(clipped_grad_norm, np.float32)
        if skipped is not None:
            values["skipped"] = np.asarray(skipped, bool)
        for name, series in (extra or {}).items():
            if name not in self._extra:
                self._extra.append(name)
                self._tables.records.add(f"extra/{name}")
            values[f"extra/{name}"] = np.asarray(series, np.float32)
        for name, array in values.items():
            if len(array) != rows:
                raise ValueError(
                    f"Trace.append: `{name}` must be of length {rows}, one "
                    f"value per step. Received: length {len(array)}."
                )
        if self._has_gradient is None and not self._seen_gradient.all():
            self._seen_gradient |= ~np.isnan(grad_norm).all(axis=0)
        _blocks.extend(self, self._tables.blocks, values)
        self._tables.append_records(rows, values, self.has_gradient)

    def append_updates(
        self,
        steps,
        weight_norm,
        update_norm=None,
        zero_fraction=None,
        distance=None,
        epoch_change=None,
    ):
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
        steps = np.atleast_1d(np.asarray(steps))
        given = dict(
            zip(
                UPDATE_SERIES,
                (
                    weight_norm,
                    update_norm,
                    zero_fraction,
                    distance,
                    epoch_change,
                ),
                strict=True,
            )
        )
        shape = (len(steps), len(self.variables))
        values = {"step": steps}
        for name, series in given.items():
            if series is None:
                continue
            values[name] = np.asarray(series, np.float32)
            if values[name].shape != shape:
                raise ValueError(
                    f"Trace.append_updates: `{name}` must be of shape (steps, "
                    f"variables) = {shape}. Received: {name} of shape "
                    f"{values[name].shape}. Pass one row per step."
                )
        self._tables.append_updates(len(steps), values)

    def append_activations(self, step, sites=None, activations=None, data=None):
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
        sites = [str(site) for site in (() if sites is None else sites)]
        if len(sites) and not len(self.sites):
            self.sites = np.array(sites, dtype=str)
            self._tables.add_sites(len(sites))
        if len(sites) and sites != self.sites.tolist():
            raise ValueError(
                "Trace.append_activations: `sites` must be the same in each "
                f"call. Received: {len(sites)} sites that differ from the "
                f"{len(self.sites)} before. Start another trace."
            )
        values = {"step": [step]}
        for name, series in (activations or {}).items():
            _check_name("Trace.append_activations", name, ACTIVATION_SERIES)
            values[name] = np.asarray(series, np.float32)[np.newaxis]
        for name, number in (data or {}).items():
            _check_name("Trace.append_activations", name, DATA_SERIES)
            values[f"data/{name}"] = [number]
        self._tables.append_activations(1, values)

    def append_epoch(self, epoch, step, logs=None):
        """Append the logs of an epoch.

        Args:
            epoch: Int. Its number, from 0.
            step: Int. The last step of the epoch.
            logs: Dict of floats. What is no number is left out.
        """
        values = {"epoch": [epoch], "step": [step]}
        for name, value in (logs or {}).items():
            try:
                number = float(value)
            except (TypeError, ValueError):
                continue
            values[f"log/{name}"] = [number]
        self._tables.append_epoch(values)

    def pin(self, steps):
        """Protect these steps from being thinned out."""
        self._tables.pin(steps)

    def remember(self, findings):
        """Keep what was found, and its steps, when records are thinned out.

        Call it with all findings so far; it replaces what was remembered.
        `diagnose` falls back on them for the steps that a thinned trace no
        longer holds, so that a saved trace gives the findings of the live run.

        Args:
            findings: List of `Finding`.
        """
        self.found = [finding.to_dict() for finding in findings]
        steps = [
            f[key] for f in self.found for key in ("first_step", "last_step")
        ]
        self._tables.of_findings = np.unique(np.array(steps, np.int64))

    def set_has_gradient(self, mask):
        """Say which variables get a gradient, for the whole run.

        Args:
            mask: Bool array (V,).
        """
        self._has_gradient = self._per_variable("has_gradient", mask, bool)

    # Reading

    @property
    def has_gradient(self):
        """Bool array (V,): variables that get a gradient."""
        if self._has_gradient is not None:
            return self._has_gradient
        return self._seen_gradient

    @property
    def sizes(self):
        """Float array (V,): entries per variable, NaN where unknown."""
        if self._sizes is None:
            return np.full(len(self.variables), np.nan)
        return self._sizes

    @property
    def steps(self):
        """Int array (T,): optimizer step of each record."""
        return self._tables.records.get("step")

    @property
    def skipped(self):
        """Bool array (T,): updates that were not applied."""
        return self._tables.records.get("skipped")

    @property
    def global_grad_norm(self):
        """Float64 array (T,): gradient norm over all variables."""
        return self.global_norms(0, self._tables.records.count)

    @property
    def clipped_grad_norm(self):
        """Float64 array (T,): global norm after clipping."""
        return self.global_norms(0, self._tables.records.count, clipped=True)

    @property
    def extra(self):
        """Dict of name to float32 array (T,): further series per record."""
        return {n: self._tables.records.get(f"extra/{n}") for n in self._extra}

    @property
    def update_steps(self):
        """Int array (M,): steps at which the weights were measured."""
        return self._tables.updates.get("step")

    @property
    def activation_steps(self):
        """Int array (K,): steps at which activations were measured."""
        return self._tables.activations.get("step")

    def activation(self, name):
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
        _check_name("Trace.activation", name, ACTIVATION_SERIES)
        return self._tables.activation_series(name)

    def data(self, name):
        """Return a series of the batches' data, at `activation_steps`.

        `"loss"` of the batch; minimum, maximum, mean and standard deviation of
        what enters the first layer with weights (`input_`), of the targets
        (`target_`) and of the model's outputs (`output_`); the smallest and
        largest standard deviation of an input feature over the batch
        (`feature_scale_`); the share of targets that are no integers
        (`target_fraction`), the largest distance of a target row's sum from 1
        (`target_row_sum`), the largest standard deviation of an output
        over the batch (`output_spread`), how many `samples` the batch had and
        the correlation of outputs with targets (`output_correlation`).

        Args:
            name: Str. One of `keras_gradguard.trace.DATA_SERIES`.

        Returns:
            Float32 array (K,), NaN where not measured.

        Raises:
            ValueError: If `name` is unknown.
        """
        _check_name("Trace.data", name, DATA_SERIES)
        return self._tables.activations.get(f"data/{name}")

    @property
    def epochs(self):
        """Int array (E,): numbers of the epochs that ended."""
        return self._tables.epochs.get("epoch")

    @property
    def epoch_steps(self):
        """Int array (E,): last step of each epoch."""
        return self._tables.epochs.get("step")

    @property
    def logs(self):
        """Dict of name to float64 array (E,): logs of each epoch."""
        names = [n for n in self._tables.epochs.names if n.startswith("log/")]
        return {name[4:]: self._tables.epochs.get(name) for name in names}

    @property
    def thinned(self):
        """Whether records were dropped to stay within the capacity."""
        return self._tables.records.count < self._tables.records.seen

    @property
    def records_seen(self):
        """Number of records ever appended, dropped ones included."""
        return self._tables.records.seen

    @property
    def nbytes(self):
        """Bytes that the recorded arrays occupy."""
        return self._tables.nbytes

    def get(self, name, by="layer"):
        """Return a series on the time axis `steps`.

        Args:
            name: Str. One of `keras_gradguard.trace.SERIES`.
            by: Str. `"layer"` or `"variable"`.

        Returns:
            Float32 array (T, L) or (T, V), NaN where not measured.

        Raises:
            ValueError: If `name` or `by` is unknown.
        """
        if name == "grad_norm":
            self._check_series(name, by)
            if by == "variable":
                return self._tables.records.get("grad_norm")
            return self.layer_norms(0, self._tables.records.count)
        steps, values = self.measured(name, by)
        out = np.full((len(self.steps), values.shape[1]), np.nan, np.float32)
        # A step repeats when its update was skipped; the last one was real.
        at = np.searchsorted(self.steps, steps, side="right") - 1
        hit = at >= 0
        hit[hit] = self.steps[at[hit]] == steps[hit]
        at, values = at[hit], values[hit]
        out[at] = values
        # The last step of an epoch may be measured within and after it.
        for i in np.flatnonzero(at[1:] == at[:-1])[::-1]:
            out[at[i]] = np.where(np.isnan(values[i]), out[at[i]], values[i])
        return out

    def measured(self, name, by="layer", since=None):
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
        self._check_series(name, by)
        if name == "grad_norm":
            return self.steps, self.get(name, by)
        steps, start = self.update_steps, 0
        if since is not None:
            start = int(np.searchsorted(steps, since, side="right"))
        if name == "update_ratio":
            return steps[start:], self._update_ratio(by, start)
        if by == "variable":
            return steps[start:], self._tables.update_series(name, start)
        return steps[start:], self._update_by_layer(name, start)

    def global_norms(self, first, last, clipped=False):
        """Return global norms of records `first` to `last`, float64.

        Args:
            first: Int. Index of the first record.
            last: Int. Index after the last record.
            clipped: Bool. After clipping instead of before it.
        """
        part = self._tables.records.get("grad_norm")[first:last]
        norms = np.sqrt(squares(part, self.has_gradient).sum(axis=1))
        if not clipped:
            return norms
        after = self._tables.records.get("clipped")[first:last].astype(
            np.float64
        )
        return np.where(np.isnan(after), norms, after)

    def layer_norms(self, first, last):
        """Return `get("grad_norm")[first:last]` without computing the rest."""
        part = self._tables.records.get("grad_norm")[first:last]
        return self._sums.grad_norm(part, self.has_gradient)

    def blocks(self):
        """Return summaries of the run in blocks of equally many records.

        Returns:
            A `keras_gradguard._blocks.Blocks`: what the rules judge. It is
            computed as records come, so thinning does not change it.
        """
        return self.derive(_read_blocks)

    def derive(self, function):
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
    def unchanged(self):
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

    def class_of(self, layer):
        """Return the class name of a layer path, "" if it is not known."""
        return self.info(layer).get("class") or ""

    def info(self, layer):
        """Return what `meta` knows of a layer path, {} if nothing."""
        infos = self.meta.get("layer_info")
        found = infos.get(str(layer)) if isinstance(infos, dict) else None
        return found if isinstance(found, dict) else {}

    def epoch_of(self, step):
        """Return the epoch that a step belongs to, None if unknown."""
        ends = self.epoch_steps
        if len(ends):
            at = int(np.searchsorted(ends, step))
            if at < len(ends):
                return int(self.epochs[at])
            return int(self.epochs[-1]) + 1
        per_epoch = self.meta.get("steps_per_epoch")
        if per_epoch and len(self.steps):
            return int(step - self.steps[0]) // int(per_epoch)
        return None

    # Files

    def save(self, path):
        """Write the trace as one compressed file, atomically.

        Args:
            path: Str or path. The name is used as it is; `.npz` is customary.

        Raises:
            OSError: If the file cannot be written.
            ValueError: If `meta` holds what JSON cannot.
        """
        _trace_file.save(self, path)

    @classmethod
    def load(cls, path):
        """Read a trace that `save` wrote.

        Args:
            path: Str or path.

        Returns:
            The trace, every array equal bit by bit.

        Raises:
            OSError: If the file cannot be read.
            ValueError: If it is no trace, is damaged, or newer than this
                package.
        """
        return _trace_file.load(cls, path)

    def to_dict(self):
        """Return the trace as lists and dicts that JSON can hold.

        NaN becomes None; infinities become the strings `"Infinity"` and
        `"-Infinity"`.
        """
        return _trace_file.to_dict(self)

    def __repr__(self):
        return (
            f"<Trace: {len(self.steps)} records of {len(self.layers)} layers, "
            f"{len(self.epochs)} epochs>"
        )

    # Details

    def _check_owners(self):
        count = len(self.variables)
        fits = len(self.owners) == count and not (
            count
            and (self.owners.min() < 0 or self.owners.max() >= len(self.layers))
        )
        if not fits:
            raise ValueError(
                "Trace: `owners` must hold one index into `layers` per "
                f"variable. Received: {len(self.owners)} owners for {count} "
                f"variables and {len(self.layers)} layers."
            )

    def _per_variable(self, name, values, dtype):
        if values is None:
            return None
        array = np.array(values, dtype)
        if array.shape != self.variables.shape:
            raise ValueError(
                f"Trace: `{name}` must hold one value per variable. Received: "
                f"shape {array.shape} for {len(self.variables)} variables."
            )
        return array

    def _check_series(self, name, by):
        _check_name("Trace.get", name, SERIES)
        if by not in ("layer", "variable"):
            raise ValueError(
                "Trace.get: `by` must be one of 'layer', 'variable'. "
                f"Received: by={by!r}."
            )

    def _update_by_layer(self, name, start):
        values = self._tables.update_series(name, start)
        if name == "weight_norm":
            # All weights are measured at once, so a NaN is a NaN weight.
            return self._sums.norm_of_all(values)
        if name == "zero_fraction":
            sizes = self._sizes
            if sizes is None:
                sizes = np.ones(len(self.variables))
            return self._sums.mean(values, sizes)
        return self._sums.norm(values)

    def _update_ratio(self, by, start):
        """Compute the ratio; several rules ask for it, so it is remembered."""
        key = (by, self._tables.updates.seen, start)
        if self._ratio[0] != key:
            update = self._tables.update_series("update_norm", start)
            weight = self._tables.update_series("weight_norm", start)
            if by == "layer":
                # Only variables whose update was measured, on both sides.
                unknown = np.isnan(update)
                if unknown.any():
                    weight = np.where(unknown, np.nan, weight)
                weight = self._sums.norm(weight)
                update = self._sums.norm(update)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                ratio = update / weight
            ratio.flags.writeable = False
            self._ratio = (key, ratio)
        return self._ratio[1]


def _read_blocks(trace):
    return _blocks.Blocks.of(trace._tables.blocks)


def _check_name(owner, name, known):
    if name not in known:
        listed = ", ".join(repr(series) for series in known)
        raise ValueError(
            f"{owner}: `name` must be one of {listed}. Received: name={name!r}."
        )
