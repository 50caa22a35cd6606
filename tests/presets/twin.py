"""Slow float64 twins: brute-force integrals and the variance recursion."""

import math

import numpy as np

_Z = np.linspace(-13.0, 13.0, 1_000_001)
_H = _Z[1] - _Z[0]
_PHI = np.exp(-0.5 * _Z**2) / np.sqrt(2 * np.pi)
_GRID = np.linspace(-10.0, 10.0, 20_001)
_ERF = np.array([math.erf(x) for x in _GRID])


def _sigmoid(x):
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _gelu(x):
    return 0.5 * x * (1.0 + _erf_table(x / np.sqrt(2.0)))


def _erf_table(x):
    grid, values = _GRID, _ERF
    # A Taylor step from the nearest point of the grid is good to 1e-13.
    index = np.clip(np.rint((x + 10.0) / 1e-3).astype(int), 0, len(grid) - 1)
    near = np.clip(x, -10.0, 10.0) - grid[index]
    slope = 2.0 / np.sqrt(np.pi) * np.exp(-(grid[index] ** 2))
    g = grid[index]
    return (
        values[index]
        + slope * near
        - slope * g * near**2
        + slope * (4 * g**2 - 2) / 6 * near**3
    )


_SELU_A, _SELU_L = 1.6732632423543772, 1.0507009873554805
FUNCTIONS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0.0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "relu6": lambda x: np.clip(x, 0.0, 6.0),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "celu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "selu": lambda x: (
        _SELU_L * np.where(x > 0, x, _SELU_A * np.expm1(np.minimum(x, 0)))
    ),
    "gelu": _gelu,
    "silu": lambda x: x * _sigmoid(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0.0, x)),
    "softplus": lambda x: np.logaddexp(0.0, x),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "softsign": lambda x: x / (1.0 + np.abs(x)),
    "hard_sigmoid": lambda x: np.clip(x / 6.0 + 0.5, 0.0, 1.0),
    "hard_silu": lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0),
    "hard_tanh": lambda x: np.clip(x, -1.0, 1.0),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0.0),
    "soft_shrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0.0),
    "tanh_shrink": lambda x: x - np.tanh(x),
    "squareplus": lambda x: 0.5 * (x + np.sqrt(x * x + 4.0)),
    "log_sigmoid": lambda x: -np.logaddexp(0.0, -x),
    "exponential": np.exp,
    "sparse_plus": lambda x: np.where(
        x <= -1, 0.0, np.where(x < 1, 0.25 * (x + 1) ** 2, x)
    ),
    "sparse_sigmoid": lambda x: np.clip(0.5 * (x + 1.0), 0.0, 1.0),
    "squared_relu": lambda x: np.maximum(x, 0.0) ** 2,
}


def second_moment(name, variance=1.0):
    """E f(x)^2 for x ~ N(0, variance), by a million-point sum."""
    f = FUNCTIONS[name](np.sqrt(variance) * _Z)
    return float(np.sum(f**2 * _PHI) * _H)


def slope_moment(name, variance=1.0):
    """E f'(x)^2, by differences; a jump of f counts as no slope."""
    x = np.sqrt(variance) * _Z
    f = FUNCTIONS[name](x)
    slope = np.diff(f) / np.diff(x)
    slope = np.where(np.abs(slope) > 1e3, 0.0, slope)
    middle = 0.5 * (_Z[1:] + _Z[:-1])
    phi = np.exp(-0.5 * middle**2) / np.sqrt(2 * np.pi)
    return float(np.sum(slope**2 * phi) * _H)


def recursion(name, scale, depth, bias_variance=0.0, start=1.0):
    """Second moment of the pre-activation after each of `depth` layers."""
    z = np.linspace(-13.0, 13.0, 40_001)
    mass = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    q, out = start, []
    for _ in range(depth):
        f = FUNCTIONS[name](np.sqrt(q) * z)
        q = scale * float(np.sum(f**2 * mass)) + bias_variance
        out.append(q)
    return np.array(out)
