"""Applies remedies to a model and keeps those that help."""

import collections.abc
import math
from typing import Any

import keras

from keras_gradguard import edits
from keras_gradguard._validation import check_choice
from keras_gradguard._validation import check_int
from keras_gradguard._validation import shown
from keras_gradguard.healing.attempt import Attempt
from keras_gradguard.healing.attempt import failed
from keras_gradguard.healing.search import Healer
from keras_gradguard.reporting.report import Report


def heal(
    model: Any,
    x: Any = None,
    y: Any = None,
    report: Any = None,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    verbose: int = 1,
) -> tuple[Any, Report]:
    """Cure a model of what was found in it, and prove that it helped.

    Takes the remedies of the findings, the gravest first, applies one to a
    copy of the model, trains it for a fifth of `epochs` under a
    `GradientMonitor`, and keeps the change if the finding is gone and the
    predictions are better than those of the model before, trained as long; or
    if they were the same for every input before, and no longer are.
    Otherwise it tries the next. What remains is cured on top. A model in which
    nothing is found, but which learns little, trains once more for `epochs`.

    Predictions are compared, not losses: a loss may fall while predictions
    stay where they are, and a remedy may change it. The model that comes back
    is the best of all, the original among them. All trainings together take
    at most twice `epochs`.

    Without `x` the first remedy that can be applied is applied and not
    verified.

    Args:
        model: A Keras model, compiled and built; `Sequential` or functional,
            since layers of others cannot be exchanged. It stays untouched.
        x: Inputs as `fit` takes them, and as often as need be: a generator,
            which gives its batches once, will not do.
        y: Targets, if `x` does not bring them.
        report: A `Report` on it, of `check`, `diagnose` or a monitor, or None
            to make one: `check`, then a watched training of a copy where
            `check` names no grave cause, or no remedy for it helps. It may
            stand in the place of `x`, too, before the data.
        epochs: Int. Epochs that one plain training would take. Defaults to
            those of `report`'s run, else to some 2000 steps.
        batch_size: Int. Rows of a batch, where `x` is arrays. Defaults to
            that of `report`'s run, else to 32.
        verbose: 0 or 1. 1 prints a line for each training. Defaults to 1.

    Returns:
        Tuple of the healed model and a `Report`. The model has been trained
        for a fifth to three fifths of `epochs`; go on with `fit`. If nothing
        was found, or nothing helped, it is `model` itself. `report.attempts`
        says what was tried, `report.findings` what is left.

    Raises:
        TypeError: If `model` is no Keras model, or `x` a generator.
        ValueError: If `model` is not compiled, or `verbose` not 0 or 1.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_gradguard as kgg
    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.Dense(1, "softmax", name="out")]
    ... )
    >>> model.compile("adam", "binary_crossentropy")
    >>> x = np.random.default_rng(0).normal(size=(64, 2))
    >>> y = (x[:, 0] > 0) * 1.0
    >>> healed, report = kgg.heal(model, x, y, epochs=50, verbose=0)
    >>> healed.layers[-1].activation.__name__
    'sigmoid'

    References:
    - [Zhang et al., AUTOTRAINER, ICSE 2021](https://github.com/shiningrain/AUTOTRAINER)
    """
    if _in_former_order(x, y, report):
        report, x, y = x, y, report
    _check_arguments(model, report, x)
    edits.check_model("heal", model)
    if epochs is not None:
        epochs = check_int("heal", "epochs", epochs, minimum=1)
    if batch_size is not None:
        batch_size = check_int("heal", "batch_size", batch_size, minimum=1)
    verbose = check_choice("heal", "verbose", verbose, (0, 1))
    if x is None and report is not None:
        return _unverified(model, report)
    healer = Healer(model, report, x, y, epochs, batch_size, verbose)
    return healer.run()


def _in_former_order(x: Any, y: Any, report: Any) -> bool:
    """Whether what came is model, report, x, y: a report, or None for it."""
    if isinstance(x, Report):
        return True
    return x is None and y is not None and not isinstance(report, Report)


def _check_arguments(model: Any, report: Any, x: Any) -> None:
    if not isinstance(model, keras.Model):
        raise TypeError(
            "heal: `model` must be a Keras model. Received: "
            f"model={shown(model)} (of type {type(model).__name__})."
        )
    if report is not None and not isinstance(report, Report):
        raise TypeError(
            "heal: `report` must be a Report or None. Received: "
            f"report={shown(report)} (of type {type(report).__name__}). "
            "Pass what `kgg.check` or `monitor.report()` returns."
        )
    if isinstance(x, collections.abc.Iterator):
        raise TypeError(
            "heal: `x` must give its data as often as need be. Received: a "
            f"{type(x).__name__}. Pass arrays, a tf.data.Dataset or a "
            "keras.utils.PyDataset."
        )
    if x is None and report is None:
        raise ValueError(
            "heal: `report` or `x` must be given. Received: neither. Pass the "
            "data to train on."
        )
    if x is not None and not model.compiled:
        raise ValueError(
            "heal: `model` must be compiled to verify a remedy. Received: "
            f"model={model.name!r}, which is not. Call `model.compile(...)`."
        )


def _unverified(model: Any, report: Report) -> tuple[Any, Report]:
    """Apply the first remedy that can be applied, on trust."""
    attempts = []
    for finding in report.ranked:
        for remedy in finding.remedies:
            if remedy.apply is None:
                continue
            try:
                healed = remedy.apply(model)
            except (TypeError, ValueError) as error:
                attempts.append(failed(finding, remedy, error))
                continue
            unknown = math.nan
            done = Attempt(
                finding.rule, remedy.title, True, unknown, unknown, [], 0
            )
            left = [f for f in report.findings if f is not finding]
            note = "Applied without data, so nothing was verified."
            return healed, Report(
                left,
                notes=[note],
                attempts=[*attempts, done],
                not_judged=["nothing was verified, since there are no data"],
            )
    note = (
        "Nothing was changed: the report has no findings."
        if not report.findings
        else "Nothing was changed: no remedy can be applied by itself."
    )
    return model, Report(report.findings, notes=[note], attempts=attempts)
