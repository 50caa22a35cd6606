"""JAX: a pass forward in a compiled step of the user's own.

Such a step carries the weights itself. So the pass is traced into it, behind
a condition that holds at the few steps that are measured: XLA compiles what
is behind one by itself, and the step keeps its bits. It runs on what the
model was called with there, and its statistics are sent to the host.
"""

import threading
from typing import Any

import jax
import jax.extend
import jax.numpy as jnp
import keras

from keras_gradguard._backend import once_more
from keras_gradguard._backend import randomness
from keras_gradguard._backend.errors import CannotRunAgainError
from keras_gradguard._backend.errors import MakesItsBatchError
from keras_gradguard._backend.jax.values import at_level
from keras_gradguard._backend.jax.values import detach


class LoopLook:
    def __init__(self, model, tap):
        self._model = model
        self._tap = tap
        self._call: Any = None
        self._outputs: Any = None
        self._targets: dict = {}
        self._arrived: list = []
        self._lock = threading.Lock()
        self.is_looking = False

    # While the step is traced

    @property
    def keeps(self):
        return self._call is not None

    def before(self):
        # Without gradients they are what the step was given.
        return [
            detach(jnp.asarray(variable.value))
            for variable in self._model.variables
        ]

    def keep(self, inputs, training, outputs, state, xla):
        del xla
        self._targets = {}
        self._outputs = outputs
        self._call = _detached(inputs), training, state

    def keep_targets(self, given):
        if self.keeps and given.get("y_pred") is self._outputs:
            names = "y", "sample_weight"
            self._targets = {n: _detached(given.get(n)) for n in names}

    def drop(self):
        self._call, self._outputs, self._targets = None, None, {}

    def look_inside(self, level, step, due):
        """Measure in the step that is traced.

        Args:
            level: As `level` gave it.
            step: Integer scalar, the optimizer's.
            due: Bool scalar: whether to.
        """
        inputs, training, state = self._call
        given = {"x": inputs}
        if _all_at_level(self._targets, level):
            given.update(self._targets)
        self.drop()
        if not _all_at_level(inputs, level):
            raise MakesItsBatchError("x")
        if not _all_at_level(state, level):
            raise MakesItsBatchError("weights")

        def measure(state, batch):
            def forward():
                self._forward(state, batch, training)

            gathered = self._tap.gather(forward, (state, batch))
            return self._tap.packed(gathered)

        self.is_looking = True
        try:
            with randomness.kept():
                traced = jax.make_jaxpr(measure)(state, given)
        finally:
            self.is_looking = False
        if effects := traced.effects:
            kinds = sorted({type(effect).__name__ for effect in effects})
            raise CannotRunAgainError(f"calls back to Python ({kinds[0]})")
        run = jax.extend.core.jaxpr_as_fun(traced)

        def look(step, *leaves):
            (vector,) = run(*leaves)
            jax.debug.callback(self._arrive, step, vector)

        leaves = jax.tree_util.tree_leaves((state, given))
        jax.lax.cond(due, look, lambda *_: None, step, *leaves)

    def _forward(self, state, batch, training):
        pairs = list(zip(self._model.variables, state, strict=True))
        with keras.StatelessScope(pairs, collect_losses=True):
            once_more.forward(self._model, batch, training)

    # On the host

    def _arrive(self, step, vector):
        with self._lock:
            self._arrived.append((int(step), vector))

    def arrived(self):
        with self._lock:
            arrived, self._arrived = self._arrived, []
        return sorted(arrived, key=lambda pair: pair[0])


def _detached(structure):
    return jax.tree_util.tree_map(
        lambda leaf: detach(jnp.asarray(leaf)), structure
    )


def _all_at_level(structure, level):
    leaves = jax.tree_util.tree_leaves(structure)
    return all(at_level(leaf, level) for leaf in leaves)
