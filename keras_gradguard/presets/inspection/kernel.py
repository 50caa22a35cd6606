"""Judges kernels one by one: constant, symmetric, too wide or too narrow."""

import dataclasses

import numpy as np

from keras_gradguard._text import count
from keras_gradguard.models import graph

# A kernel four times too wide saturates or explodes; a tenth is lost noise.
_WIDE, _NARROW = 4.0, 0.1
# He's weights are 1.41 times as wide as SELU's.
_SELU_WIDE = 1.25
# So many weights are all of one sign once in two thousand draws; with less than
# half the size that fits they do not add up to much.
_MANY, _ADDS_UP = 12, 0.5
# Below these a handful of draws says nothing.
_FEW_INPUTS, _FEW_WEIGHTS = 8, 64


def judge_kernel(kernel):
    """Return what is wrong with one kernel on its own.

    Args:
        kernel: `Kernel`.

    Returns:
        `InitializationProblem` or None.
    """
    values, few = kernel.values, kernel.values.size < _FEW_WEIGHTS
    units = values.reshape(-1, values.shape[-1])
    branch_end = graph.feeds(kernel.node, ("Add", "add", "ScaledAdd"))
    if kernel.hidden and units.shape[1] > 1 and "conv" not in _layout(kernel):
        zero_branch = branch_end and not values.any()
        if np.ptp(values) == 0.0 and not zero_branch:
            return kernel.problem(
                "constant",
                f"all {values.size} weights are {values.flat[0]:g}, so its "
                f"{units.shape[1]} units stay equal for ever. The weights "
                "should be random with a standard deviation of "
                f"{kernel.expected:.3g}.",
            )
        # A random projection tells equal columns apart.
        probe = np.random.default_rng(0).normal(size=len(units)) @ units
        probe = probe[np.abs(probe) > 0]
        distinct = len(np.unique(probe))
        if len(probe) > 1 and distinct <= len(probe) / 2:
            return kernel.problem(
                "symmetric",
                f"its {units.shape[1]} units have only {distinct} different "
                "sets of weights, and equal units stay equal for ever.",
            )
    if _is_one_sided(kernel):
        mean = float(values.mean())
        return kernel.problem(
            "not_centered",
            f"nearly all its weights have one sign: their mean is {mean:.3g}, "
            f"their root mean square {kernel.rms:.3g}. So its units see "
            "little but the sum of their inputs. Weights should have mean 0 "
            f"and a standard deviation of {kernel.expected:.3g}.",
        )
    if few or kernel.fan_in < _FEW_INPUTS:
        return None
    if kernel.normalized:
        return None
    says = (
        f"Their standard deviation is {kernel.rms:.3g}, where "
        f"{kernel.expected:.3g} fits {count(round(kernel.fan_in), 'input')}."
    )
    if kernel.ratio >= _WIDE:
        return kernel.problem(
            "too_wide",
            f"its weights start {kernel.ratio:.1f} times too large. {says} The "
            "signal grows or saturates.",
        )
    if kernel.hidden and 0 < kernel.ratio <= _NARROW and not branch_end:
        return kernel.problem(
            "too_narrow",
            f"its weights start {1 / kernel.ratio:.0f} times too small. {says} "
            "The signal and all gradients below are lost.",
            left=kernel.ratio,
        )
    return None


def judge_selu(kernels):
    """Find He's initializer where SELU needs LeCun's.

    Args:
        kernels: List of `Kernel`, all of the model.

    Returns:
        List of `InitializationProblem`, at most one.
    """
    fed = [
        k
        for k in kernels
        if getattr(k.activation, "__name__", "") == "selu"
        and graph.source_activation(k.node) is not None
        and k.hidden
        and not k.normalized
    ]
    wide = [k for k in fed if k.ratio > _SELU_WIDE]
    if len(wide) < 2 or 2 * len(wide) < len(fed):
        return []
    first = wide[0]
    return [
        first.problem(
            "wrong_pairing",
            f"{len(wide)} layers after SELU have weights {first.ratio:.2f} "
            "times too large. SELU normalizes itself with LeCun's initializer "
            f"only: a standard deviation of {first.expected:.3g} here instead "
            f"of {first.rms:.3g}. He's is made for ReLU.",
            [k.node.key for k in wide[1:]],
        )
    ]


def judge_width(kernel):
    """Return what is wrong with a hidden layer of one unit.

    Args:
        kernel: `Kernel`.

    Returns:
        `InitializationProblem` or None.
    """
    node = kernel.node
    narrow = (
        node.kind == "Dense"
        and kernel.values.shape[-1] == 1
        and kernel.values.shape[0] > 1
        and node.activation is not None
        and node.consumers
        and all(after.kind == "Dense" for after in node.consumers)
    )
    if not narrow:
        return None
    text = "a hidden layer of one unit squeezes everything into one number."
    return dataclasses.replace(
        kernel.problem("one_unit", text),
        message=f"{node.key}: {text} Give it more units, or leave it out.",
        preset=None,
    )


def _is_one_sided(kernel):
    """Whether weights that are free to have any sign have one."""
    values = kernel.values
    if getattr(kernel.node.inner, "kernel_constraint", None) is not None:
        return False
    alike = values.min() >= 0 or values.max() <= 0
    if values.size >= _MANY and kernel.fan_in > 1 and alike:
        return kernel.ratio > _ADDS_UP
    if values.size < _FEW_WEIGHTS or kernel.fan_in < 2 * _FEW_INPUTS:
        return False
    return abs(float(values.mean())) > 0.5 * kernel.rms


def _layout(kernel):
    """A kernel of one filter a channel has no units to be symmetric."""
    name = kernel.node.kind.lower()
    return name if name.startswith(("depthwise", "separable")) else ""
