"""torch: fused norms and a ring of tensors."""

import contextlib

import numpy as np
import torch

from keras_gradguard._backend import ring_layout


def float64():
    """Context in which new arrays may be float64."""
    return contextlib.nullcontext()


def read(variable):
    """Value of a Keras variable as a detached tensor."""
    value = getattr(variable, "value", variable)
    return value.detach()


def copy(variable):
    """Value of a variable that a later assignment does not change."""
    return read(variable).clone()


def native(variable):
    """The parameter of a Keras variable, which a user may pass as well."""
    return getattr(variable, "_value", variable)


def gradients(function, values):
    """Value of a scalar function of a list of tensors, and its gradients."""
    values = [value.detach().requires_grad_() for value in values]
    value = function(values)
    return value.detach(), list(
        torch.autograd.grad(value, values, allow_unused=True)
    )


def run_whole(function, *arguments):
    """Run a function: step by step is fast enough here."""
    return function(*arguments)


def is_sparse(gradient):
    """Whether a gradient holds rows that may repeat."""
    return gradient is not None and gradient.is_sparse


def densify(gradient, xla=False):
    """Dense gradient, repeated rows of a sparse one summed."""
    del xla
    return gradient.to_dense() if gradient.is_sparse else gradient


def barrier(tensors, xla=False):
    """The tensors: torch runs them as they are written."""
    del xla
    return list(tensors)


def l2_norms(tensors, xla=False):
    """L2 norm of each tensor, safe from overflow and underflow.

    Args:
        tensors: List of n dense float tensors.
        xla: Not used.

    Returns:
        Float tensor of shape `(n,)`.
    """
    del xla
    if not tensors:
        return torch.zeros((0,))
    if tensors[0].device.type == "mps":  # has no float64
        return torch.stack([_norm_scaled(t) for t in tensors])
    # float32 sums of a million squares are off by 1e-5, and squares of
    # 1e-25 are zero: accumulate in float64.
    norms = torch._foreach_norm(list(tensors), 2, torch.float64)
    return torch.stack(norms)


def _norm_scaled(tensor):
    tensor = tensor.to(torch.float32)
    largest = tensor.abs().max()
    scale = torch.where(
        torch.isfinite(largest) & (largest > 0),
        largest,
        torch.ones_like(largest),
    )
    return torch.linalg.vector_norm(tensor / scale) * scale


def zero_fractions(tensors):
    """Share of exact zeros of each tensor, float32 of shape `(n,)`."""
    if not tensors:
        return torch.zeros((0,))
    return torch.stack([(t == 0).to(torch.float32).mean() for t in tensors])


def take_flat(tensor, positions):
    """Chosen entries of a tensor, or all (None), as a vector."""
    flat = tensor.reshape(-1)
    if positions is None:
        return flat
    chosen = torch.as_tensor(positions, dtype=torch.int64, device=flat.device)
    return flat[chosen]


def bits(tensor):
    """The bits of a float32 tensor as int32."""
    return tensor.view(torch.int32)


def bin_counts(bins, count, xla=False):
    """How often each of the first bins occurs.

    Args:
        bins: Int32 tensor of any shape, none negative.
        count: Python int, bins to count; larger ones are left out.
        xla: Not used.

    Returns:
        Integer tensor of shape `(count,)`.
    """
    del xla
    return torch.bincount(bins.reshape(-1), minlength=count)[:count]


def compiled(function):
    """The function: torch runs it as it is."""
    return function


def to_numpy(tensor):
    """Host copy of a tensor, or the value of a Python number."""
    if isinstance(tensor, torch.Tensor):
        return tensor.detach().cpu().numpy()
    return np.asarray(tensor)


def replicas():
    """Replicas to reduce over: Keras on torch trains on one."""
    return 1


def reduce_over_replicas(tensors):
    """The tensors."""
    return list(tensors)


def is_end_of_data(error):
    """Whether an exception only says that the data set is exhausted."""
    return isinstance(error, StopIteration)


def detach(tensor):
    """The tensor, cut off from the gradient."""
    return tensor.detach() if isinstance(tensor, torch.Tensor) else tensor


def level(arguments):
    """There is one level only: torch runs what it reads."""
    del arguments


def at_level(tensor, level):
    """Whether a tensor may be used: it may."""
    del level
    return isinstance(tensor, torch.Tensor)


class Mailbox:
    """Keeps a vector until the host asks for it.

    Args:
        name: Not used.
        adds_up: Whether vectors are added until they are taken, or the
            latest is kept.
    """

    def __init__(self, name, adds_up):
        del name
        self._adds_up = adds_up
        self._value = None

    def post(self, result, vector):
        """Send a vector off.

        Args:
            result: What the train step returns.
            vector: Float tensor of one axis.

        Returns:
            What the train step has to return.
        """
        if self._adds_up and self._value is not None:
            self._value += vector
        else:
            self._value = vector
        return result

    def stage(self, vector):
        """Send a vector off at once.

        Args:
            vector: Float tensor of one axis.
        """
        self.post(None, vector)

    def post_staged(self, result, level):
        """Nothing is left to be sent.

        Args:
            result: What the train step returns.
            level: Not used.

        Returns:
            `result`.
        """
        del level
        return result

    def host(self, step_function):
        """The step: nothing has to be taken out of its result."""
        return step_function

    def take_later(self):
        """What arrived last, or None."""
        value, self._value = self._value, None
        return value

    def take(self):
        """Host copy of what arrived since the last time, or None."""
        value, self._value = self._value, None
        return None if value is None else to_numpy(value)


class Ring:
    """The last `rows` records, written in the step without a host sync.

    Args:
        rows: Number of records kept.
        columns: Number of values of a record.
        optimizer: Keras optimizer whose step counter tells the device.
        name: Not used.
    """

    def __init__(self, rows, columns, optimizer, name):
        del name
        self.rows = rows
        self._cursor = 0
        self._store = torch.zeros(
            (rows + 1, ring_layout.HEAD + columns),
            dtype=torch.float64,  # holds the step, too
            device=optimizer._iterations.value.device,
        )

    def write(self, iterations, flag, values):
        """Append a record.

        Args:
            iterations: Integer scalar, the optimizer's step.
            flag: Python int or scalar, stored with the record.
            values: Float tensor of shape `(columns,)`.
        """
        row = self._store[self._cursor % self.rows]
        with torch.no_grad():
            row[1] = iterations
            row[2] = flag
            row[ring_layout.HEAD :] = values
        self._cursor += 1

    def amend(self, first, values, where, step):
        """Overwrite columns of the latest record.

        Args:
            first: First column.
            values: Float tensor of shape `(k,)`.
            where: Bool scalar: whether to.
            step: Not used: the latest record is the one of the step.
        """
        del step
        start = ring_layout.HEAD + first
        row = self._store[(self._cursor - 1) % self.rows, start:]
        with torch.no_grad():
            row.copy_(torch.where(torch.as_tensor(where), values, row))

    def snapshot(self, state=None):
        """Copy of the store."""
        del state
        store = self._store.clone()
        store[self.rows, 0] = self._cursor % ring_layout.wrap(self.rows)
        return store

    @property
    def variables(self):
        """Variables that had to be added to the optimizer: none."""
        return []
