"""Signal and gradient in a plain stack of infinite width, by recursion."""

import numpy as np

from keras_gradguard.presets.gains import moments

_DEEPEST = 1000


def propagate(activation, scale, depth, *, bias_variance=0.0, start=1.0):
    """Follow the second moments of signal and gradient through a stack.

    `q[l+1] = scale E f(sqrt(q[l]) z)^2 + bias_variance`; a gradient's second
    moment is multiplied by `chi[l] = scale E f'(sqrt(q[l]) z)^2` at each layer
    on its way back. Weights have variance `scale / fan`.

    Args:
        activation: Name, callable or activation layer.
        scale: Variance of the weights times the fan.
        depth: Number of layers.
        bias_variance: Variance of the biases. Defaults to 0.
        start: Second moment of the first pre-activation. Defaults to 1.

    Returns:
        Two float64 arrays of shape `(depth,)`: the pre-activation's second
        moment after 1, 2, ... layers, and the factor that a gradient's second
        moment has from there back to the start. They end in what they have
        reached where the signal leaves the range of float32.

    Example:
    >>> from keras_gradguard.presets import theory
    >>> signal, gradient = theory.propagate("relu", 2.0, 3)
    >>> [round(float(q), 6) for q in signal]
    [1.0, 1.0, 1.0]

    References:
    - [Poole et al., 2016](https://arxiv.org/abs/1606.05340)
    - [Schoenholz et al., 2017](https://arxiv.org/abs/1611.01232)
    """
    signal, gradient = np.empty(depth), np.empty(depth)
    q, factor = float(start), 1.0
    for layer in range(depth):
        if 1e-38 < q < 1e38:
            found = moments(activation, q)
            q = scale * found.second_moment + bias_variance
            factor *= scale * found.slope_moment
        signal[layer], gradient[layer] = q, factor
    return signal, gradient


def degrade_depth(row):
    """Return the depth at which a plain stack of a pairing degrades.

    It has degraded where the standard deviation of the signal or of the
    gradient has changed tenfold, for a stack that starts 10 % off the
    variance it is meant for, on the side where that happens sooner.

    Args:
        row: A `Pairing`.

    Returns:
        Number of layers; 1000 if it has not degraded by then.
    """
    depths = []
    for start in (0.9 * row.point, 1.1 * row.point):
        depth = 64
        while True:
            signal, gradient = propagate(
                row.activation,
                row.scale,
                depth,
                bias_variance=row.bias_variance,
                start=start,
            )
            change = np.maximum(
                np.abs(np.log10(signal / start)), np.abs(np.log10(gradient))
            )
            # A second moment changes a hundredfold.
            over = np.flatnonzero(change >= 2.0)
            if len(over) or depth >= _DEEPEST:
                break
            depth = min(4 * depth, _DEEPEST)
        depths.append(int(over[0]) + 1 if len(over) else _DEEPEST)
    return min(depths)


def table(rows):
    """Return the table of pairings of the documentation, in Markdown.

    Args:
        rows: List of `Pairing`.

    Returns:
        The lines, joined.
    """
    lines = [
        "| name | activation | weights: variance x fan | biases: variance "
        "| gain | chi | dV/dq | degrades at depth |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        found = moments(row.activation, row.point)
        depth = degrade_depth(row)
        name = row.activation
        if isinstance(name, dict):
            name = name["class_name"]
        name = name if isinstance(name, str) else name.__name__
        fan = "fan in" if row.mode == "fan_in" else "mean fan"
        lines.append(
            f"| `{row.name}` | {name} | {row.scale:.4f}, {fan} "
            f"| {row.bias_variance:.4f} "
            f"| {moments(row.activation).second_moment ** -0.5:.6f} "
            f"| {row.scale * found.slope_moment:.4f} "
            f"| {row.scale * found.sensitivity:.4f} "
            f"| {'over 1000' if depth >= _DEEPEST else depth} |"
        )
    return "\n".join(lines)
