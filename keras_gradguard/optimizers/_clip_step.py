"""What happens in place of the inner optimizer's own clipping."""

import math
import threading

import numpy as np
from keras import ops

from keras_gradguard import _backend
from keras_gradguard import stats
from keras_gradguard.clippers import functional
from keras_gradguard.models import keras_private
from keras_gradguard.optimizers._nonfinite import host_copy

# `clip_values` begins with the threshold and the norm.
_HEAD = 2


def measure(gradients):
    """Global norm of `gradients`, read so that the update stays bit-equal."""
    backend = _backend.current()
    values = backend.barrier([backend.values_of(g) for g in gradients])
    return functional.global_norm(
        [
            backend.with_values(g, v)
            for g, v in zip(gradients, values, strict=True)
        ]
    )


class ClipStep:
    """Clips the gradients of one update and records what it did.

    Called with a list of gradients, it returns the clipped ones, as Keras's
    `_clip_gradients` does.

    Args:
        clipper: The `Clipper`.
        inner: The optimizer that applies the update.
    """

    def __init__(self, clipper, inner):
        self.clipper = clipper
        self.inner = inner
        self.shapes = {}
        # Replicas are traced in threads that take turns.
        self._of_thread = _ThreadLocal()

    def build(self, variables, counts, add_variable):
        """Make the state.

        Args:
            variables: Trainable variables of the optimizer.
            counts: int32 variable that begins with the number of updates and
                of those that were clipped.
            add_variable: Function from a name, a shape and a dtype to a new
                optimizer variable.
        """
        self.variables = list(variables)
        self.counts = counts
        self.shapes = dict(self.clipper.state_shapes(self.variables))
        size = _HEAD + sum(math.prod(s) for s in self.shapes.values())
        # Each variable more is felt in every step of a small model, so that
        # the state of the clipper is in one.
        self.values = add_variable("clip_values", (size,), "float32")

    def begin(self, variables, norm):
        """Say what is known of the gradients that the next call gets.

        Args:
            variables: List of the variables they belong to.
            norm: Their global norm, or `None` if it is not known.
        """
        self._of_thread.update = _Update(variables, norm)

    def end(self):
        """Forget it.

        Returns:
            Whether there was a call.
        """
        called = self._update.called
        self._of_thread.update = None
        return called

    @property
    def _update(self):
        """The update being traced, or one of which nothing is known."""
        update = getattr(self._of_thread, "update", None)
        if update is None:
            update = self._of_thread.update = _Update(self.variables, None)
        return update

    def latest(self):
        """What the call that just returned did, for who watches it.

        Returns:
            Tuple of the threshold of the global norm, `None` where the clipper
            does not go by it, and of that norm after clipping, `None` where
            it does not follow from other norms.
        """
        threshold, norm = self._update.latest
        return threshold, None if norm is None else norm()

    def latest_threshold(self):
        """Threshold of the latest update; before the first, none to speak of.

        Returns:
            float32 scalar.
        """
        backend = _backend.current()
        threshold = backend.read(self.values)[0]
        # Not 0, which stands for no update yet.
        none = stats.full((), functional.NO_THRESHOLD)
        return ops.where(threshold > 0, threshold, none)

    def __call__(self, gradients):
        self._update.called = True
        where = [i for i, g in enumerate(gradients) if g is not None]
        results = list(gradients)
        if not where:
            return results
        variables = self._update.variables
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
        backend = _backend.current()
        norm = self._update.norm
        by_norm = self.clipper.uses_only_norm
        whole = gradients
        if norm is None or not by_norm:
            whole = backend.reduce_over_replicas(gradients)
        if norm is None:
            norm = measure(whole)
        before = backend.read(self.values)
        # Also keeps NaN out of computed indices.
        usable = ops.where(norm < float("inf"), norm, ops.zeros_like(norm))
        clipped = self.clipper.clip(
            gradients if by_norm else whole,
            variables,
            usable,
            self._unpack(before),
        )
        threshold = ops.cast(clipped.threshold, "float32")
        self._update.latest = (None, clipped.norm)
        if by_norm:
            target = threshold if clipped.norm is None else clipped.norm()
            after = ops.minimum(norm, target)
            self._update.latest = (threshold, lambda: after)
        self._record(norm, threshold, clipped, before)
        replicas = backend.replicas()
        if by_norm or replicas == 1:
            return clipped.gradients
        # Keras is going to sum over the replicas.
        return [functional.scale(g, 1.0 / replicas) for g in clipped.gradients]

    def _unpack(self, values):
        """The clipper's state, by name, in a value of `clip_values`."""
        state, start = {}, _HEAD
        for name, shape in self.shapes.items():
            stop = start + math.prod(shape)
            state[name] = ops.reshape(values[start:stop], shape)
            start = stop
        return state

    def _record(self, norm, threshold, clipped, before):
        head = ops.stack([threshold, norm])
        state = [
            ops.reshape(ops.cast(clipped.state[name], "float32"), (-1,))
            for name in self.shapes
        ]
        is_clipped = ops.cast(clipped.is_clipped, "int32")
        zero = ops.zeros_like(is_clipped)
        more = ops.stack([zero + 1, is_clipped, zero, zero, zero])
        # A comparison with NaN is false.
        counts = ops.logical_and(norm > 0, norm < float("inf"))
        steps = self.inner.gradient_accumulation_steps
        if steps:
            # On JAX, Keras computes an update for each micro-batch and drops
            # most of them.
            counter = keras_private.counter(self.inner)
            is_update = ops.equal((counter + 1) % steps, 0)
            counts = ops.logical_and(counts, is_update)
            head = ops.where(is_update, head, before[:_HEAD])
            more = more * ops.cast(is_update, "int32")
        if state:
            state = ops.concatenate(state) if len(state) > 1 else state[0]
            state = ops.where(counts, state, before[_HEAD:])
            head = ops.concatenate([head, state])
        self.values.assign(head)
        self.counts.assign_add(more)

    # Outside of a step

    def read(self):
        """Threshold and norm, and the clipper's state by name, as arrays."""
        values = host_copy(self.values)
        state, start = {}, _HEAD
        for name, shape in self.shapes.items():
            stop = start + math.prod(shape)
            state[name] = values[start:stop].reshape(shape)
            start = stop
        return values[:_HEAD], state

    def write(self, head, saved):
        """Assign what `read` gave, maybe that of another clipper.

        Args:
            head: Array of shape `(2,)`.
            saved: Dict from names to arrays.

        Returns:
            Names of the state that could not be assigned.
        """
        shapes = {name: tuple(shape) for name, shape in self.shapes.items()}
        state = self.clipper.adapt_state(saved, shapes)
        parts = [np.asarray(head, "float32")]
        for name, shape in shapes.items():
            part = state.get(name, np.zeros(shape))
            parts.append(np.reshape(part, -1).astype("float32"))
        self.values.assign(np.concatenate(parts))
        return [name for name in shapes if name not in state]


class _Update:
    """What is known of an update, and what became of it.

    Not attributes of the `threading.local` itself: `torch.compile` loses some
    of them between two frames.

    Args:
        variables: List of the variables of its gradients.
        norm: Their global norm, or None.
    """

    def __init__(self, variables, norm):
        self.variables, self.norm = variables, norm
        self.called, self.latest = False, None


class _ThreadLocal(threading.local):
    """A `threading.local` that is copied and pickled as an empty one."""

    def __reduce__(self):
        return (_ThreadLocal, ())
