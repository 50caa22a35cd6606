"""Runs a model once, on the side, and notes what its rules want to know."""

import keras
import numpy as np

from keras_gradguard._text import error_in_words
from keras_gradguard.diagnosis.evidence.through_time import ThroughTime
from keras_gradguard.findings.start import HeadStart
from keras_gradguard.findings.start import InputStart
from keras_gradguard.findings.start import LayerStart
from keras_gradguard.findings.start import Start
from keras_gradguard.models import graph
from keras_gradguard.models import outputs as configuration
from keras_gradguard.models.recurrent import not_measured
from keras_gradguard.models.run_info import run_info_of
from keras_gradguard.preflight import building
from keras_gradguard.preflight import losses
from keras_gradguard.preflight import own_loss
from keras_gradguard.preflight import probe
from keras_gradguard.preflight import samples
from keras_gradguard.preflight import tables
from keras_gradguard.preflight.gradients import first_gradient
from keras_gradguard.preflight.gradients import opens
from keras_gradguard.preflight.trained import looks_trained
from keras_gradguard.preflight.unpaired import blind
from keras_gradguard.preflight.unpaired import unpaired
from keras_gradguard.presets.inspection.inspect import inspect_initialization
from keras_gradguard.trace.facts import Output
from keras_gradguard.trace.through_time import one_of

# Fewer targets may be alike by chance.
_MANY = 64
_L = keras.layers
_OWN = (
    "The loss is the model's own: its gradients were judged, and not which "
    "outputs and targets it takes."
)
_BLIND = (
    "The loss of your own stays the same when targets change places among the "
    "rows: it does not see which target is whose."
)
_NORMALIZE = (*graph.NORMALIZATIONS, _L.Normalization)


def configured(model, batches=False):
    """Return what the configuration of a model alone tells.

    Args:
        model: A Keras model.
        batches: Bool. Whether its data come as batches.

    Returns:
        `Start` with `run` and the outputs of `heads`.
    """
    heads = [HeadStart(output) for output in configuration.outputs_of(model)]
    return Start(run_info_of(model, batches), heads)


def measured(model, data, untrained, missing, notes_too=True):
    """Run a model forward and backward and return what it showed.

    Args:
        model: A built Keras model.
        data: `samples.Samples`.
        untrained: Bool. Whether its weights are those it starts with.
        missing: List of str. What cannot be judged is added to it.
        notes_too: Bool. Whether to measure gradients through time, of which
            no finding comes.

    Returns:
        `Start`.

    Raises:
        building.CannotRun: If the model cannot be run on the data.
    """
    start = configured(model, data.batches)
    start.nonfinite = _nonfinite(data)
    if start.nonfinite:
        # All that comes behind would be NaN as well.
        return start
    why = _no_gradient(model, data)
    passed = _run(model, data.x, data.y, why is None)
    signals = passed.signals
    start.heads = _heads(model, data, signals, passed.outputs)
    if not _one_sample(data):
        start.inputs = _inputs(model, signals, data)
    start.beyond = tables.beyond(signals, data)
    start.same_row = tables.same_row(signals, data)
    start.layers = [_layer(signal) for signal in signals.values()]
    start.trained = looks_trained(model)
    if untrained and not start.trained:
        start.weights = inspect_initialization(model)
    if why is None and passed.error is not None:
        why = _why_failed(model, data, passed.error)
    if why is None:
        start.gradient = first_gradient(model, passed)
        start.weights = [
            problem
            for problem in start.weights
            if not (
                problem.kind == "constant" and opens(passed, model, problem)
            )
        ]
        if own_loss.has_own(model) or start.run.own_code.get("loss_class"):
            start.unpaired = unpaired(passed, data.y)
        elif start.run.own_loss == "function" and blind(passed, data.y):
            start.notes.append(_BLIND)
        if own_loss.has_own(model):
            start.notes.append(_OWN)
        elif notes_too:
            start.through_time = _through_time(model, data, missing)
        start.notes += not_measured(model)
    else:
        missing.append(why)
    return start


def _why_failed(model, data, error):
    if isinstance(error, own_loss.NoLoss):
        return "Gradients, targets and losses were not judged: it has no loss."
    if data.y is None:
        return (
            "Gradients were not judged: there are no targets, and computing "
            f"the loss without failed with {error_in_words(error)}."
        )
    texts = [y for y in keras.tree.flatten(data.y) if _is_text(y)]
    if texts:
        return (
            "Gradients were not judged: the targets are text, such as "
            f"{str(texts[0].flat[0])!r}, and a loss takes numbers. Number "
            "them: `names, y = np.unique(y, return_inverse=True)`."
        )
    return (
        "Gradients were not judged: computing the loss failed with "
        f"{error_in_words(error)}."
    )


def _is_text(leaf):
    if leaf is None or not leaf.size:
        return False
    return leaf.dtype.kind in "SU" or isinstance(leaf.flat[0], str | bytes)


def _nonfinite(data):
    counts = {}
    for name, structure in (("x", data.all_x), ("y", data.all_y)):
        bad = rows = 0
        for leaf in keras.tree.flatten(structure):
            if leaf is None or leaf.dtype.kind not in "fc" or not leaf.size:
                continue
            wrong = ~np.isfinite(leaf)
            bad += int(wrong.sum())
            if wrong.any():
                rows += int(wrong.reshape(len(leaf), -1).any(axis=1).sum())
        if bad:
            counts[name] = {"values": bad, "rows": rows}
    return counts


def _run(model, x, y, loss):
    try:
        return probe.run(model, x, y, loss)
    except Exception as error:
        raise building.failure(error) from error


def _through_time(model, data, missing):
    """Return how gradients change through time, [] where nothing recurs."""
    try:
        found = probe.through_time(model, data.x, data.y)
    except Exception as error:
        missing.append(
            "Gradients through time were not judged: computing them failed "
            f"with {error_in_words(error)}."
        )
        return []
    if found is None:
        return []
    layers = zip(found.layers, found.lengths, found.norms, strict=True)
    return [
        ThroughTime.of(layer, np.zeros(1, int), *one_of(length, norms))
        for layer, length, norms in layers
        if length > 1
    ]


def _layer(signal):
    layer, values = signal.layer, signal.output
    # It bends what it gives as the layer in it does.
    distributed = isinstance(layer, _L.TimeDistributed)
    bends = layer.layer if distributed else layer
    first = getattr(layer, "data_format", None) == "channels_first"
    return LayerStart(
        signal.path,
        configuration.activation_name(bends),
        values,
        channels=1 if first else values.ndim - 1,
        last=signal.last,
        loops=isinstance(layer, _L.RNN),
        starved=bool(signal.inputs) and not any(map(np.any, signal.inputs)),
    )


def _heads(model, data, signals, outputs):
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
    targets = losses.targets_of(model, data.all_y)
    if not len(heads) == len(targets) == len(outputs):
        return [HeadStart(head) for head in heads]
    return [
        HeadStart(
            head,
            None if target is None else samples.target_facts(target, output),
            not data.batches and _alike(target),
        )
        for head, target, output in zip(heads, targets, outputs, strict=True)
    ]


def _alike(y):
    """Whether there are many targets, and all of them the same."""
    known = y is not None and samples.numbers(y) and len(y) >= _MANY
    return bool(known and (y == y[:1]).all())


def _inputs(model, signals, data):
    """What the first layers take, None where it cannot be judged.

    What a normalization, a rescaling or an embedding takes is not judged, nor
    layers that a normalization follows, nor frozen ones.
    """
    first = _first_layers(model, signals)
    judged = [
        signal
        for signal in first
        if signal.layer.trainable
        and not isinstance(signal.layer, (*_NORMALIZE, _L.Embedding))
        and all(a.dtype.kind == "f" for a in signal.inputs)
    ]
    if not judged or len(judged) < len(first):
        return None
    arrays = [array for signal in judged for array in signal.inputs]
    mean, std = _per_feature(data.all_x, arrays)
    return InputStart(
        samples.input_facts(arrays),
        [signal.path for signal in judged],
        mean,
        std,
        several=len(keras.tree.flatten(data.x)) > 1,
        shape=list(arrays[0].shape[1:]) if len(arrays) == 1 else None,
    )


def _one_sample(data):
    """Whether all inputs are one number, and all targets alike.

    So a picture is found by the weights alone: there is nothing to tell apart.
    """
    x, y = (
        [a for a in keras.tree.flatten(part) if a is not None and a.size]
        for part in (data.all_x, data.all_y)
    )
    if not y or not all(samples.numbers(a) for a in (*x, *y)):
        return False
    one = all(a.min() == a.max() for a in x)
    return one and all((a == a[:1]).all() for a in y)


def _first_layers(model, signals):
    if not graph.is_graph(model):
        weighted = [s for s in signals.values() if s.inputs]
        return weighted[:1]
    taken = [signals.get(id(node.layer)) for node in graph.first_nodes(model)]
    return [signal for signal in taken if signal is not None and signal.inputs]


def _per_feature(x, arrays):
    """Return lists of mean and std a feature, where the model sees `x`."""
    leaves = keras.tree.flatten(x)
    if len(leaves) != 1 or len(arrays) < 1 or not samples.numbers(leaves[0]):
        return None, None
    x = leaves[0]
    if x.ndim not in (2, 3) or x.shape[1:] != arrays[0].shape[1:]:
        return None, None
    if x.shape[-1] > 1000:
        return None, None
    flat = x.reshape(-1, x.shape[-1]).astype(np.float64)
    std = flat.std(axis=0)
    std[std == 0] = 1.0
    return flat.mean(axis=0).tolist(), std.tolist()


def _no_gradient(model, data):
    """Return why no gradient can be computed, None if one can."""
    own = own_loss.has_own(model)
    if not own and configuration.losses_of(model) is None:
        why = (
            "its own `train_step` computes the loss"
            if model.compiled
            else "it is not compiled"
        )
    elif data.y is None and not own:
        why = "there are no targets"
    elif not model.trainable_variables:
        return "Gradients were not judged: it has no trainable weights."
    else:
        return None
    return f"Gradients, targets and losses were not judged: {why}."
