"""What is known of a run before its first step."""

import dataclasses
import os

import keras

from keras_gradguard import _validation
from keras_gradguard.diagnosis.preflight import configuration
from keras_gradguard.recording import optimizers
from keras_gradguard.trace import Trace


def check_log_dir(owner, log_dir):
    """Return `log_dir` as a string, or None.

    Args:
        owner: Class that took the argument.
        log_dir: What was passed.

    Returns:
        String or None.

    Raises:
        TypeError: If it is neither None, nor a string, nor a path.
    """
    if log_dir is None:
        return None
    if not isinstance(log_dir, str | os.PathLike):
        raise TypeError(
            f"{owner}: `log_dir` must be a path or None. Received: "
            f"log_dir={log_dir!r} (of type {type(log_dir).__name__}). Pass a "
            'directory such as "runs/first".'
        )
    return os.fspath(log_dir)


def check_histogram_freq(owner, histogram_freq, log_dir):
    """Return `histogram_freq` as an int.

    Args:
        owner: Class that took the argument.
        histogram_freq: What was passed.
        log_dir: String or None, where events are written.

    Returns:
        Integer.

    Raises:
        TypeError: If it is no integer.
        ValueError: If it is negative, or there is nowhere to write to.
    """
    histogram_freq = _validation.check_int(
        owner,
        "histogram_freq",
        histogram_freq,
        minimum=0,
        hint="Pass 1 for histograms in every epoch, 0 for none.",
    )
    if histogram_freq and log_dir is None:
        raise ValueError(
            f"{owner}: `histogram_freq` must be 0 without `log_dir`. "
            f"Received: histogram_freq={histogram_freq}, log_dir=None. "
            "Histograms are written for TensorBoard: pass a directory such "
            'as log_dir="runs/first".'
        )
    return histogram_freq


def check_model(owner, model):
    """Raise if a model cannot be trained by an optimizer.

    Args:
        owner: Class that wants to watch it.
        model: The model.

    Raises:
        RuntimeError: If the model has no optimizer.
    """
    if getattr(model, "optimizer", None) is None:
        raise RuntimeError(
            f"{owner}: starting failed: the model has no optimizer, so there "
            "are no gradients to watch. Pass one to "
            '`model.compile(optimizer="adam", ...)`.'
        )


def facts(model, params):
    """Facts about a run, as plain JSON types.

    Args:
        model: A compiled model.
        params: `params` of a callback.

    Returns:
        Dict with `backend`, `keras_version`, `model`, `optimizer`,
        `learning_rate`, `loss_name`, `loss_weight` (of a single loss, None
        where there are several), `outputs` (one dict with the fields of
        `judgements.Output` each), `epochs_planned`, `steps_per_epoch`.
    """
    several = optimizers.all_of(model)[1:]
    return {
        "backend": keras.backend.backend(),
        "keras_version": keras.__version__,
        "model": model.name,
        # Which of several the step applies is not known before.
        "optimizer": _named(several[0]) if several else _optimizer(model),
        "learning_rate": None if several else _learning_rate(model.optimizer),
        "loss_name": _loss_name(getattr(model, "loss", None)),
        "loss_weight": _loss_weight(model),
        "outputs": _outputs(model),
        "epochs_planned": params.get("epochs"),
        "steps_per_epoch": params.get("steps"),
    }


def empty_trace(table, facts):
    """A trace without records of a model's layers.

    Args:
        table: `LayerTable` of the model.
        facts: Dict, as `facts` gives it.

    Returns:
        A `Trace`.
    """
    return Trace(
        table.layer_paths,
        table.variable_paths,
        table.owners,
        sizes=table.sizes,
        meta={**facts, "layer_info": table.info},
    )


def _named(optimizer):
    return {"class": type(optimizer).__name__}


def _optimizer(model):
    described = _named(model.optimizer)
    known = configuration.optimizer_of(model)
    if known is not None:
        described |= dataclasses.asdict(known)
        described |= configuration.settings_of(model)
    return described


def _outputs(model):
    try:
        outputs = configuration.outputs_of(model)
    except Exception:
        # What a model of a user's own class refuses is only less to judge by.
        return []
    return [dataclasses.asdict(output) for output in outputs]


def _learning_rate(optimizer):
    try:
        return float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    except (AttributeError, TypeError, ValueError):
        return None  # a MultiOptimizer has several


def _loss_weight(model):
    weights = configuration.loss_weights_of(model)
    if isinstance(weights, dict):
        weights = list(weights.values())
    if isinstance(weights, list | tuple):
        weights = weights[0] if len(weights) == 1 else None
    elif weights is None:
        weights = 1.0
    return float(weights) if isinstance(weights, int | float) else None


def _loss_name(loss):
    if loss is None or isinstance(loss, str):
        return loss
    if isinstance(loss, list | tuple | dict):
        values = loss.values() if isinstance(loss, dict) else loss
        return ", ".join(str(_loss_name(part)) for part in values)
    return getattr(loss, "__name__", type(loss).__name__)
