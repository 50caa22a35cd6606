"""Statistics of gradients and updates, taken inside the optimizer's step.

A `GradientTap` sits on one leaf optimizer. It reads the gradients where they
are unscaled, accumulated and reduced, and not yet clipped, and writes one
row per update into a ring buffer (`Records`). The optimizer always gets the
original tensors; under XLA the statistics read barriered copies, since
otherwise XLA fuses the step differently and the weights differ in their last
bits.
"""

import enum
import threading
from typing import Any

from keras import ops

from keras_gradguard import _backend
from keras_gradguard.models import keras_private
from keras_gradguard.models import optimizers
from keras_gradguard.recording.parts import GRADIENTS
from keras_gradguard.recording.parts import HISTOGRAMS
from keras_gradguard.recording.parts import LOSS
from keras_gradguard.recording.parts import UNITS
from keras_gradguard.recording.parts import WEIGHTS
from keras_gradguard.recording.step import unit_gradients
from keras_gradguard.recording.step.histograms import HistogramRing
from keras_gradguard.recording.step.histograms import octave_counts
from keras_gradguard.recording.step.records import APPLIED
from keras_gradguard.recording.step.records import SKIPPED
from keras_gradguard.recording.step.records import Records


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

    Where a compiled step measures updates itself, it does so in full mode, and
    they stand in the records.

    Args:
        optimizer: Leaf optimizer to record.
        rows: Callable from the number of values to the ring's capacity.
        xla: Whether the step is compiled by XLA.
        parts: `Parts` of the recording.
        ring: Class of the ring. Defaults to the backend's `Ring`.

    Attributes:
        records: `Records`, what is written of them.
        derives_clipping: Whether the norm after clipping follows from those
            before it, so that the clipped gradients need not be read.
        clip_step: What clips in place of Keras and knows its `latest()`
            threshold, or None.
        find_loss: Callable that returns the loss of the batch, or None.
        find_units: Callable that returns the list of `UnitGradient` to count.
        histograms: `HistogramRing` of the variables' gradients.
        counts_histograms: Whether the step counts them when it is asked to.
        steps_at_once: Updates that one execution of the step may make.
        counts_now: Whether the variant that is traced counts them, where
            `counts_apart`.
        updates: `Updates` that keep updates, None where the record does.
        measures_updates: Whether full steps measure updates.
        wants_updates: Callable that tells whether anybody asks for them.
        find_skipped: Callable that tells whether the update being recorded
            will be skipped, a bool tensor or False.
    """

    def __init__(self, optimizer, rows, xla, parts, ring=None):
        self.optimizer = optimizer
        self.mode = Mode.OFF
        self.derives_clipping = False
        self.clip_step: Any = None
        self.find_loss = lambda: None
        self.find_skipped = lambda: False
        self.find_units: Any = list
        self.histograms = HistogramRing(optimizer)
        self.steps_at_once = 1
        self.counts_histograms = self.counts_now = False
        self._backend = _backend.current()
        self.unit_counts = self._backend.Outbox("gradguard_units", True)
        self.updates: Any = None
        self.measures_updates = True
        self.wants_updates = lambda: True
        self._parts = parts
        self.records = Records(optimizer, rows, ring or self._backend.Ring, xla)
        self._passing = _Passing()

    # State

    def prepare(self, variables=None):
        """Make the rings, as soon as the optimizer knows its variables.

        Args:
            variables: Variables to record. Defaults to those that the
                optimizer was built on.
        """
        self.records.prepare(self.amends, variables)

    def prepare_histograms(self):
        """Make the ring of histograms, if the step counts them."""
        if self.counts_histograms:
            self.records.choose_columns()
            count = len(self.records.variables)
            self.histograms.prepare(count, self.steps_at_once)

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
        return self.records.xla

    @property
    def ring_variables(self):
        """Variables of ours inside the optimizer's state."""
        ring = self.records.ring
        if ring is None:
            return []
        return ring.variables + self.histograms.variables

    def attach(self, patches):
        """Patch the optimizer.

        Args:
            patches: `Patches` that will undo it.
        """
        optimizer = self.optimizer
        self.records.clips_by_norm = optimizers.clips_by_norm(optimizer)
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
            self._parts.of_gradients |= {WEIGHTS} if self.amends else set()
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
                grads = [g for g, _ in reduced]
                self._guard(GRADIENTS, self._record_reduced, grads)
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
        xla = self.records.xla
        counts = unit_gradients.count_nonzero(units, by_variable, xla)
        self.unit_counts.stage(counts)

    def _count_entries(self, grads, scale=None):
        """Count histograms of the gradients, if the step is asked to."""
        now = self.counts_now or not self.counts_apart
        if not (self.counts_histograms and now):
            return
        records = self.records
        columns, dense = self._by_column(records.reduced(grads))
        if scale is not None:
            dense = [ops.cast(g, "float32") / scale for g in dense]
        if not records.clips_by_norm:  # as in `Records`
            dense = self._backend.barrier(dense, records.xla)

        def count():
            return records.spread(octave_counts(dense, records.xla), columns)

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
            before = None
            if clips:
                before = self._by_column(self.records.reduced(grads))
            self._passing.norms_of = (before,)
            return
        # Keras takes the norm of sparse rows before it sums repeated ones.
        self.derives_clipping = self.records.clips_by_norm and not any(
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

    def _by_column(self, grads):
        variables = self._passing.variables
        if variables is None:
            variables = self.records.variables
        return self.records.by_column(variables, grads)

    def _write(self, by_column, clipped, flag=APPLIED):
        latest, self._passing.latest = self._passing.latest, (None, None)

        def loss(nan):
            return self._parts.guard((LOSS,), self._loss, nan, default=nan)

        is_skipped = self.find_skipped()
        self.records.write(
            by_column, clipped, latest, loss, flag, is_skipped, self.amends
        )

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

    def record_skipped(self, grads, scale, variables=None):
        """Record gradients of an update that is skipped as not finite.

        Args:
            grads: Gradients of the scaled loss, in the order of `variables`.
            scale: Scalar tensor, the loss scale.
            variables: Variables they belong to. Defaults to all.
        """
        if self.mode is Mode.OFF:
            return
        self._passing.variables = variables
        self._guard(GRADIENTS, self._record_skipped, grads, scale)
        self._guard(HISTOGRAMS, self._count_skipped, grads, scale)

    def _count_skipped(self, grads, scale):
        self.prepare_histograms()
        self._count_entries(grads, scale)

    def _record_skipped(self, grads, scale):
        self.prepare()
        self._passing.latest = (None, None)
        columns, dense = self._by_column(self.records.reduced(grads))
        unscaled = [ops.cast(g, "float32") / scale for g in dense]
        self._write((columns, unscaled), None, SKIPPED)

    def _remember_weights(self):
        variables = self.records.expected
        self._passing.weights = [self._backend.copy(v) for v in variables]

    def _record_update(self):
        before, self._passing.weights = self._passing.weights, None
        after = [self._backend.read(v) for v in self.records.expected]
        n, xla = len(before), self.records.xla
        copies = self._backend.barrier(before + after, xla)
        norms = self._backend.change_norms(copies[:n], copies[n:], xla)
        if self.updates is not None:
            micro = self._backend.copy(keras_private.counter(self.optimizer))
            self.updates.note(self, norms, micro - 1, micro)
            return
        self.records.amend(norms)
