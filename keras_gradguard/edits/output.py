"""Changes at the ends of a model: outputs, losses, inputs."""

import keras
import numpy as np

from keras_gradguard.models import graph
from keras_gradguard.models.outputs import loss_weights_of
from keras_gradguard.models.rebuild import cannot
from keras_gradguard.models.rebuild import clone
from keras_gradguard.models.rebuild import compile_like
from keras_gradguard.models.rebuild import copy_weights
from keras_gradguard.models.rebuild import find
from keras_gradguard.models.rebuild import rebuild
from keras_gradguard.trace.facts import loss_name

_L = keras.layers


def change_output(
    model, layer, units=None, activation=None, loss=None, from_logits=None
):
    """Change the last layer with weights, the loss, or both.

    Args:
        model: The model.
        layer: Str. Path of that layer.
        units: Int or None. New number of units; its weights are drawn anew.
        activation: Str or None. New activation, put where the old one is.
        loss: Str or None. New loss, as Keras's function is called.
        from_logits: Bool or None. Whether it takes logits.
    """
    configs: dict = {}
    replaced, fresh = {}, set()
    if units is not None or activation is not None:
        node = find(model, layer)
        if node.inner is not node.layer:
            raise cannot("change the output", model, "it wraps a layer")
        configs[id(node.layer)] = own = {}
        if units is not None:
            config = node.layer.get_config()
            name = "units" if "units" in config else "filters"
            if name not in config:
                raise cannot("change the units", model, "it has none")
            own[name] = units
            fresh.add(id(node.layer))
        if activation is not None:
            behind = _following(node)
            if not behind:
                own["activation"] = activation
            for at, after in enumerate(behind):
                last = activation if at == len(behind) - 1 else "linear"
                replaced[id(after.layer)] = (
                    _L.Activation,
                    {"activation": last},
                )
    compiled = {}
    if loss is not None:
        compiled["loss"] = _with_loss(model, layer, loss, from_logits)
    return rebuild(model, configs, replaced, fresh, **compiled)


def _following(node):
    """Activations as layers of their own behind a layer."""
    found, stack = [], list(node.consumers)
    while stack:
        after = stack.pop(0)
        if isinstance(after.layer, (*graph.ACTIVATIONS, _L.Softmax)):
            found.append(after)
        stack.extend(after.consumers)
    return found


def _with_loss(model, layer, loss, from_logits):
    if from_logits is not None:
        kind = "".join(word.title() for word in loss.split("_"))
        loss = getattr(keras.losses, kind)(from_logits=from_logits)
    if len(model.outputs) == 1:
        return loss
    if not isinstance(model.loss, dict):
        raise cannot(
            "change the loss", model, "its losses are not given by name"
        )
    name = str(layer).rsplit("/", maxsplit=1)[-1]
    if name not in model.loss:
        raise cannot("change the loss", model, f"no loss is named {name!r}")
    return {**model.loss, name: loss}


def scale_targets(model, mean, std):
    """Let the model learn targets of unit scale and predict them at theirs.

    Args:
        model: The model, with one output.
        mean: Float. Mean of the targets.
        std: Float. Their standard deviation.
    """
    if len(model.outputs) != 1:
        raise cannot("scale the targets", model, "it has several outputs")
    new, pairs = clone(model)
    copy_weights(pairs)
    rescale = _L.Rescaling(scale=std, offset=mean, name="to_target_scale")
    if isinstance(new, keras.Sequential):
        new.add(rescale)
    else:
        new = keras.Model(new.inputs, rescale(new.output), name=model.name)
    # In the units of the targets the loss, and with it all gradients, would
    # still be as large as before.
    power = 1 if loss_name(_plain(model.loss)) == "mean_absolute_error" else 2
    weights = loss_weights_of(model)
    if isinstance(weights, dict):
        raise cannot("scale the targets", model, "its loss has a name")
    before = np.ravel([1.0 if weights is None else weights])[0]
    weights = [float(before) / float(std) ** power]
    return compile_like(new, model, loss_weights=weights)


def _plain(loss):
    if loss is None or isinstance(loss, str):
        return loss
    return getattr(loss, "__name__", type(loss).__name__)


def _in_front(model, layer):
    if len(model.inputs) != 1:
        raise cannot("change the inputs", model, "it has several inputs")
    first = model.inputs[0]
    if "float" not in str(first.dtype):
        raise cannot("change the inputs", model, "they are no float numbers")
    new, pairs = clone(model)
    copy_weights(pairs)
    start = keras.Input(batch_shape=first.shape, dtype=first.dtype)
    if isinstance(new, keras.Sequential):
        new = keras.Sequential([start, layer, *new.layers], name=model.name)
    else:
        new = keras.Model(start, new(layer(start)), name=model.name)
    return compile_like(new, model)


def normalize_inputs(model, mean=None, std=None):
    """Put a normalization in front.

    Args:
        model: The model, with one float input.
        mean: Float, list of a mean per feature, or None for a batch
            normalization, which finds out by itself.
        std: The same for the standard deviation.
    """
    name = "normalize_inputs"
    if mean is None or std is None:
        layer = _L.BatchNormalization(name=name, center=False, scale=False)
    else:
        variance = np.square(np.asarray(std, "float64"))
        scalar = variance.ndim == 0
        layer = _L.Normalization(
            axis=None if scalar else -1,
            mean=float(mean) if scalar else np.asarray(mean, "float32"),
            variance=float(variance) if scalar else variance.astype("float32"),
            name=name,
        )
    return _in_front(model, layer)


def rescale_inputs(model, scale):
    """Put a multiplication in front.

    Args:
        model: The model, with one float input.
        scale: Float. The factor.
    """
    return _in_front(model, _L.Rescaling(scale, name="rescale_inputs"))
