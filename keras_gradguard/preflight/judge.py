"""Checks a model, its loss and its data before training."""

import contextlib
import dataclasses

import keras
import numpy as np

from keras_gradguard._validation import check_int
from keras_gradguard.diagnosis.remedies import of_steps
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import (
    judge_pairing,
)
from keras_gradguard.diagnosis.rules.output_mismatch.targets import REGRESSION
from keras_gradguard.diagnosis.rules.output_mismatch.targets import (
    judge_targets,
)
from keras_gradguard.diagnosis.rules.unscaled_data import judge_target_scale
from keras_gradguard.diagnosis.rules.update_ratio import judge_learning_rate
from keras_gradguard.models import outputs as configuration
from keras_gradguard.preflight import probe
from keras_gradguard.preflight import samples
from keras_gradguard.preflight import signals as passes
from keras_gradguard.preflight import weights
from keras_gradguard.reporting.report import Report
from keras_gradguard.trace.run_info import Output

_MOST_ROWS, _FEWEST_ROWS = 256, 64


def static_findings(model):
    """Judge what a model's configuration alone tells, without running it.

    Output activation against loss, and the learning rate against what the
    optimizer is made for. Costs no forward pass.

    Args:
        model: A Keras model, compiled.

    Returns:
        List of `Finding`: those that keep a model from learning. What merely
        makes its outputs no probabilities, `check` tells.
    """
    found = []
    for output in configuration.outputs_of(model):
        found += judge_pairing(output)
    optimizer = configuration.optimizer_of(model)
    if optimizer is not None:
        found += judge_learning_rate(optimizer)
    return [f for f in found if not f.evidence.get("trains")]


def check(model, x, y=None, batch_size=32):
    """Check a model, its loss and its data before training.

    Runs one forward and one backward pass of a few batches on the side, and
    reads the configuration. Told are: outputs, losses and labels that do not
    fit; inputs and targets far from unit scale, NaN in them; weights that no
    training should start from; layers that are dead or saturated and
    gradients that vanish or explode before the first step; a learning rate
    that no recipe uses, or whose first step would replace the weights.

    The model stays as it is, bit for bit: weights, optimizer, statistics,
    random states, metrics. A model that is not built yet is cloned and the
    clone built; its draw of weights is judged.

    Args:
        model: A Keras model. Compiled, it is judged with its loss.
        x: Inputs as `fit` takes them: array, list or dict of arrays, or a
            `tf.data.Dataset`, `PyDataset` or loader, of which the first
            batches are read. A generator loses one batch.
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
    if not isinstance(model, keras.Model):
        raise TypeError(
            "check: `model` must be a Keras model. Received: "
            f"model={model!r} (of type {type(model).__name__}). Wrap a layer "
            "in `keras.Sequential([layer])`."
        )
    batch_size = check_int("check", "batch_size", batch_size, minimum=1)
    with probe.random_state_kept():
        return _check(model, x, y, batch_size)


def _check(model, x, y, batch_size):
    rows = int(np.clip(4 * batch_size, _FEWEST_ROWS, _MOST_ROWS))
    data = samples.take(x, y, rows, batch_size)
    notes = []
    model, fresh = _built(model, data.x, notes)
    about = configuration.About.of(model)
    found = weights.judge_data(data, about)
    if found:
        # Everything behind would be NaN as well.
        return Report([*found, *static_findings(model)], notes=notes)
    signals, outputs = _forward(model, data.x)
    heads = _heads(model, signals, outputs)
    optimizer = about.optimizer
    targets = probe.targets_of(model, data.all_y)
    found += weights.judge_inputs(model, signals, data)
    found += _judge_outputs(heads, outputs, targets, optimizer)
    scaled = not any(f.rule == "unscaled_data" for f in found)
    # A root cause is told once, without its effects.
    told = scaled and all(f.evidence.get("trains") for f in found)
    if fresh or _untrained(model):
        found += weights.judge_initialization(model, about)
    broken = passes.judge_finite(signals, about)
    dead = passes.judge_dead(signals, about)
    found += broken or dead
    if scaled and not broken:
        found += passes.judge_saturated(signals, about)
    if not broken:
        found += _judge_backward(
            model, data, signals, about, notes, scaled and not dead, told
        )
    if optimizer is not None:
        rate = judge_learning_rate(optimizer)
        known = any(f.rule == "update_ratio" for f in found)
        found += [] if known else rate
    return Report(found, notes=notes)


def _built(model, x, notes):
    """Return the model, or a built clone of one that is not built."""
    if model.built:
        return model, False
    try:
        # Passes on layers that a user's own class makes.
        clone = type(model).from_config(model.get_config())
    except Exception as error:
        raise ValueError(
            f"check: `model` must be built. Received: model={model.name!r}, "
            "which is not, and of which no copy can be made "
            f"({type(error).__name__}). Call it once: model(x[:1])."
        ) from error
    clone(probe._tensors(keras.tree.map_structure(lambda a: a[:1], x)))
    if model.compiled:
        with contextlib.suppress(Exception):
            clone.compile_from_config(model.get_compile_config())
    notes.append(
        "The model is not built yet: a copy with weights of its own was judged."
    )
    return clone, True


def _untrained(model):
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return True
    return int(keras.ops.convert_to_numpy(optimizer.iterations)) == 0


def _forward(model, x):
    try:
        return probe.forward(model, x)
    except Exception as error:
        raise ValueError(
            "check: running the model failed on the first batch with "
            f"{type(error).__name__}: {error}. Expected `x` as `fit` takes "
            "it. Compare its shapes and types with the model's inputs."
        ) from error


def _heads(model, signals, outputs):
    """Return the outputs; of a subclassed model by the last layer called."""
    heads = configuration.outputs_of(model)
    if len(heads) == 1 and not heads[0].layer:
        last = [signal for signal in signals.values() if signal.last]
        if len(last) == 1 and len(outputs) == 1:
            layer = last[0].layer
            heads = [
                Output(
                    layer=last[0].path,
                    kind=type(layer).__name__,
                    units=int(outputs[0].shape[-1]),
                    activation=configuration.activation_name(layer),
                    loss=heads[0].loss,
                    from_logits=heads[0].from_logits,
                )
            ]
    return heads


def _judge_outputs(heads, outputs, targets, optimizer):
    found = []
    for at, head in enumerate(heads):
        pairing = judge_pairing(head)
        found += pairing
        if len(targets) != len(heads) or len(outputs) != len(heads):
            continue
        facts = samples.target_facts(targets[at], outputs[at])
        grave = any(not f.evidence["trains"] for f in pairing)
        if grave and _beyond_probabilities(head, facts):
            # Then the last layer needs no activation, and only that.
            found = [f for f in found if f not in pairing]
            found += [
                dataclasses.replace(f, remedies=f.remedies[::-1])
                for f in pairing
            ]
            head = dataclasses.replace(head, activation="linear")
        if not grave:
            labels = judge_targets(head, facts)
            if labels:
                # The labels decide, so what the pairing suggested is moot.
                found = [f for f in found if f not in pairing] + labels
        found += judge_target_scale(head, facts, optimizer)
    return found


def _beyond_probabilities(head, facts):
    """Tell whether a softmax over one unit is to give any numbers."""
    one = head.activation == "softmax" and head.units == 1
    if not one or head.loss_name not in REGRESSION:
        return False
    if facts.target_max is None:
        return False
    return facts.target_max > 1.1 or facts.target_min < -0.1


def _judge_backward(model, data, signals, about, notes, depth, told):
    losses = configuration.losses_of(model)
    why = None
    if losses is None:
        why = (
            "it has no loss of Keras's"
            if model.compiled
            else "it is not compiled"
        )
    elif data.y is None:
        why = "there are no targets"
    elif not model.trainable_variables:
        why = "it has no trainable weights"
    if why is not None:
        notes.append(
            f"Gradients, targets and losses were not judged: {why}."
            if losses is None or data.y is None
            else f"Gradients were not judged: {why}."
        )
        return []
    try:
        loss, grads = probe.gradients(model, data.x, data.y)
    except Exception as error:
        notes.append(
            "Gradients were not judged: computing the loss failed with "
            f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
        )
        return []
    paths, norms = passes.gradient_profile(model, signals, grads)
    found = []
    if depth:
        found += passes.judge_gradients(paths, norms, about)
    if np.isfinite(loss) and not found and told:
        found += weights.judge_first_step(model, grads, about.optimizer, about)
    if not np.isfinite(loss) and not found and told:
        found.append(
            passes.make(
                "nonfinite_gradient",
                "critical",
                [],
                {"kind": "loss_at_start", "loss": str(loss)},
                f"The loss is {loss} for the first batch, before any "
                "training, though all inputs and targets are finite.",
                of_steps.for_nonfinite(about, [], "layer"),
            )
        )
    return found
