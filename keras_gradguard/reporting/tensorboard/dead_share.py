"""Shares of dead units, of the activations that can die."""

import numpy as np


def dead_share(trace, since):
    """Return the measurements after a step.

    Args:
        trace: `keras_gradguard.Trace`.
        since: Int. Leaves out measurements up to and with this step.

    Returns:
        List of A str, the layers whose activation is zero on a half-line, as
        ReLU's is; int array (K,) of steps; float array (K, A) of shares in
        [0, 1], NaN where not measured.
    """
    can_die = [trace.run.site(s).get("can_die") for s in trace.sites]
    columns = np.flatnonzero(np.array(can_die, bool))
    first = np.searchsorted(trace.activation_steps, since, side="right")
    return (
        trace.sites[columns].tolist(),
        trace.activation_steps[first:],
        trace.activation("dead_fraction")[first:, columns],
    )
