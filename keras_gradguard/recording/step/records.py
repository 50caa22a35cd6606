"""What a step writes: a record of an optimizer's gradients, into a ring."""

from typing import Any

from keras import ops

from keras_gradguard import _backend
from keras_gradguard import stats
from keras_gradguard.models import keras_private
from keras_gradguard.recording.record import Layout
from keras_gradguard.recording.step import gradient_series
from keras_gradguard.trace.series import GRADIENT_SERIES

APPLIED, SKIPPED = 0, 1
UNMEASURED = -1.0  # no norm is negative


class Records:
    """The records of one leaf optimizer, a column for each of its variables.

    A record holds the series of `trace.series.RECORDED`: the global norm after
    clipping (NaN where nothing clips), the threshold (NaN where none is chosen
    in the step) and the loss of the batch (NaN where it is not known), then
    those per column; with the optimizer's step and whether the update was
    skipped. The norms of the weight before the update and of the update may
    follow, `UNMEASURED` until `amend`.

    Args:
        optimizer: Leaf optimizer.
        rows: Callable from the number of values to the ring's capacity.
        make_ring: Class of the ring, or a function with its arguments.
        xla: Whether the step is compiled by XLA.

    Attributes:
        variables: Variables of the columns, known once `choose_columns` ran.
        has_gradient: List of bool per column, False where the backend gave
            no gradient in the latest trace of the step.
        clips_by_norm: Whether Keras clips these gradients by their norms.
        layout: `Layout` of a record, once `prepare` ran.
        ring: The ring, once `prepare` ran, else None.
        xla: As passed; a loop of one's own may change it from step to step.
    """

    def __init__(self, optimizer, rows, make_ring, xla):
        self.variables = []
        self.has_gradient = []
        self.clips_by_norm = False
        self.layout: Any = None
        self.ring: Any = None
        self.xla = xla
        self._optimizer = optimizer
        self._rows = rows
        self._make_ring = make_ring
        self._backend = _backend.current()
        self._columns = {}

    def choose_columns(self, variables=None):
        """Give each variable a column, as soon as they are known.

        Args:
            variables: Variables to record. Defaults to those that the
                optimizer was built on.
        """
        if self.variables:
            return
        if variables is None:
            variables = keras_private.updated_variables(self._optimizer)
        self.variables = list(variables)
        self.has_gradient = [True] * len(self.variables)
        for i, variable in enumerate(self.variables):
            self._columns[id(variable)] = i
            self._columns[id(self._backend.native(variable))] = i

    def prepare(self, amends, variables=None):
        """Make the ring, once.

        Args:
            amends: Whether norms of the updates have columns, too.
            variables: As for `choose_columns`.
        """
        if self.ring is not None:
            return
        self.choose_columns(variables)
        self.layout = Layout(len(self.variables), amends)
        columns = self.layout.width
        self.ring = self._make_ring(
            self._rows(columns), columns, self._optimizer, "gradguard_records"
        )

    @property
    def expected(self):
        """Variables of the columns, also before the ring is made."""
        return self.variables or keras_private.updated_variables(
            self._optimizer
        )

    @property
    def is_current(self):
        """Whether the optimizer still has the variables of the columns."""
        if self.ring is None:
            return True
        built = keras_private.updated_variables(self._optimizer)
        return len(built) == len(self.variables) and all(
            a is b for a, b in zip(built, self.variables, strict=True)
        )

    def reduced(self, grads):
        """The gradients of the whole batch: those of all replicas added up.

        Sparse ones are reduced as such, as each replica has other rows.
        """
        present = [g for g in grads if g is not None]
        reduced = iter(self._backend.reduce_over_replicas(present))
        return [None if g is None else next(reduced) for g in grads]

    def by_column(self, variables, grads):
        """Columns that have a gradient, and the dense gradients."""
        columns, dense = [], []
        for variable, gradient in zip(variables, grads, strict=True):
            if gradient is not None:
                columns.append(self._columns[id(variable)])
                dense.append(self._backend.densify(gradient, self.xla))
        return columns, dense

    def spread(self, rows, columns):
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

    def write(self, by_column, clipped, latest, loss, flag, skipped, amends):
        """Write a record.

        Args:
            by_column: What `by_column` returned.
            clipped: List of the clipped gradients, or None where their norm is
                known otherwise, or nothing clips.
            latest: The threshold and the norm after clipping that what clips
                knows, each a tensor or None.
            loss: Function from what it returns where it is not known, a NaN of
                shape `(1,)`, to the loss of the batch.
            flag: `APPLIED` or `SKIPPED`.
            skipped: False, or a bool tensor: whether it is skipped after all.
            amends: Whether the norms of the update will follow.
        """
        columns, dense = by_column
        after = []
        if clipped is not None:
            after = [
                self._backend.densify(g, self.xla)
                for g in clipped
                if g is not None
            ]
        measured, after = self._measure(dense, after)
        threshold, after_norm = latest
        nan = stats.full((1,), float("nan"))
        threshold = nan if threshold is None else ops.reshape(threshold, (1,))
        if after_norm is not None:
            after_norm = ops.reshape(after_norm, (1,))
        elif clipped is None:
            after_norm = nan
        else:
            norms = self._backend.l2_norms(after, self.xla)
            after_norm = ops.reshape(stats.global_norm(norms), (1,))
        present = set(columns)
        self.has_gradient = [i in present for i in range(len(self.variables))]
        if skipped is not False:
            flag = flag + (SKIPPED - flag) * ops.cast(skipped, "int32")
            after_norm = ops.where(skipped, nan, after_norm)
            threshold = ops.where(skipped, nan, threshold)
        values = {
            "clipped_grad_norm": after_norm,
            "clip_threshold": threshold,
            "loss": loss(nan),
            **{n: self.spread(found, columns) for n, found in measured},
        }
        row = self.layout.row(values)
        if amends:
            later = self.layout.updates
            row.append(stats.full((later.stop - later.start,), UNMEASURED))
        row = ops.concatenate(row, axis=0)
        self.ring.write(self._optimizer.iterations, flag, row)

    def amend(self, norms):
        """Add what an `apply` that ends did to the weights.

        Args:
            norms: Tensor `(2n,)`, norms of the weights and of their change.
        """
        updated, step = self._finished()
        self.ring.amend(self.layout.updates.start, norms, updated, step)

    def _finished(self):
        """Whether the `apply` that ends made an update, and its number.

        Between two accumulated micro-batches there is none, and on JAX no
        record either: Keras takes back what is assigned there.
        """
        micro = ops.convert_to_tensor(keras_private.counter(self._optimizer))
        steps = self._optimizer.gradient_accumulation_steps
        if not steps:
            return True, micro - 1
        return micro % steps == 0, (micro - 1) // steps

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
        if self.xla and self.clips_by_norm:
            # Keras reduces the very same tensors in order to clip. A barrier
            # would change how XLA fuses that reduction, so share it.
            found.append(("grad_norm", stats.shared_norms(dense)))
            names = GRADIENT_SERIES[1:]
            if names:
                copies = self._backend.barrier(dense, self.xla)
        else:
            names = GRADIENT_SERIES
            copies = self._backend.barrier(dense + after, self.xla)
            after = copies[len(dense) :]
        for name in names:
            measure = getattr(gradient_series, name)
            found.append((name, measure(copies[: len(dense)], self.xla)))
        return found, after
