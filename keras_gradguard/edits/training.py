"""Changes of the optimizer."""

import keras

from keras_gradguard.findings.edit_defaults import SCHEDULE_STEPS
from keras_gradguard.models import optimizers
from keras_gradguard.models.rebuild import cannot
from keras_gradguard.models.rebuild import fresh_optimizer
from keras_gradguard.models.rebuild import rebuild
from keras_gradguard.optimizers.auto_clip import AutoClip

_CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")


def _leaf_rate(model):
    leaves = optimizers.leaves(model.optimizer) if model.compiled else []
    if len(leaves) != 1:
        raise cannot(
            "change the optimizer", model, "it has not exactly one of them"
        )
    rate = leaves[0].get_config().get("learning_rate")
    return leaves[0], rate if isinstance(rate, int | float) else None


def _set_rate(model, rate):
    """Return a fresh optimizer with another learning rate or schedule."""
    leaf, _ = _leaf_rate(model)

    def change(config, kind):
        if kind is type(leaf):
            return {**config, "learning_rate": rate}
        return config

    return _mapped(model.optimizer, change)


def _mapped(optimizer, change):
    config = optimizer.get_config()
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        made = _mapped(inner, change)
        config["inner_optimizer"] = keras.saving.serialize_keras_object(made)
    elif isinstance(rate := config.get("learning_rate"), dict):
        config["learning_rate"] = keras.saving.deserialize_keras_object(rate)
    return type(optimizer).from_config(change(config, type(optimizer)))


def set_learning_rate(model, value=None, factor=None):
    """Change the learning rate.

    Args:
        model: The model.
        value: Float or None. The new one.
        factor: Float. What to multiply the old one by, without `value`.
    """
    _, rate = _leaf_rate(model)
    if value is None:
        if rate is None:
            raise cannot("scale the learning rate", model, "a schedule sets it")
        value = rate * factor
    return rebuild(model, optimizer=_set_rate(model, float(value)))


def schedule(model, steps=SCHEDULE_STEPS, rate=None):
    """Let the learning rate fall along a cosine, to a hundredth.

    Args:
        model: The model.
        steps: Int. Steps of the whole run.
        rate: Float or None. Where it begins; None for the present rate.
    """
    _, present = _leaf_rate(model)
    rate = present if rate is None else rate
    if rate is None:
        raise cannot("add a schedule", model, "it has one")
    falling = keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.01)
    return rebuild(model, optimizer=_set_rate(model, falling))


def warm_up(model, rate, to, steps):
    """Let the learning rate rise along a line, and stay where it ends.

    Args:
        model: The model.
        rate: Float. Where it begins.
        to: Float. Where it ends.
        steps: Int. Steps that it takes.
    """
    rising = keras.optimizers.schedules.CosineDecay(
        rate, steps, alpha=1.0, warmup_target=to, warmup_steps=steps
    )
    return rebuild(model, optimizer=_set_rate(model, rising))


def accumulate(model, batches):
    """Let the optimizer average the gradients of several batches.

    Args:
        model: The model.
        batches: Int. Batches of an update.
    """
    leaf, _ = _leaf_rate(model)
    if leaf.gradient_accumulation_steps:
        raise cannot("accumulate gradients", model, "it does so already")

    def change(config, kind):
        if kind is type(leaf):
            return {**config, "gradient_accumulation_steps": int(batches)}
        return config

    return rebuild(model, optimizer=_mapped(model.optimizer, change))


def change_optimizer(model, arguments):
    """Change arguments of the optimizer.

    Args:
        model: The model.
        arguments: Dict of entries of its config.
    """
    leaf, _ = _leaf_rate(model)

    def change(config, kind):
        return {**config, **arguments} if kind is type(leaf) else config

    return rebuild(model, optimizer=_mapped(model.optimizer, change))


def set_optimizer(model, name, learning_rate):
    """Exchange the optimizer.

    Args:
        model: The model.
        name: Str. Class name in `keras.optimizers`.
        learning_rate: Float.
    """
    _leaf_rate(model)
    optimizer = getattr(keras.optimizers, name)(learning_rate)
    return rebuild(model, optimizer=optimizer)


def clip(model, clipper="norm", **arguments):
    """Wrap the optimizer with `AutoClip`.

    Args:
        model: The model.
        clipper: Str. Name of the clipper.
        **arguments: Further arguments of `AutoClip`.
    """
    _leaf_rate(model)
    if optimizers.adaptive_clippers(model.optimizer):
        raise cannot("clip the gradient", model, "it is clipped already")

    def wrap(optimizer):
        config = optimizer.get_config()
        inner = getattr(optimizer, "inner_optimizer", None)
        if inner is not None:
            # As that of a loss scale, which must stay outermost.
            made = keras.saving.serialize_keras_object(wrap(inner))
            return type(optimizer).from_config(
                {**config, "inner_optimizer": made}
            )
        config |= dict.fromkeys(_CLIPS)
        return AutoClip(
            type(optimizer).from_config(config), clipper, **arguments
        )

    return rebuild(model, optimizer=wrap(fresh_optimizer(model)))
