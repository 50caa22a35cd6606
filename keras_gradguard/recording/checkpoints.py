"""Keeps our variables out of everything that is saved during a watched fit.

On JAX the rings ride in the optimizer's state. A checkpoint with them in it
would make Keras drop the whole optimizer state on load, so they are taken
out of the optimizer's list while it saves or loads.
"""

import contextlib

from keras_gradguard.models import keras_private
from keras_gradguard.models import optimizers


def hide(optimizer, taps, patches):
    """Make an optimizer save and load as if there were no rings.

    Args:
        optimizer: The model's optimizer.
        taps: Its `GradientTap`s.
        patches: `Patches` that will undo it.
    """
    if not any(tap.ring_variables for tap in taps):
        return

    def make(original):
        def without_rings(*args, **kwargs):
            with _hidden(taps):
                return original(*args, **kwargs)

        return without_rings

    for member in optimizers.chain(optimizer):
        for name in ("save_own_variables", "load_own_variables", "set_weights"):
            if hasattr(member, name):
                patches.replace(member, name, make)


def add(taps):
    """Put the rings of an earlier fit back into the optimizers.

    Args:
        taps: `GradientTap`s.
    """
    for tap in taps:
        present = {id(v) for v in keras_private.state_variables(tap.optimizer)}
        for variable in tap.ring_variables:
            if id(variable) not in present:
                keras_private.track(tap.optimizer, variable, True)


def remove(taps):
    """Take the rings out of the optimizers for good.

    Args:
        taps: `GradientTap`s that are no longer needed.
    """
    for tap in taps:
        present = {id(v) for v in keras_private.state_variables(tap.optimizer)}
        for variable in tap.ring_variables:
            if id(variable) in present:
                keras_private.track(tap.optimizer, variable, False)


@contextlib.contextmanager
def _hidden(taps):
    shown = []
    for tap in taps:
        variables = keras_private.state_variables(tap.optimizer)
        shown.append((variables, list(variables)))
        ours = {id(v) for v in tap.ring_variables}
        _set_items(variables, [v for v in variables if id(v) not in ours])
    try:
        yield
    finally:
        for variables, items in shown:
            _set_items(variables, items)


def _set_items(tracked, items):
    """Replace the items of a tracked list without the tracker noticing."""
    list.clear(tracked)
    list.extend(tracked, items)
