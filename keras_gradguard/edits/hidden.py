"""Changes of hidden layers."""

import random

import keras

from keras_gradguard.findings.edit_defaults import RECURRENT_KEPT
from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.rebuild import cannot
from keras_gradguard.models.rebuild import compile_like
from keras_gradguard.models.rebuild import find
from keras_gradguard.models.rebuild import rebuild
from keras_gradguard.presets import convert as pairings

_L = keras.layers


def convert(model, pairing, normalization=None, residual=False):
    """Swap hidden activations with their initializers; see `presets.convert`.

    Args:
        model: The model. It must have no frozen kernels, which are kept for
            a reason.
        pairing: Str. Name of the pairing.
        normalization: None, `"batch"` or `"layer"`.
        residual: Bool. Whether to add residual connections.
    """
    _refuse_frozen(model)
    new = pairings(
        model,
        pairing,
        normalization=normalization,
        residual=residual,
        copy_weights=True,
        # Drawn from Python's generator, so that `set_random_seed` holds.
        seed=random.randrange(2**31),
    )
    return compile_like(new, model)


def _refuse_frozen(model):
    frozen = [
        layer.name
        for layer in forward_layers(model)[1:]
        if not layer.trainable and hasattr(layer, "kernel")
    ]
    if frozen:
        raise cannot(
            "draw weights anew", model, f"{frozen[0]!r} is frozen on purpose"
        )


def change_recurrent(model, layer, kind):
    """Exchange a `SimpleRNN`: tanh, and orthogonal recurrent weights.

    Args:
        model: The model.
        layer: Str. Path of the layer.
        kind: Str. `"LSTM"`, `"GRU"` or `"SimpleRNN"`.
    """
    node = find(model, layer)
    old = node.layer
    if not isinstance(old, _L.SimpleRNN) or old.return_state:
        raise cannot(
            "change the recurrent layer", model, f"{old.name!r} is no plain one"
        )
    config = old.get_config()
    own = {key: config[key] for key in RECURRENT_KEPT}
    own["activation"] = "tanh"
    own["recurrent_initializer"] = "orthogonal"
    replaced = {id(old): (getattr(_L, kind), own)}
    return rebuild(model, replaced=replaced, fresh={id(old)})
