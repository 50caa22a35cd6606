"""What is known of a run before its first step."""

import dataclasses

import keras

from keras_gradguard import _backend
from keras_gradguard.models import alone
from keras_gradguard.models import calls
from keras_gradguard.models import graph
from keras_gradguard.models import keras_private
from keras_gradguard.models import optimizers
from keras_gradguard.models import outputs as configuration
from keras_gradguard.models import own_code
from keras_gradguard.models import own_lines
from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.layers import layer_info
from keras_gradguard.models.layers import layer_path
from keras_gradguard.models.layers import wrappers_of
from keras_gradguard.models.linear import linear_layers
from keras_gradguard.models.untracked import untracked_layers
from keras_gradguard.trace import meta
from keras_gradguard.trace.run_info import RunInfo
from keras_gradguard.trace.trace import Trace

_L = keras.layers
_NOISE = (
    _L.Dropout,
    _L.AlphaDropout,
    _L.SpatialDropout1D,
    _L.SpatialDropout2D,
    _L.SpatialDropout3D,
    _L.GaussianDropout,
    _L.GaussianNoise,
)


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


def facts(model, params, batches=False):
    """Facts about a run, as plain JSON types.

    Args:
        model: A compiled model.
        params: `params` of a callback.
        batches: Bool. Whether the data come as batches, and not as arrays.

    Returns:
        Dict with `backend`, `keras_version`, `model`, `model_kind`,
        `optimizer`, `learning_rate`, `loss_name`, `loss_weight` (of a single
        loss, None where there are several), `compiled` (see
        `calls.compiled_with`), `inputs` (how many), `outputs` (one dict with
        the fields of `Output` each), `own_code` (see
        `own_code.edges_of_own_code`; `cuts`, see `own_lines`; `untracked`, see
        `untracked.untracked_layers`; `step`, whether
        its train step is one's own), `rescaling`, `linear` (see
        `linear.linear_layers`), `batches`, `noise`,
        `alone` (see `alone.of_one_number`),
        `others` (optimizers beside the compiled one), `epochs_planned`,
        `steps_per_epoch`.
    """
    compiled = getattr(model, "optimizer", None) is not None
    several = optimizers.all_of(model)[1:] if compiled else []
    return {
        "backend": keras.backend.backend(),
        "keras_version": keras.__version__,
        "model": model.name,
        "model_kind": _kind(model),
        # Which of several the step applies is not known before.
        "optimizer": _named(several[0]) if several else _optimizer(model),
        "learning_rate": None if several else learning_rate_of(model),
        "loss_name": _loss_name(getattr(model, "loss", None)),
        "loss_weight": _loss_weight(model),
        "compiled": calls.compiled_with(model),
        "inputs": _inputs(model),
        "outputs": _outputs(model),
        "own_code": _own_code(model),
        "rescaling": [
            layer_path(layer)
            for layer in forward_layers(model)
            if isinstance(layer, keras.layers.Rescaling)
        ],
        "linear": linear_layers(model),
        "batches": batches,
        "noise": _noise(model),
        "alone": alone.of_one_number(model),
        "others": _others(model, several),
        "epochs_planned": params.get("epochs"),
        "steps_per_epoch": params.get("steps"),
    }


def run_info_of(model, batches=False):
    """What a model tells before it runs, as a `Trace` would tell it.

    Args:
        model: A Keras model.
        batches: Bool. Whether its data come as batches.

    Returns:
        `RunInfo`.
    """
    found = forward_layers(model)
    wrappers = wrappers_of(found)
    layers = {
        layer_path(layer): layer_info(layer, wrappers.get(id(layer)))
        for layer in found
    }
    return RunInfo.of({**facts(model, {}, batches), "layer_info": layers})


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
        # What an unusual model makes of it must not cost the record.
        meta=meta.cleaned({**facts, "layer_info": table.info}),
    )


def _named(optimizer):
    return {"class": type(optimizer).__name__}


def _optimizer(model):
    if getattr(model, "optimizer", None) is None:
        return {}
    described = _named(model.optimizer)
    known = configuration.optimizer_of(model)
    if known is not None:
        described |= dataclasses.asdict(known)
    leaves = optimizers.leaves(model.optimizer)
    if len(leaves) == 1:
        # With what wraps it, where that is known.
        call = calls.call_of(model.optimizer) or calls.call_of(leaves[0])
        if call is not None:
            described["call"] = call
    return described


def _kind(model):
    if isinstance(model, keras.Sequential):
        return "sequential"
    return "functional" if graph.is_graph(model) else "subclassed"


def _inputs(model):
    try:
        return len(model.inputs)
    except (AttributeError, TypeError, ValueError):
        return None  # a subclassed model, or one that is not built


def _outputs(model):
    try:
        outputs = configuration.outputs_of(model)
    except Exception:
        # What a model of a user's own class refuses is only less to judge by.
        return []
    return [dataclasses.asdict(output) for output in outputs]


def _own_code(model):
    try:
        return {
            **own_code.edges_of_own_code(model),
            "cuts": own_lines.cuts_of_own_code(model),
            "untracked": untracked_layers(model),
            "step": type(model).train_step is not keras.Model.train_step,
            "turned": own_lines.turned_loss(model),
            "loss_class": is_plain_loss(getattr(model, "loss", None)),
        }
    except Exception:
        # Code that cannot be read, as in some interactive sessions.
        return {}


def is_plain_loss(loss):
    """Whether a loss gets targets and outputs in the shapes that they have.

    Keras brings both to one rank for functions, and for classes of its own
    that wrap one, but not for other classes.

    Args:
        loss: What a model is compiled with.
    """
    of_keras = getattr(keras.losses, type(loss).__name__, None) is type(loss)
    wraps = hasattr(loss, "fn") or bool(keras_private.loss_arguments(loss))
    return isinstance(loss, keras.losses.Loss) and not of_keras and not wraps


def _others(model, several):
    """Facts of optimizers beside the compiled one, by the name it has."""
    names = {id(value): name for name, value in vars(model).items()}
    found = {}
    for optimizer in several:
        known = configuration.facts_of(optimizer)
        if known is not None and id(optimizer) in names:
            found[names[id(optimizer)]] = dataclasses.asdict(known)
    return found


def _noise(model):
    """Layers that drop or add at random in training, with how much."""
    return {
        layer_path(layer): {
            "class": type(layer).__name__,
            "name": layer.name,
            "rate": getattr(layer, "rate", None),
        }
        for layer in forward_layers(model)
        if isinstance(layer, _NOISE)
    }


def learning_rate_of(model):
    """Return the learning rate as it is now, None where several are.

    Args:
        model: A compiled Keras model.
    """
    try:
        rate = model.optimizer.learning_rate
        backend = _backend.current()
        return float(backend.to_numpy(backend.read(rate)))
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
