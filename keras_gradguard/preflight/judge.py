"""Checks a model, its loss and its data before training."""

from typing import Any

import keras
import numpy as np

from keras_gradguard._validation import check_int
from keras_gradguard._validation import shown
from keras_gradguard.diagnosis.remedies.fitting import fitted
from keras_gradguard.diagnosis.rules import RULES
from keras_gradguard.diagnosis.rules import effects_of
from keras_gradguard.findings.causes import trace_causes
from keras_gradguard.findings.finding import Finding
from keras_gradguard.models import graph
from keras_gradguard.models.values import host_copy
from keras_gradguard.preflight import building
from keras_gradguard.preflight import random_states
from keras_gradguard.preflight import samples
from keras_gradguard.preflight import start as starts
from keras_gradguard.preflight.first_batch import first_rows
from keras_gradguard.reporting.report import Report

_MOST_ROWS, _FEWEST_ROWS = 256, 64
# Values that layers may compute for them, and the rows that are taken anyhow:
# a layer of so many values has each unit at many places of a row.
_MOST_VALUES, _ROWS_OF_LARGE = 1e7, 32


def static_findings(model: Any) -> list[Finding]:
    """Judge what a model's configuration alone tells, without running it.

    Output activation against loss, and the learning rate against what the
    optimizer is made for. Costs no forward pass.

    Args:
        model: A Keras model, compiled.

    Returns:
        List of `Finding`: those that keep a model from learning. What merely
        makes its outputs no probabilities, `check` tells.
    """
    found = _judge(starts.configured(model))
    return [f for f in found if not f.evidence.get("trains")]


def check(model: Any, x: Any, y: Any = None, batch_size: int = 32) -> Report:
    """Check a model, its loss and its data before training.

    Runs one forward and one backward pass of a few batches on the side, and
    reads the configuration. It tells of outputs, losses and labels that do not
    fit; inputs and targets far from unit scale, NaN in them; weights that no
    training should start from; layers that are dead or saturated and
    gradients that vanish or explode before the first step; a learning rate
    that no recipe uses, or whose first step would replace the weights.

    The model stays as it is, bit for bit: weights, optimizer, statistics,
    random states, metrics. A model that is not built yet is cloned and the
    clone built; its draw of weights is judged. Where no clone can be made, and
    where only layers in it are not built, it is built as `fit` would build it.
    `report.notes` says so.

    Args:
        model: A Keras model. Compiled, it is judged with its loss.
        x: Inputs as `fit` takes them: array, list or dict of arrays, or a
            `tf.data.Dataset`, `PyDataset` or loader, of which the first
            batches are read. A generator loses one batch, and a `tf.data`
            pipeline that shuffles has begun one of its passes: said in the
            notes.
        y: Targets, if `x` does not bring them. Without, what needs them is
            left out and the report says so.
        batch_size: Int. Rows of a batch. Defaults to 32.

    Returns:
        A `Report`. `report.notes` says what could not be judged, and why.

    Raises:
        TypeError: If `model` is no Keras model, or the data are no arrays.
        ValueError: If there are no data, or they do not fit the model.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_gradguard as kgg
    >>> model = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.Dense(1, "softmax", name="out")]
    ... )
    >>> model.compile("adam", "binary_crossentropy")
    >>> x = np.random.default_rng(0).normal(size=(64, 2))
    >>> report = kgg.check(model, x, (x[:, 0] > 0) * 1)
    >>> [finding.rule for finding in report.findings]
    ['output_mismatch']
    """
    return checked(model, x, y, batch_size)


def checked(
    model: Any, x: Any, y: Any, batch_size: int, notes_too: bool = True
) -> Report:
    """Do what `check` does.

    Args:
        model: As for `check`.
        x: As for `check`.
        y: As for `check`.
        batch_size: As for `check`.
        notes_too: Bool. Whether to measure what only a note says.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            "check: `model` must be a Keras model. Received: "
            f"model={shown(model)} (of type {type(model).__name__}). Wrap a "
            "layer in `keras.Sequential([layer])`."
        )
    batch_size = check_int("check", "batch_size", batch_size, minimum=1)
    rows = _rows(model, batch_size)
    with random_states.random_state_kept():
        data = samples.take(x, y, rows, batch_size)
    why = building.cannot_run(model)
    if why is not None:
        return _unseen(model, why, [*data.notes])
    failed: building.CannotRun | None = None
    whole = building.fixed_batch(model) or batch_size
    for rows_of_batch in (data, first_rows(data, whole)):
        # Some models take a batch of one size and no other: a graph's.
        told = [*data.notes]
        try:
            ready, fresh = building.built(
                model, rows_of_batch.x, batch_size, told
            )
            with random_states.random_state_kept():
                return _check(ready, rows_of_batch, fresh, told, notes_too)
        except building.CannotRun as error:
            failed = failed or error
    if not building.trains_its_own_way(model):
        raise ValueError(str(failed)) from failed
    return _unseen(model, str(failed), [*data.notes])


def _rows(model: Any, batch_size: int) -> int:
    """Rows to look at: fewer where each is long or large."""
    rows = int(np.clip(4 * batch_size, _FEWEST_ROWS, _MOST_ROWS))
    known = graph.is_graph(model) and model.built
    values = graph.values_of_a_row(model) if known else None
    if not values:
        return rows
    return int(np.clip(_MOST_VALUES // values, _ROWS_OF_LARGE, rows))


def _unseen(model: Any, why: str, notes: list[str]) -> Report:
    """Judge the configuration alone, of a model that cannot be called."""
    missing = [
        f"The model was not run: {why} Judge the models that it trains one by "
        "one, such as `kgg.check(model.generator, noise)`."
    ]
    found = _judge(starts.configured(model))
    return Report(found, notes=[*notes, *missing], not_judged=missing)


def _check(
    model: Any, data: Any, fresh: bool, notes: list[str], notes_too: bool
) -> Report:
    missing: list[str] = []
    untrained = fresh or _untrained(model)
    start = starts.measured(model, data, untrained, missing, notes_too)
    found = _judge(start)
    if start.nonfinite:
        found = [f for f in found if not f.evidence.get("trains")]
    notes = [*notes, *missing, *start.notes]
    return Report(found, notes=notes, not_judged=missing)


def _judge(start: Any) -> list[Finding]:
    """Ask all rules, causes before their effects."""
    for rule in RULES:
        start.found += rule().check_start(start)
    # What trains all the same is no cause of what does not.
    harmless = [f for f in start.found if f.evidence.get("trains")]
    others = [f for f in start.found if not f.evidence.get("trains")]
    rooted = trace_causes(others, effects_of([rule() for rule in RULES]))
    return fitted(start.run, [*harmless, *rooted])


def _untrained(model: Any) -> bool:
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return True
    return int(host_copy(optimizer.iterations)) == 0
