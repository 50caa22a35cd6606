"""Exact gains of activations, by quadrature that splits at kinks.

The pre-activation of a wide layer is close to N(0, q). What an activation
does to signal and gradient is then four integrals over that density. They
are taken with 16 Gauss-Legendre nodes on each of many short panels, and a
panel never crosses a kink: Gauss-Hermite, which does, errs by 3e-3 on
`hard_tanh`.
"""

import dataclasses
import functools
import json
from typing import Any

import numpy as np

from keras_gradguard._validation import check_bool
from keras_gradguard._validation import check_number
from keras_gradguard._validation import shown
from keras_gradguard.presets.evaluate import as_function
from keras_gradguard.presets.evaluate import call_float64
from keras_gradguard.presets.evaluate import check_elementwise

_NODES = 16
_CHUNK = 64  # Panels a call: one shape, so one compilation a backend.
_PANEL = 0.5
_REACH = 12.0  # In standard deviations; the density beyond is under 1e-31.
_SPAN = 40.0  # Kinks are looked for in [-40, 40].
_MOST_PANELS = 4096

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(_NODES)
_VANDERMONDE = np.polynomial.legendre.legvander(_POINTS, _NODES - 1)
_TO_SERIES = np.linalg.inv(_VANDERMONDE)
_DERIVATIVE = (
    np.stack(
        [
            np.polynomial.legendre.legval(
                _POINTS, np.polynomial.legendre.legder(row)
            )
            for row in np.eye(_NODES)
        ],
        axis=1,
    )
    @ _TO_SERIES
)


@dataclasses.dataclass(frozen=True, slots=True)
class Moments:
    """What an activation does to a pre-activation x ~ N(0, variance).

    Attributes:
        variance: Variance q of the pre-activation.
        mean: E f(x).
        second_moment: E f(x)^2, what the next layer's weights multiply.
        slope_moment: E f'(x)^2, what a gradient's second moment is multiplied
            by on its way back. f' is the derivative almost everywhere, as
            backpropagation takes it.
        sensitivity: d E f(x)^2 / d q. Times the variance of the weights it is
            dV/dq: above 1, a deviation of q grows with each layer.
    """

    variance: float
    mean: float
    second_moment: float
    slope_moment: float
    sensitivity: float


def moments(activation: Any, variance: float = 1.0) -> Moments:
    """Integrate an activation over a normal pre-activation.

    Accurate to 1e-7 relative where the activation computes in float64 (all of
    Keras's do, on all backends; what is left is the backend's own error, such
    as XLA's in tanh), to 1e-5 where it computes in float32 whatever it is
    given.

    Args:
        activation: Name of a Keras activation, any elementwise callable, or
            an activation layer such as `keras.layers.LeakyReLU(0.1)`.
        variance: Variance of the pre-activation, above 0. Defaults to 1.

    Returns:
        A `Moments`.

    Raises:
        TypeError: If `activation` is neither a name, a callable nor None.
        ValueError: If it is not elementwise, or not finite.

    Example:
    >>> from keras_gradguard import presets
    >>> round(presets.moments("relu").second_moment, 6)
    0.5
    """
    variance = check_number("moments", "variance", variance, above=0.0)
    if isinstance(activation, dict):
        activation = _of_config(activation)
    return _cached(_moments, activation, variance)


def _of_config(config: Any) -> Any:
    """Make what a config describes, once: a dict has no hash to cache by."""
    try:
        key = json.dumps(config, sort_keys=True)
    except (TypeError, ValueError):
        return config
    return _of_json(key)


@functools.lru_cache(maxsize=128)
def _of_json(key: str) -> Any:
    return as_function(json.loads(key))


def _cached(function: Any, *arguments: Any) -> Any:
    """Call a cached function, uncached where an argument has no hash."""
    try:
        hash(arguments)
    except TypeError:
        return function.__wrapped__(*arguments)
    return function(*arguments)


@functools.lru_cache(maxsize=4096)
def _moments(activation: Any, variance: Any) -> Any:
    function, edges = _cached(_resolve, activation)
    root = np.sqrt(variance)
    grid = root * np.arange(-_REACH, _REACH + _PANEL, _PANEL)
    inside = edges[(edges > grid[0]) & (edges < grid[-1])]
    # A grid line beside a kink would only make a needlessly thin panel.
    near = np.abs(grid[:, None] - inside[None, :]).min(axis=1, initial=np.inf)
    near[[0, -1]] = np.inf
    breaks = np.unique(np.concatenate([grid[near > 0.1 * root], inside]))
    x, f = _sample(function, breaks[:-1], breaks[1:])
    half = 0.5 * (breaks[1:] - breaks[:-1])[:, None]
    slope = f @ _DERIVATIVE.T / half
    density = np.exp(-0.5 * x**2 / variance) / np.sqrt(2 * np.pi * variance)
    mass = density * _WEIGHTS * half
    with np.errstate(all="ignore"):
        result = Moments(
            variance=variance,
            mean=float(np.sum(mass * f)),
            second_moment=float(np.sum(mass * f**2)),
            slope_moment=float(np.sum(mass * slope**2)),
            sensitivity=float(np.sum(mass * f * slope * x) / variance),
        )
    return result


def gain(activation: Any, backward: bool = False) -> float:
    """Return the gain that keeps the signal, or the gradient, at one size.

    Weights drawn with variance `gain**2 / fan_in` give the next layer a
    pre-activation of second moment 1 when this one had 1; with
    `backward=True` and `fan_out`, the same for the gradient's second moment.
    The number is exact to six digits (see `moments`) for every elementwise
    activation, and cached.

    `gain = 1 / sqrt(E f(z)^2)`, backward `1 / sqrt(E f'(z)^2)`, z ~ N(0, 1).

    Args:
        activation: Name of a Keras activation, any elementwise callable, or
            an activation layer such as `keras.layers.LeakyReLU(0.1)`. None is
            linear.
        backward: Whether to return the gain of the backward pass. Defaults to
            False.

    Returns:
        The gain, a float.

    Raises:
        TypeError: If `activation` is neither a name, a callable nor None.
        ValueError: If it is not elementwise, not finite, or zero everywhere.

    Example:
    >>> from keras_gradguard import presets
    >>> round(presets.gain("relu"), 6)
    1.414214
    >>> round(presets.gain("gelu", backward=True), 6)
    1.481114
    """
    check_bool("gain", "backward", backward)
    found = moments(activation)
    power = found.slope_moment if backward else found.second_moment
    if not np.isfinite(power) or power <= 0.0:
        what = "E f'(z)^2" if backward else "E f(z)^2"
        raise ValueError(
            "gain: `activation` must have a finite, positive second moment "
            f"under N(0, 1). Received: activation={shown(activation)} with "
            f"{what}={power:g}. Divide or shift it so that it is neither zero "
            "nor unbounded."
        )
    return float(power**-0.5)


def _sample(function: Any, left: Any, right: Any) -> Any:
    """Evaluate on the nodes of panels, in calls of one fixed shape."""
    middle, half = 0.5 * (left + right), 0.5 * (right - left)
    x = middle[:, None] + half[:, None] * _POINTS
    padding = -len(x) % _CHUNK
    padded = np.concatenate([x, np.zeros((padding, _NODES))])
    values = [
        call_float64(function, chunk.ravel()).reshape(_CHUNK, _NODES)
        for chunk in padded.reshape(-1, _CHUNK, _NODES)
    ]
    return x, np.concatenate(values)[: len(x)].astype("float64")


@functools.lru_cache(maxsize=128)
def _resolve(activation: Any) -> Any:
    """Find where panels must end: at kinks, and densely at sharp bends.

    Returns:
        The activation as a function, and the sorted positions.
    """
    function = as_function(activation)
    dtype, size = check_elementwise(function, activation)
    double = dtype == np.float64
    tolerance, thinnest = (1e-12, 1e-9) if double else (3e-6, 1e-4)
    # Off the round numbers, so that a kink never hides on a panel's edge.
    grid = np.arange(-_SPAN, _SPAN + _PANEL, _PANEL) + 0.0271828
    left, right = grid[:-1], grid[1:]
    kinks: Any = []
    bends: Any = []
    while len(left):
        _, f = _sample(function, left, right)
        with np.errstate(all="ignore"):
            tail = np.abs(f @ _TO_SERIES.T)[:, -3:].max(axis=1)
            rough = ~(tail <= tolerance * (np.abs(f).max(axis=1) + 0.1 * size))
        rough &= np.isfinite(f).all(axis=1)
        thin = right - left < thinnest
        kinks.extend(0.5 * (left + right)[rough & thin])
        left, right = left[rough & ~thin], right[rough & ~thin]
        if len(kinks) + len(left) > _MOST_PANELS:
            break
        middle = 0.5 * (left + right)
        bends.extend(middle)
        left, right = (
            np.concatenate([left, middle]),
            np.concatenate([middle, right]),
        )
    kinks = np.sort(np.asarray(kinks, dtype="float64"))
    if len(kinks):
        # A kink on a panel's edge is found from both sides.
        apart = np.diff(kinks, prepend=-np.inf) > 4 * thinnest
        kinks = kinks[apart]
    bends = np.asarray(bends, dtype="float64")
    if len(kinks):
        # The bisection that led to a kink is not needed once it is known.
        distance = np.abs(bends[:, None] - kinks[None, :]).min(axis=1)
        bends = bends[distance > 0.1]
    return function, np.unique(np.concatenate([kinks, bends]))
