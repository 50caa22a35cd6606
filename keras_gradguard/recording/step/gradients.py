"""Statistics of gradients and updates, taken inside the optimizer's step.

A `GradientTap` sits on one leaf optimizer. It reads the gradients where they
are unscaled, accumulated and reduced, and not yet clipped, and writes one
row per update into a ring buffer. The optimizer always gets the original
tensors; under XLA the statistics read barriered copies, since otherwise XLA
fuses the step differently and the weights differ in their last bits.

Longer than 350 lines, since its patches run in one step, in an order that can
only be seen in one place.
"""

import enum
import threading
from typing import Any

from keras import ops

from keras_gradguard import _backend
from keras_gradguard import stats
from keras_gradguard.models import keras_private
from keras_gradguard.models import optimizers
from keras_gradguard.recording.parts import GRADIENTS
from keras_gradguard.recording.parts import HISTOGRAMS
from keras_gradguard.recording.parts import LOSS
from keras_gradguard.recording.parts import UNITS
from keras_gradguard.recording.parts import WEIGHTS
from keras_gradguard.recording.record import Layout
from keras_gradguard.recording.step import gradient_series
from keras_gradguard.recording.step import unit_gradients
from keras_gradguard.recording.step.histograms import HistogramRing
from keras_gradguard.recording.step.histograms import octave_counts
from keras_gradguard.trace.series import GRADIENT_SERIES

APPLIED, SKIPPED = 0, 1
UNMEASURED = -1.0  # no norm is negative


class Mode(enum.Enum):
    """What a compiled variant of the train step records."""

    OFF = 0
    NORMS = 1
    FULL = 2


class _Passing(threading.local):
    """What is handed from one patched method to the next within a step.

    TensorFlow runs each replica's step in a thread of its own.

    Attributes:
        variables: Variables of the gradients that are being applied.
        weights: Copies of all variables from before the update, or None.
        norms_of: Tuple of the reduced gradients to record once Keras has
            reduced the clipped ones, or of None to record those; or None.
        latest: What `clip_step.latest()` said of the gradients.
    """

    variables: Any = None
    weights: Any = None
    norms_of: Any = None
    latest: Any = (None, None)


class GradientTap:
    """Records the gradients and updates of one leaf optimizer.

    A record holds the series of `trace.series.RECORDED`: the global norm after
    clipping (NaN where nothing clips), the threshold (NaN where none is chosen
    in the step) and the loss of the batch (NaN where it is not known), then
    those per column; with the optimizer's step and whether the update was
    skipped. Where a compiled step measures updates itself, the norms of the
    weight before the update and of the update follow (`UNMEASURED` but in full
    mode).

    Args:
        optimizer: Leaf optimizer to record.
        rows: Callable from the number of values to the ring's capacity.
        xla: Whether the step is compiled by XLA.
        parts: `Parts` of the recording.
        ring: Class of the ring. Defaults to the backend's `Ring`.

    Attributes:
        variables: Variables of the columns, known once `prepare` ran.
        has_gradient: List of bool per column, False where the backend gave
            no gradient in the latest trace of the step.
        derives_clipping: Whether the norm after clipping follows from those
            before it, so that the clipped gradients need not be read.
        clip_step: What clips in place of Keras and knows its `latest()`
            threshold, or None.
        find_loss: Callable that returns the loss of the batch, or None.
        find_units: Callable that returns the list of `UnitGradient` to count.
        histograms: `HistogramRing` of the variables' gradients.
        layout: `Layout` of a record, once `prepare` ran.
        counts_histograms: Whether the step counts them when it is asked to.
        steps_at_once: Updates that one execution of the step may make.
        counts_now: Whether the variant that is traced counts them, where
            `counts_apart`.
        updates: `Updates` that keep what is measured outside of the record, or
            None where it stands in there.
        measures_updates: Whether full steps measure updates.
        wants_updates: Callable that tells whether anybody asks for them.
        find_skipped: Callable that tells whether the update being recorded
            will be skipped, a bool tensor or False.
    """

    def __init__(self, optimizer, rows, xla, parts, ring=None):
        self.optimizer = optimizer
        self.mode = Mode.OFF
        self.variables = []
        self.has_gradient = []
        self.derives_clipping = False
        self.clip_step: Any = None
        self.find_loss = lambda: None
        self.find_skipped = lambda: False
        self.find_units: Any = list
        self.histograms = HistogramRing(optimizer)
        self.steps_at_once = 1
        self.counts_histograms = self.counts_now = False
        self.unit_counts = _backend.current().Outbox("gradguard_units", True)
        self.records: Any = None
        self.layout: Any = None
        self.updates: Any = None
        self.measures_updates = True
        self.wants_updates = lambda: True
        self._rows = rows
        self._ring = ring
        self._xla = xla
        self._parts = parts
        self._backend = _backend.current()
        self._columns = {}
        self._clips_by_norm = False
        self._passing = _Passing()

    # State

    def prepare(self, variables=None):
        """Make the rings, as soon as the optimizer knows its variables.

        Args:
            variables: Variables to record. Defaults to those that the
                optimizer was built on.
        """
        if self.records is not None:
            return
        self._choose_columns(variables)
        self.layout = Layout(len(self.variables), self.amends)
        columns = self.layout.width
        self.records = (self._ring or self._backend.Ring)(
            self._rows(columns), columns, self.optimizer, "gradguard_records"
        )

    def prepare_histograms(self):
        """Make the ring of histograms, if the step counts them."""
        if self.counts_histograms:
            self._choose_columns()
            self.histograms.prepare(len(self.variables), self.steps_at_once)

    def _choose_columns(self, variables=None):
        if self.variables:
            return
        if variables is None:
            variables = keras_private.updated_variables(self.optimizer)
        self.variables = list(variables)
        self.has_gradient = [True] * len(self.variables)
        for i, variable in enumerate(self.variables):
            self._columns[id(variable)] = i
            self._columns[id(self._backend.native(variable))] = i

    @property
    def amends(self):
        """Whether a record holds the norms of the update."""
        return self.measures_updates and self.updates is None

    @property
    def counts_apart(self):
        """Whether only a variant of its own counts histograms.

        XLA makes one kernel of what reads the gradients. For a branch they
        are made in another way, with other last bits; and to count in every
        step costs more than to compile a second one.
        """
        return self._xla

    @property
    def recorded(self):
        """Variables of the columns, also before the rings are made."""
        return self.variables or keras_private.updated_variables(self.optimizer)

    def is_compiled_by_xla(self, xla):
        """Say whether the step to come is; a loop of one's own may mix."""
        self._xla = xla

    def is_current(self):
        """Whether the optimizer still has the variables of the columns."""
        if self.records is None:
            return True
        built = keras_private.updated_variables(self.optimizer)
        return len(built) == len(self.variables) and all(
            a is b for a, b in zip(built, self.variables, strict=True)
        )

    @property
    def ring_variables(self):
        """Variables of ours inside the optimizer's state."""
        if self.records is None:
            return []
        return self.records.variables + self.histograms.variables

    def attach(self, patches):
        """Patch the optimizer.

        Args:
            patches: `Patches` that will undo it.
        """
        optimizer = self.optimizer
        self._clips_by_norm = optimizers.clips_by_norm(optimizer)
        patches.replace(optimizer, "apply", self._make_apply)
        keras_private.replace_update(optimizer, self._make_update, patches)
        keras_private.replace_clipping(optimizer, self._make_clip, patches)
        keras_private.replace_reduction(optimizer, self._make_reduce, patches)

    # Patched methods

    def _make_apply(self, original):
        def apply(grads, trainable_variables=None):
            self._passing.weights = None
            result = original(grads, trainable_variables=trainable_variables)
            if self._passing.weights is not None:
                self._guard(WEIGHTS, self._record_update)
            return result

        return apply

    def _make_update(self, original):
        def update(grads, trainable_variables):
            self._passing.variables = list(trainable_variables)
            if self.mode is not Mode.OFF:
                self._guard(GRADIENTS, self.prepare)
                self._guard(HISTOGRAMS, self.prepare_histograms)
            measures = self.measures_updates and self.wants_updates()
            if self.mode is Mode.FULL and measures:
                self._guard(WEIGHTS, self._remember_weights)
            return original(grads, trainable_variables)

        return update

    def _make_clip(self, original):
        def clip(grads):
            clipped = original(grads)
            units: list = self.find_units()
            if units:
                self._guard(UNITS, self._count_units, units, grads)
            if self.mode is not Mode.OFF:
                self._guard(GRADIENTS, self._record_gradients, grads, clipped)
                self._guard(HISTOGRAMS, self._count_entries, grads)
            return clipped

        return clip

    def _make_reduce(self, original):
        def reduce(grads_and_vars):
            reduced = original(grads_and_vars)
            if self._passing.norms_of is not None:
                self._guard(
                    GRADIENTS, self._record_reduced, [g for g, _ in reduced]
                )
            return reduced

        return reduce

    def _guard(self, part, function, *arguments):
        """Run our code so that its failure never stops a training."""
        self._parts.guard((part,), function, *arguments)
        if not self._parts.work(GRADIENTS):
            self._passing.norms_of = None

    # Statistics

    def _count_units(self, units, grads):
        given = zip(self._passing.variables, grads, strict=True)
        by_variable = {id(variable): grad for variable, grad in given}
        self.unit_counts.stage(
            unit_gradients.count_nonzero(units, by_variable, self._xla)
        )

    def _count_entries(self, grads, scale=None):
        """Count histograms of the gradients, if the step is asked to."""
        if not self.counts_histograms:
            return
        if self.counts_apart and not self.counts_now:
            return
        columns, dense = self._by_column(self._reduced(grads))
        if scale is not None:
            dense = [ops.cast(g, "float32") / scale for g in dense]
        if not self._clips_by_norm:  # as in `_write`
            dense = self._backend.barrier(dense, self._xla)

        def count():
            return self._spread(octave_counts(dense, self._xla), columns)

        flag = APPLIED if scale is None else SKIPPED
        self.histograms.write(
            self.optimizer.iterations, flag, count, self.counts_apart
        )

    def _record_gradients(self, grads, clipped):
        if self.clip_step is not None:
            self._passing.latest = self.clip_step.latest()
        clips = clipped is not grads and any(
            a is not b for a, b in zip(grads, clipped, strict=True)
        )
        if self._backend.replicas() > 1:
            # Here each replica sees its own share. Keras reduces later, in
            # `_all_reduce_sum_gradients`; only what it will have clipped by
            # then has to be reduced once more.
            before = self._by_column(self._reduced(grads)) if clips else None
            self._passing.norms_of = (before,)
            return
        # Keras takes the norm of sparse rows before it sums repeated ones.
        self.derives_clipping = self._clips_by_norm and not any(
            self._backend.is_sparse(g) for g in grads
        )
        follows = self.derives_clipping or self._passing.latest[1] is not None
        reads = clips and not follows
        self._write(self._by_column(grads), clipped if reads else None)

    def _record_reduced(self, reduced):
        (before,) = self._passing.norms_of
        self._passing.norms_of = None
        if before is None:
            self._write(self._by_column(reduced), None)
        else:
            self._write(before, reduced)

    def _reduced(self, grads):
        """The gradients of the whole batch: those of all replicas added up.

        Sparse ones are reduced as such, as each replica has other rows.
        """
        present = [g for g in grads if g is not None]
        reduced = iter(self._backend.reduce_over_replicas(present))
        return [None if g is None else next(reduced) for g in grads]

    def _by_column(self, grads):
        """Columns that have a gradient, and the dense gradients."""
        columns, dense = [], []
        for variable, gradient in zip(
            self._passing.variables, grads, strict=True
        ):
            if gradient is not None:
                columns.append(self._columns[id(variable)])
                dense.append(self._backend.densify(gradient, self._xla))
        return columns, dense

    def _write(self, by_column, clipped, flag=APPLIED):
        columns, dense = by_column
        after = []
        if clipped is not None:
            after = [
                self._backend.densify(g, self._xla)
                for g in clipped
                if g is not None
            ]
        measured, after = self._measure(dense, after)
        threshold, after_norm = self._passing.latest
        self._passing.latest = (None, None)
        nan = stats.full((1,), float("nan"))
        threshold = nan if threshold is None else ops.reshape(threshold, (1,))
        if after_norm is not None:
            after_norm = ops.reshape(after_norm, (1,))
        elif clipped is None:
            after_norm = nan
        else:
            norms = self._backend.l2_norms(after, self._xla)
            after_norm = ops.reshape(stats.global_norm(norms), (1,))
        present = set(columns)
        self.has_gradient = [i in present for i in range(len(self.variables))]
        is_skipped = self.find_skipped()
        if is_skipped is not False:
            flag = flag + (SKIPPED - flag) * ops.cast(is_skipped, "int32")
            after_norm = ops.where(is_skipped, nan, after_norm)
            threshold = ops.where(is_skipped, nan, threshold)
        values = {
            "clipped_grad_norm": after_norm,
            "clip_threshold": threshold,
            "loss": self._parts.guard((LOSS,), self._loss, nan, default=nan),
            **{n: self._spread(found, columns) for n, found in measured},
        }
        row = self.layout.row(values)
        if self.amends:
            later = self.layout.updates
            row.append(stats.full((later.stop - later.start,), UNMEASURED))
        row = ops.concatenate(row, axis=0)
        self.records.write(self.optimizer.iterations, flag, row)

    def _measure(self, dense, after):
        """Measure the series per variable.

        Args:
            dense: List of gradients.
            after: List of clipped gradients, or empty.

        Returns:
            List of (series, tensor (n,)); and what was read of the clipped
            gradients in the end.
        """
        found = []
        if self._xla and self._clips_by_norm:
            # Keras reduces the very same tensors in order to clip. A barrier
            # would change how XLA fuses that reduction, so share it.
            found.append(("grad_norm", stats.shared_norms(dense)))
            names = GRADIENT_SERIES[1:]
            if names:
                copies = self._backend.barrier(dense, self._xla)
        else:
            names = GRADIENT_SERIES
            copies = self._backend.barrier(dense + after, self._xla)
            after = copies[len(dense) :]
        for name in names:
            measure = getattr(gradient_series, name)
            found.append((name, measure(copies[: len(dense)], self._xla)))
        return found, after

    def _loss(self, nan):
        """Loss of the batch, the mean over the replicas, of shape `(1,)`."""
        loss = self.find_loss()
        if loss is None:
            return nan
        loss = ops.reshape(loss, (1,))
        replicas = self._backend.replicas()
        if replicas > 1:
            (loss,) = self._backend.reduce_over_replicas([loss])
            loss = loss / replicas
        return loss

    def _spread(self, rows, columns):
        """Rows in column order, NaN where a column has no gradient."""
        width = len(self.variables)
        if columns == list(range(width)):
            return rows
        unknown = stats.full((1, *rows.shape[1:]), float("nan"))
        padded = ops.concatenate([rows, unknown], axis=0)
        position = {column: i for i, column in enumerate(columns)}
        source = [position.get(i, len(columns)) for i in range(width)]
        return ops.take(
            padded, self._backend.constant(source, "int32", padded), axis=0
        )

    def record_skipped(self, grads, scale, variables=None):
        """Record gradients of an update that is skipped as not finite.

        Args:
            grads: Gradients of the scaled loss, in the order of
                `variables`.
            scale: Scalar tensor, the loss scale.
            variables: Variables they belong to. Defaults to `variables`.
        """
        if self.mode is Mode.OFF:
            return
        self._passing.variables = variables
        self._guard(GRADIENTS, self._record_skipped, grads, scale)
        self._guard(HISTOGRAMS, self._count_skipped, grads, scale)

    def _count_skipped(self, grads, scale):
        self.prepare_histograms()
        if self._passing.variables is None:
            self._passing.variables = self.variables
        self._count_entries(grads, scale)

    def _record_skipped(self, grads, scale):
        self.prepare()
        self._passing.latest = (None, None)
        if self._passing.variables is None:
            self._passing.variables = self.variables
        columns, dense = self._by_column(self._reduced(grads))
        unscaled = [ops.cast(g, "float32") / scale for g in dense]
        self._write((columns, unscaled), None, SKIPPED)

    def _remember_weights(self):
        self._passing.weights = [self._backend.copy(v) for v in self.recorded]

    def _record_update(self):
        before, self._passing.weights = self._passing.weights, None
        after = [self._backend.read(v) for v in self.recorded]
        n = len(before)
        copies = self._backend.barrier(before + after, self._xla)
        norms = self._backend.change_norms(copies[:n], copies[n:], self._xla)
        if self.updates is not None:
            micro = self._backend.copy(keras_private.counter(self.optimizer))
            self.updates.note(self, norms, micro - 1, micro)
            return
        updated, step = self._finished()
        self.records.amend(self.layout.updates.start, norms, updated, step)

    def _finished(self):
        """Whether the `apply` that ends made an update, and its number.

        Between two accumulated micro-batches there is none, and on JAX no
        record either: Keras takes back what is assigned there.
        """
        micro = ops.convert_to_tensor(keras_private.counter(self.optimizer))
        steps = self.optimizer.gradient_accumulation_steps
        if not steps:
            return True, micro - 1
        return micro % steps == 0, (micro - 1) // steps
