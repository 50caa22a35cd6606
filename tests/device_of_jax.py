"""Stands in for an accelerator on JAX: who reads from it is noted.

JAX refuses nothing on a CPU: `jax.transfer_guard` lets NumPy read there. So
whatever brings an array to the host is counted where a module of ours asks.
Arrays on the CPU take the way of those that lie elsewhere.
"""

import contextlib
import importlib
import sys

import jax
import jax.numpy as jnp
import numpy as np

_BACKEND = "keras_gradguard._backend.jax"
# Functions of ours that may bring numbers to the host, at a drain.
DRAINS = {
    f"{_BACKEND}.{name}"
    for name in ("values.to_numpy", "bundle.Bundle.read", "outbox.Outbox.take")
}
# It keeps some rows of small batches, at the few steps that are looked at.
LOOK = f"{_BACKEND}.batches.some_rows"
_READS = (
    (np, ("asarray", "array", "from_dlpack")),
    (jax, ("device_get", "block_until_ready")),
)
_WAITS = ("__bool__", "__float__", "__index__", "__int__", "__array__")
_WAITS += ("item", "tolist", "block_until_ready")


@contextlib.contextmanager
def standin(monkeypatch):
    """Let JAX's arrays lie elsewhere.

    Yields:
        List of str, the functions of ours that have read one since.
    """
    reads = []
    kind = type(jnp.zeros(()))
    with monkeypatch.context() as patch:
        for name in ("batches", "forward", "outbox", "values"):
            module = importlib.import_module(f"{_BACKEND}.{name}")
            patch.setattr(module, "is_here", lambda array: False)
        for owner, names in (*_READS, (kind, _WAITS)):
            for name in names:
                real = getattr(owner, name)
                patch.setattr(owner, name, _noting(real, reads))
        yield reads


def _noting(real, reads):
    def method(*arguments, **named):
        leaves = jax.tree_util.tree_leaves(arguments[:1])
        if any(_is_array(leaf) for leaf in leaves):
            owner = _owner(sys._getframe(1))
            if owner is not None:
                reads.append(owner)
        return real(*arguments, **named)

    return method


def _is_array(leaf):
    return isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer)


def _owner(frame):
    """The function of ours that a call comes from, past Keras's operations."""
    passed = ("keras.src.ops.", "keras.src.backend.", "keras.src.utils.")
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("keras_gradguard."):
            name = frame.f_code.co_qualname.partition(".<locals>")[0]
            return f"{module}.{name}"
        if module.startswith("keras.src.") and not module.startswith(passed):
            return None
        frame = frame.f_back
    return None
