"""How good a model's predictions are, whatever its loss says.

Read off the predictions themselves: a loss may be computed from what goes
into the last activation, or be on another scale after a remedy.
"""

import math

import keras
import numpy as np

from keras_gradguard.diagnosis.rules.output_mismatch.pairing import BINARY
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import CATEGORICAL
from keras_gradguard.diagnosis.rules.output_mismatch.thresholds import (
    FEW_CLASSES,
)
from keras_gradguard.models import outputs as configuration
from keras_gradguard.preflight import losses
from keras_gradguard.trace.facts import REGRESSION

_CLASS_LOSSES = (
    *BINARY,
    *CATEGORICAL,
    "hinge",
    "squared_hinge",
    "categorical_hinge",
)
_MOST_CLASSES = 1000
_SURE = 1e-4
# Predictions that differ by less, against their size, are the same.
_SAME = 1e-6


def tasks_of(model, y):
    """Return for each output whether its targets are classes.

    Decided once, by the model as it came, so that all attempts are measured
    alike.

    Args:
        model: The model.
        y: Structure of targets, or None.

    Returns:
        List of bool; [] if there are no targets.
    """
    heads = configuration.outputs_of(model)
    targets = losses.targets_of(model, y)
    if len(targets) != len(heads):
        return []
    return [_is_classes(h, t) for h, t in zip(heads, targets, strict=True)]


def _is_classes(head, target):
    values = np.asarray(target)
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        return False
    if not (values == np.round(values)).all():
        return False
    if np.ptp(values) >= _MOST_CLASSES:
        return False
    if head.loss_name in BINARY and values.max() > FEW_CLASSES:
        return False
    columns = values.ndim > 1 and values.shape[-1] > 1
    if columns and _exclusive(values) and head.loss_name not in REGRESSION:
        return True
    bounded = head.activation in ("softmax", "sigmoid")
    return head.loss_name in _CLASS_LOSSES or (bounded and np.ptp(values) <= 20)


def skill(model, x, y, tasks, outputs=None):
    """Return how good the predictions are, averaged over outputs.

    For classes the mean of two shares: of the accuracy that the most frequent
    class leaves to be gained, and of the crossentropy that the frequencies
    leave. For numbers `1 - mean squared error / variance`, at least -1.

    Args:
        model: A Keras model.
        x: Structure of arrays.
        y: Structure of arrays.
        tasks: List from `tasks_of`.
        outputs: List of arrays, the predictions for `x`. Defaults to asking
            the model.

    Returns:
        Float: 1 is perfect, 0 is knowing nothing, `-inf` is not finite.
    """
    if outputs is None:
        outputs = keras.tree.flatten(model.predict(x, verbose=0))
    heads = configuration.outputs_of(model)
    targets = losses.targets_of(model, y)
    if not len(outputs) == len(targets) == len(heads) == len(tasks):
        return math.nan
    found = []
    for output, target, head, classes in zip(
        outputs, targets, heads, tasks, strict=True
    ):
        output = np.asarray(output, np.float64)
        target = np.asarray(target, np.float64)
        if not np.isfinite(output).all():
            return -math.inf
        measure = _of_classes if classes else _of_numbers
        found.append(measure(output, target, head))
    return float(np.mean(found))


def is_blind(outputs):
    """Whether predictions are the same for every input.

    Args:
        outputs: List of arrays, the predictions of a model.
    """
    for output in outputs:
        output = np.asarray(output, np.float64)
        scale = np.abs(output).max(initial=0.0)
        if not np.isfinite(scale):
            return False
        if output.ndim and np.ptp(output, axis=0).max() > _SAME * scale:
            return False
    return True


def _of_numbers(output, target, head):
    del head
    if output.size != target.size:
        if output.ndim == 0 or output.shape[0] != target.shape[0]:
            return -1.0
        # Columns do not fit: each target against the same prediction.
        output = output.reshape(len(output), -1).mean(axis=1, keepdims=True)
        target = target.reshape(len(target), -1)
    else:
        output = output.reshape(target.shape)
    spread = np.mean((target - target.mean(axis=0)) ** 2)
    error = np.mean((target - output) ** 2)
    if spread == 0:
        return 1.0 if error < 1e-12 else 0.0
    return float(max(-1.0, 1.0 - error / spread))


def _of_classes(output, target, head):
    width = output.shape[-1] if output.ndim > 1 else 1
    columns = target.shape[-1] if target.ndim == output.ndim else 1
    low = target.min()
    if columns > 1 and _exclusive(target):
        labels = target.reshape(-1, columns).argmax(axis=1)
        classes = columns
    elif columns > 1:
        labels, classes, width = (target.reshape(-1) > 0.5) * 1, 2, 1
    else:
        labels = target.reshape(-1)
        labels = (labels > 0) * 1 if low < 0 else labels.astype(int)
        classes = int(labels.max()) + 1
    chance = _probabilities(output.reshape(-1, width), head, low)
    if len(chance) != len(labels):
        return -1.0
    if chance.shape[1] < classes:
        missing = np.zeros((len(chance), classes - chance.shape[1]))
        chance = np.concatenate([chance, missing], axis=1)
    right = float((chance.argmax(axis=1) == labels).mean())
    counts = np.bincount(labels, minlength=classes) / len(labels)
    most = counts.max()
    if most == 1.0:
        return right
    entropy = -np.sum(counts[counts > 0] * np.log(counts[counts > 0]))
    given = np.clip(chance[np.arange(len(labels)), labels], _SURE, 1)
    loss = float(-np.log(given).mean())
    gained = (right - most) / (1 - most)
    return float((max(-1.0, gained) + max(-1.0, 1 - loss / entropy)) / 2)


def _exclusive(target):
    if target.min() < 0:
        return False
    total = target.sum(axis=-1)
    return bool(((total == 1) | (total == 0)).all() and (total == 1).any())


def _probabilities(output, head, low):
    logits = head.from_logits
    if output.shape[1] == 1:
        p = output[:, 0]
        if logits:
            p = 1 / (1 + np.exp(-np.clip(p, -50, 50)))
        elif low < 0 and head.activation == "tanh":
            p = (p + 1) / 2
        p = np.clip(p, 0, 1)
        return np.stack([1 - p, p], axis=1)
    if logits:
        output = np.exp(output - output.max(axis=1, keepdims=True))
    output = np.clip(output, 0, None)
    total = output.sum(axis=1, keepdims=True)
    return np.where(total > 0, output / np.maximum(total, 1e-30), 0.0)
