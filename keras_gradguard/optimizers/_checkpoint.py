"""How the state of `AutoClip` is saved, loaded and taken over.

A checkpoint holds the inner optimizer's variables under their numbers, just
as a plain inner optimizer's checkpoint does, and AutoClip's own under names.
So either kind can be told from the other, and both can be loaded.
"""

import warnings

import numpy as np
from keras import ops

from keras_gradguard.exceptions import GradGuardWarning
from keras_gradguard.optimizers._nonfinite import host_copy

_PREFIX = "clipper_"


def save(optimizer, store):
    """Write all state of `optimizer`, an `AutoClip`, to `store`."""
    for index, variable in enumerate(optimizer.inner_optimizer.variables):
        store[str(index)] = variable.numpy()
    if not optimizer.built:
        return
    head, state = optimizer._clip_step.read()
    store["clip_values"] = head
    store["clip_counts"] = host_copy(optimizer.clip_counts)
    for name, array in state.items():
        store[f"{_PREFIX}{name}"] = array


def load(optimizer, store):
    """Read state from `store`, of an `AutoClip` or of a plain optimizer."""
    keys = set(store.keys())
    inner = optimizer.inner_optimizer
    numbered = {key: store[key] for key in keys if key.isdigit()}
    # Past what an earlier load, which Keras did not go on with, left there.
    type(inner).load_own_variables(inner, numbered)
    if numbered:
        _skip_next_load(inner, set(numbered))
    if not optimizer.built or keys == set(numbered):
        return
    optimizer.clip_counts.assign(np.asarray(store["clip_counts"]))
    saved = {
        key.removeprefix(_PREFIX): np.asarray(store[key])
        for key in keys
        if key.startswith(_PREFIX)
    }
    missing = optimizer._clip_step.write(
        np.asarray(store["clip_values"]), saved
    )
    if missing:
        warnings.warn(
            f"AutoClip: {', '.join(missing)} of {optimizer.clipper} start "
            "anew: the checkpoint was saved with another clipper. All other "
            "optimizer state was loaded.",
            GradGuardWarning,
            stacklevel=2,
        )


def _skip_next_load(inner, keys):
    # Keras visits the inner optimizer next. The checkpoint of a plain
    # optimizer has nothing under that name, and Keras would warn of it. Of
    # state that does not fit it has warned already.
    does_not_fit = len(keys) != len(inner.variables)

    def load_own_variables(store):
        del inner.load_own_variables
        found = set(store.keys())
        if found and not (does_not_fit and found == keys):
            inner.load_own_variables(store)

    inner.load_own_variables = load_own_variables


def set_weights(optimizer, weights):
    """Assign a list of arrays, in the order of `optimizer.variables`."""
    variables = optimizer.variables
    if not optimizer.built:
        raise ValueError(
            "AutoClip: `set_weights` must be called on a built optimizer. "
            f"Received: {len(weights)} arrays. Call "
            "`optimizer.build(model.trainable_variables)` first."
        )
    if len(weights) != len(variables):
        raise ValueError(
            f"AutoClip: `weights` must be a list of {len(variables)} arrays, "
            f"as `optimizer.variables` has them. Received: {len(weights)} "
            "arrays. Take them from an optimizer of the same kind."
        )
    for variable, weight in zip(variables, weights, strict=True):
        if tuple(variable.shape) != tuple(weight.shape):
            raise ValueError(
                f"AutoClip: `weights` must have shape {tuple(variable.shape)} "
                f"for {variable.path}. Received: {tuple(weight.shape)}. Take "
                "them from an optimizer of the same kind."
            )
        variable.assign(ops.convert_to_tensor(weight))
