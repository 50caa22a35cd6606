"""The first gradient: how it arrives at the layers, and where it does not."""

import numpy as np

from keras_gradguard.diagnosis.evidence.stretches import INCOMPARABLE
from keras_gradguard.findings.start import GradientStart
from keras_gradguard.models import keras_private
from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.layers import layer_path
from keras_gradguard.models.values import host_copy

# Root mean square of the step that opens what weights of zero close.
_FIRST_STEP = 0.01
# Cosine of gradients of two units that go the same way.
_SAME_WAY = 0.999


def first_gradient(model, passed):
    """Return the loss and its first gradient.

    Args:
        model: A built Keras model.
        passed: The `probe.Pass`, with gradients.

    Returns:
        `GradientStart`.
    """
    grads = passed.grads
    if all(grad is None for grad in grads):
        # So TensorFlow tells that no weight has an effect on the loss.
        grads = [np.zeros(v.shape) for v in model.trainable_variables]
    paths, norms = _gradient_profile(model, passed.signals, grads)
    return GradientStart(
        passed.loss,
        paths,
        norms,
        _kernels(model, grads),
        _opening(model, passed, paths, norms),
        _zeros(model, grads),
    )


def _zeros(model, grads):
    """Return the paths of layers with a table of zeros that get no gradient."""
    idle = {
        id(variable)
        for variable, grad in zip(model.trainable_variables, grads, strict=True)
        if len(variable.shape) > 1
        and not (grad is not None and np.any(grad))
        and not np.any(host_copy(variable))
    }
    return [
        layer_path(layer)
        for layer in (forward_layers(model) if idle else [])
        if any(id(v) in idle for v in keras_private.own_variables(layer))
    ]


def _opening(model, passed, paths, norms):
    """Return the layers that no gradient reaches before the first step alone.

    Weights that start at exactly zero close the branch before them: the last
    scale of a residual block, an adapter, a head. The first step opens it. So
    the pass is made once more, behind a step of these weights.
    """
    closed = {paths[at] for at in np.flatnonzero(norms == 0)}
    if not closed or len(closed) == len(paths):
        return []
    values, moved = [], False
    for variable, grad in zip(
        model.trainable_variables, passed.grads, strict=True
    ):
        value = host_copy(variable)
        if grad is not None and np.any(grad) and not np.any(value):
            size = np.sqrt(np.mean(np.square(grad.astype(np.float64))))
            value = (-_FIRST_STEP * grad / size).astype(value.dtype)
            moved = True
        values.append(value)
    if not moved:
        return []
    try:
        again = passed.again(values)
    except Exception:
        return sorted(closed)  # nothing to report is known
    paths, norms = _gradient_profile(model, again.signals, again.grads)
    return [
        path
        for path, norm in zip(paths, norms, strict=True)
        if path in closed and norm > 0
    ]


def opens(passed, model, problem):
    """Whether units whose weights are all 0 part with the first step.

    What comes behind may tell them apart: each is an entry of a matrix, a
    scale or a gate, as in spatial transformers or behind an adapter. Units
    whose gradients go the same way, or have none, stay alike.

    Args:
        passed: The `probe.Pass`, with gradients.
        model: The Keras model.
        problem: `InitializationProblem` of constant weights.
    """
    named = [s for s in passed.signals.values() if s.path == problem.layer]
    kernel = getattr(named[0].layer, "kernel", None) if named else None
    for variable, grad in zip(
        model.trainable_variables, passed.grads, strict=True
    ):
        if variable is not kernel or grad is None:
            continue
        if np.any(host_copy(variable)):
            return False
        units = grad.reshape(-1, grad.shape[-1]).astype(np.float64)
        size = np.linalg.norm(units, axis=0)
        units = units[:, size > 0] / size[size > 0]
        return bool(units.size and np.abs(units.T @ units).min() < _SAME_WAY)
    return False


def _kernels(model, grads):
    found = []
    for variable, grad in zip(model.trainable_variables, grads, strict=True):
        values = host_copy(variable).astype(np.float64)
        norm = float(np.linalg.norm(values))
        if grad is None or values.ndim < 2 or norm == 0 or not grad.any():
            continue
        size = float(np.linalg.norm(grad.astype(np.float64)))
        found.append((norm, size, int(np.count_nonzero(grad))))
    return found


def _gradient_profile(model, signals, grads):
    """Return paths and gradient norms of the layers that may be compared.

    Args:
        model: A Keras model.
        signals: Dict from `probe.run`.
        grads: List of arrays or None, one for each trainable variable.

    Returns:
        List of paths and float64 array of norms, in the order of the calls.
    """
    # Queries and keys get next to nothing while attention is uniform.
    attention = {
        id(inner)
        for layer in forward_layers(model)
        if "Attention" in type(layer).__name__
        for inner in forward_layers(layer)
    }
    of = {
        id(v): g for v, g in zip(model.trainable_variables, grads, strict=True)
    }
    if len(getattr(model, "outputs", None) or []) < 2:
        # TensorFlow and torch have no gradient where JAX has zeros. Of several
        # outputs some may have no loss.
        of = {
            id(v): np.zeros(v.shape) if of[id(v)] is None else of[id(v)]
            for v in model.trainable_variables
        }
    paths, norms = [], []
    for signal in signals.values():
        kind = type(signal.layer).__name__
        if id(signal.layer) in attention:
            continue
        if any(word in kind for word in INCOMPARABLE):
            continue
        own = getattr(signal.layer, "trainable_variables", [])
        own = [of[id(v)] for v in own if of.get(id(v)) is not None]
        if not any(grad.ndim > 1 for grad in own):
            continue
        paths.append(signal.path)
        norms.append(
            np.sqrt(sum(np.square(g.astype(np.float64)).sum() for g in own))
        )
    return paths, np.asarray(norms, np.float64)
