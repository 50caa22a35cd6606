"""Finds batch, layer and operation at fault from a capsule."""

import os
from typing import Any

import keras

from keras_gradguard import _paths
from keras_gradguard import _validation
from keras_gradguard._backend.operations import BATCH
from keras_gradguard._backend.operations import STATE
from keras_gradguard._text import count
from keras_gradguard.capsule.contents import Contents
from keras_gradguard.capsule.state import state_variables
from keras_gradguard.capsule.state import write_back
from keras_gradguard.models import keras_private
from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.layers import layer_path
from keras_gradguard.replaying import naming
from keras_gradguard.replaying.labels import Labels
from keras_gradguard.replaying.look import operations_of
from keras_gradguard.replaying.origin import find_growth
from keras_gradguard.replaying.origin import find_origin
from keras_gradguard.replaying.rerun import as_fed
from keras_gradguard.replaying.rerun import is_exact
from keras_gradguard.replaying.rerun import run_again
from keras_gradguard.replaying.result import Replay
from keras_gradguard.replaying.result import said_of_growth

_OWNER = "replay"
_PASS_MODEL = (
    "Pass the model, compiled as in the run: `kgg.replay(capsule, model)`, or "
    "`--model module:function` of a function that returns it"
)


def replay(
    capsule: str | os.PathLike[str],
    model: Any = None,
    safe_mode: bool = True,
) -> Replay:
    """Run the steps of a capsule once more, and say what was at fault.

    `GradientMonitor(capsule=directory)` writes a capsule at the first step
    whose loss or gradient is not finite, whose gradient is a spike, or that
    raises an error. This runs its batches from the state that it holds, bit for
    bit, up to the batch at fault. That step then runs a second time, operation
    by operation, with a look at each result, forward and back.

    It names the first operation that made something that is not finite of
    what was. Numbers that nobody uses do not count, nor does an infinity
    that is written into the code, as in a mask: what makes NaN of it is
    named. In a spike it is the first operation whose numbers are ten times
    those with the batch before.

    Args:
        capsule: String or path, the directory.
        model: Keras model, compiled as in the run, or a function that
            returns it; its weights are overwritten. Defaults to `None`: the
            capsule holds the model, where Keras can serialize it.
        safe_mode: Bool. Whether to refuse code inside of the capsule, that of
            a `Lambda` layer; pass False for a capsule that you trust. Defaults
            to True.

    Returns:
        A `Replay`: `str()` of it says it in words. It has `epoch`, `index`,
        `step`, `checksum` and `rows` of the batch, `layer`, `operation`,
        `backward`, `line`, `source`, `exact`, `replayed` and `what`.

    Raises:
        FileNotFoundError: If there is no capsule.
        TypeError: For an argument of the wrong type.
        ValueError: If the capsule is damaged, of another backend, or of
            another model.
        RuntimeError: If its model cannot be made from it.

    Example:
    >>> import tempfile
    >>> import keras
    >>> import numpy as np
    >>> import keras_gradguard as kgg
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> x, y = np.ones((64, 4)), np.ones((64, 1))
    >>> x[40] = np.nan
    >>> folder = tempfile.mkdtemp()
    >>> monitor = kgg.GradientMonitor(capsule=folder, verbose=0)
    >>> history = model.fit(
    ...     x, y, batch_size=8, verbose=0, shuffle=False, callbacks=[monitor]
    ... )
    >>> found = kgg.replay(folder)
    >>> found.index, found.rows, found.source, found.exact
    (5, (40, 47), 'batch', True)

    Notes:
        The last step runs as single operations, not fused as the compiled step
        was; it says so where it does not show the fault then. Steps that draw
        from NumPy's or the backend's own generators do not run bit for bit.
    """
    _paths.check_path(_OWNER, "capsule", capsule)
    _validation.check_bool(_OWNER, "safe_mode", safe_mode)
    contents = Contents.read(capsule)
    model = _model(contents, model, safe_mode)
    variables = _set_state(model, contents)
    found = run_again(model, contents, variables)
    return _judged(model, contents, variables, found)


def _model(contents, model, safe_mode):
    made_by = contents.facts.get("backend")
    if made_by != keras.backend.backend():
        raise ValueError(
            f"{_OWNER}: the capsule is of the backend {made_by!r}, and Keras "
            f"runs on {keras.backend.backend()!r}. Set KERAS_BACKEND={made_by}"
        )
    if model is None:
        model = _from_capsule(contents, safe_mode)
    elif callable(model) and not isinstance(model, keras.Model):
        model = _made_by(model)
    if not isinstance(model, keras.Model):
        _validation.fail(
            TypeError,
            _OWNER,
            "model",
            "a Keras model, or a function that returns one",
            model,
            show_type=True,
        )
    if not model.compiled:
        raise ValueError(f"{_OWNER}: `model` must be compiled. {_PASS_MODEL}.")
    model.steps_per_execution = 1
    return model


def _made_by(function):
    try:
        return function()
    except Exception as error:
        raise RuntimeError(
            f"{_OWNER}: `model` must be a Keras model, or a function without "
            "arguments that returns one. Received: "
            f"model={_validation.shown(function)}, which raised "
            f"{type(error).__name__}: {error}."
        ) from error


def _from_capsule(contents, safe_mode):
    if contents.model is None:
        raise RuntimeError(
            f"{_OWNER}: the capsule holds no model, because Keras could not "
            f"serialize it. {_PASS_MODEL}."
        )
    try:
        model = keras.saving.deserialize_keras_object(
            contents.model, safe_mode=safe_mode
        )
    except Exception as error:
        unsafe = safe_mode and "unsafe" in str(error).lower()
        fix = (
            "It has code in it. If you trust it, pass `safe_mode=False`, or "
            "`--unsafe`"
            if unsafe
            else _PASS_MODEL
        )
        raise RuntimeError(
            f"{_OWNER}: the capsule's model cannot be made again "
            f"({type(error).__name__}). {fix}."
        ) from error
    if not model.compiled:
        raise RuntimeError(
            f"{_OWNER}: the capsule's model is not compiled, because Keras "
            f"could not serialize its loss or its optimizer. {_PASS_MODEL}."
        )
    return model


def _set_state(model, contents):
    if not all(layer.built for layer in forward_layers(model)):
        data = as_fed(contents.batches[0].data)
        keras_private.build_from(model, data[0])
    count_of_model = contents.facts.get("model_variables", 0)
    if len(contents.state) > count_of_model and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    variables = state_variables(model, set())
    own = [tuple(v.shape) for v in variables][: len(contents.state)]
    kept = [v.shape for v in contents.state]
    if own != kept or len(model.variables) != count_of_model:
        raise ValueError(
            f"{_OWNER}: the model is not that of the run. Expected "
            f"{count(count_of_model, 'variable')} of the model, but found "
            f"{len(model.variables)}, or they differ in shape. {_PASS_MODEL}."
        )
    write_back(variables, contents.state)
    return variables


def _judged(model, contents, variables, found):
    """Look at the operations of the step at fault, and say what it was."""
    batch = contents.batches[found.at]
    labels = Labels(model)
    fields: dict[str, Any] = {
        "layer": None,
        "operation": None,
        "backward": False,
        "line": None,
        "source": None,
    }
    if found.kind == "update":
        owner = _owner_of(model, variables, found.variable)
        fields |= {"layer": owner, "operation": "the optimizer's update"}
        what = "the gradient was finite, and the update made weights of it "
        what += "that are not"
    elif found.kind is None and contents.reason != "spike":
        what = "run again, no step was at fault"
    else:
        batches = [batch.data]
        if contents.reason == "spike" and found.kind is None:
            # The same weights, and what is usual.
            batches.append(_batch_before(contents, found.at))
        steps = []
        for data in batches:
            if data is not None:
                write_back(variables, found.before)
                steps.append(operations_of(model, labels, data))
        what = _say(fields, labels, steps, found)
    return Replay(
        reason=contents.reason,
        epoch=batch.epoch,
        index=batch.index,
        step=batch.step,
        checksum=batch.checksum,
        rows=batch.rows,
        exact=is_exact(contents, found),
        replayed=found.at + 1,
        what=f"{what}.",
        **fields,
    )


def _batch_before(contents, at):
    return contents.batches[at - 1].data if at else contents.previous


def _say(fields, labels, steps, found):
    """Fill in what the operations show, and return it in words."""
    step = steps[0]
    if step.error is not None or found.kind == "error":
        error = step.error or found.error
        if step.broken >= 0:
            _name(fields, labels, step.operations[step.broken])
        return f"the step raised {type(error).__name__}"
    origin = find_origin(step)
    if origin is None and len(steps) > 1:
        origin = find_growth(step, steps[1])
    if origin is None:
        return (
            "it is so in the compiled step, and not where its operations run "
            "one by one: the compiler has put some of them together"
            if found.kind == "nonfinite"
            else "the gradient was a spike, and no operation stands out"
        )
    operation = step.operations[origin.at]
    _name(fields, labels, operation)
    fields["source"] = origin.source
    if found.kind is None:
        return said_of_growth(origin.before, operation.largest)
    return _in_words(step, origin, labels)


def _name(fields, labels, operation):
    fields["layer"] = labels.name(operation.label)
    fields["operation"] = naming.name_of(operation)
    fields["backward"] = operation.backward
    fields["line"] = naming.line_of(operation)


def _in_words(step, origin, labels):
    operation = step.operations[origin.at]
    name = naming.name_of(operation)
    if origin.source == BATCH:
        return f"the batch holds NaN or infinity, which {name} took first"
    if origin.source == STATE:
        return f"weights were not finite, which {name} took first"
    kind = "NaN" if operation.nans else "infinity"
    of = operation.nans or operation.infinities
    entries = count(operation.size, "entry", "entries")
    text = f"{name} gave {kind} at {of:,} of {entries}"
    born = step.operations[origin.born]
    if origin.born != origin.at:
        where = labels.name(born.label)
        text += f", and {naming.name_of(born)} in {where} made NaN of it"
    return text


def _owner_of(model, variables, at):
    """Path of the layer that owns a variable, or its own path."""
    wanted = variables[at]
    owner = None
    for layer in forward_layers(model):
        if any(variable is wanted for variable in layer.variables):
            owner = layer_path(layer)  # the innermost comes last
    return owner or wanted.path
