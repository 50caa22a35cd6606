"""What happens in place of the inner optimizer's own clipping."""

import threading

from keras import ops

from keras_gradguard.clippers import functional
from keras_gradguard.clippers._tensors import barriered
from keras_gradguard.clippers._tensors import current_value
from keras_gradguard.clippers._tensors import values_of
from keras_gradguard.clippers._tensors import with_values
from keras_gradguard.optimizers import _branching


def measure(gradients):
    """Global norm of `gradients`, read so that the update stays bit-equal."""
    values = barriered([values_of(g) for g in gradients])
    return functional.global_norm(
        [with_values(g, v) for g, v in zip(gradients, values, strict=True)]
    )


class ClipStep:
    """Clips the gradients of one update and records what it did.

    Called with a list of gradients, it returns the clipped ones, as Keras's
    `_clip_gradients` does.

    Args:
        clipper: The `Clipper`.
        inner: The optimizer that applies the update.
        variables: Trainable variables of the optimizer.
        add_variable: Function from a name, a shape and a dtype to a new
            optimizer variable.
    """

    def __init__(self, clipper, inner, variables, add_variable):
        self.clipper = clipper
        self.inner = inner
        self.variables = list(variables)
        self.clip_values = add_variable("clip_values", (2,), "float32")
        self.clip_counts = add_variable("clip_counts", (2,), "int32")
        self.state = {
            key: add_variable(f"clipper_{key}", shape, "float32")
            for key, shape in clipper.state_shapes(self.variables).items()
        }
        # Of the update being traced. Replicas are traced in threads that take
        # turns.
        self._update = threading.local()

    def begin(self, variables, norm):
        """Say what is known of the gradients that the next call gets.

        Args:
            variables: List of the variables they belong to.
            norm: Their global norm, or `None` if it is not known.
        """
        self._update.variables = variables
        self._update.norm = norm
        self._update.called = False

    def end(self):
        """Forget it.

        Returns:
            Whether there was a call.
        """
        called = getattr(self._update, "called", False)
        self._update.__dict__.clear()
        return called

    def __call__(self, gradients):
        self._update.called = True
        where = [i for i, g in enumerate(gradients) if g is not None]
        results = list(gradients)
        if not where:
            return results
        variables = getattr(self._update, "variables", self.variables)
        # By hand, it can get `None` for variables without a gradient.
        if len(variables) != len(gradients):
            variables = self.variables
        clipped = self._clip(
            [gradients[i] for i in where], [variables[i] for i in where]
        )
        for i, gradient in zip(where, clipped, strict=True):
            results[i] = gradient
        return results

    def _clip(self, gradients, variables):
        norm = getattr(self._update, "norm", None)
        by_norm = self.clipper.uses_only_norm
        whole = gradients
        if norm is None or not by_norm:
            whole = _branching.sum_over_replicas(gradients)
        if norm is None:
            norm = measure(whole)
        before = {k: current_value(v) for k, v in self.state.items()}
        # Also keeps NaN out of computed indices.
        usable = ops.where(norm < float("inf"), norm, ops.zeros_like(norm))
        clipped = self.clipper.clip(
            gradients if by_norm else whole, variables, usable, before
        )
        self._record(norm, clipped, before)
        replicas = _branching.replica_count()
        if by_norm or replicas == 1:
            return clipped.gradients
        # Keras is going to sum over the replicas.
        return [functional.scale(g, 1.0 / replicas) for g in clipped.gradients]

    def _record(self, norm, clipped, before):
        values = ops.stack([ops.cast(clipped.threshold, "float32"), norm])
        is_clipped = ops.cast(clipped.is_clipped, "int32")
        one_more = ops.stack([ops.ones_like(is_clipped), is_clipped])
        # A comparison with NaN is false.
        counts = ops.logical_and(norm > 0, norm < float("inf"))
        steps = self.inner.gradient_accumulation_steps
        if steps:
            # On JAX, Keras computes an update for each micro-batch and drops
            # most of them.
            counter = self.inner._iterations
            is_update = ops.equal((counter + 1) % steps, 0)
            counts = ops.logical_and(counts, is_update)
            old_values = current_value(self.clip_values)
            values = ops.where(is_update, values, old_values)
            one_more = one_more * ops.cast(is_update, "int32")
        self.clip_values.assign(values)
        self.clip_counts.assign_add(one_more)
        for key, variable in self.state.items():
            new = ops.cast(clipped.state[key], "float32")
            variable.assign(ops.where(counts, new, before[key]))
