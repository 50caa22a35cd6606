"""How objects of Keras are made, as plain JSON: to be written down as code."""

import functools
import inspect
import math
import re
import warnings
from typing import Any

import keras
import numpy as np

from keras_gradguard.models import keras_private

_HOMES = {
    f"keras.{name}": functools.reduce(getattr, name.split("."), keras)
    for name in (
        "layers",
        "optimizers",
        "optimizers.schedules",
        "losses",
        "metrics",
        "initializers",
        "regularizers",
        "constraints",
    )
}
# Classes of this package that stand among them, and where they are public.
_OURS = {
    "keras_gradguard.optimizers.": "kgg",
    "keras_gradguard.clippers.": "kgg.clippers",
}
# Where Keras's own functions are, which it finds by their names.
_FUNCTIONS = (keras.losses, keras.metrics, keras.activations)
# What Keras calls some initializers by.
_ALIASES = {"uniform": "random_uniform", "normal": "random_normal"}
# Arguments of `compile`, and what they are where nothing is said.
_COMPILED = {
    "loss": None,
    "loss_weights": None,
    "metrics": None,
    "weighted_metrics": None,
    "run_eagerly": False,
    "steps_per_execution": 1,
}
# Keras keeps no more of "auto" than what it comes to, which depends on devices
# on TensorFlow.
if keras.backend.backend() != "tensorflow":
    _COMPILED["jit_compile"] = keras.backend.backend() == "jax"
_LONGEST = 40


class _Untellable(Exception):
    """Something that no line of code can say."""


def call_of(thing):
    """Return how a layer, an optimizer or another object of Keras is made.

    Args:
        thing: The object.

    Returns:
        Dict with `call`, e.g. `"keras.layers.Dense"`, and `arguments`: those
        that differ from the defaults, in the order of the constructor. What
        is made by a call itself is such a dict. None where it is no class of
        Keras's own, or a line of code cannot tell an argument. A schedule of
        the user's own is left out, and `untold` is True then.
    """
    home, kind = _home_of(type(thing))
    if home is None:
        return None
    try:
        with warnings.catch_warnings(), keras_private.without_tensorflow():
            warnings.simplefilter("ignore")
            config = thing.get_config()
            if home == "keras.losses":
                config = {**keras_private.loss_arguments(thing), **config}
            return _call(home, kind, config)
    except Exception:
        # What a class of the user's own makes of it is only less to tell.
        return None


def compiled_with(model):
    """Return the arguments that a model was compiled with, as plain JSON.

    The optimizer is left out, and what a line of code cannot tell; `untold` is
    True where these are metrics.

    Args:
        model: A Keras model.
    """
    if not model.compiled:
        return {}
    try:
        with warnings.catch_warnings(), keras_private.without_tensorflow():
            warnings.simplefilter("ignore")
            config = model.get_compile_config() or {}
    except Exception:
        return {}
    given = {}
    for key, default in _COMPILED.items():
        try:
            value = _entries(config.get(key, default))
        except _Untellable:
            if "metrics" in key:
                given["untold"] = True
            continue
        if not _same(default, value) and value != []:
            given[key] = value
    if "loss" in given:
        given["loss"] = _whole(given["loss"], getattr(model, "loss", None))
    return given


def _whole(told, loss):
    """Return a loss with the arguments that its config lacks."""
    if isinstance(loss, keras.losses.Loss):
        return call_of(loss) or told
    if isinstance(loss, list | tuple) and isinstance(told, list):
        return [_whole(*pair) for pair in zip(told, loss, strict=True)]
    entries = told.get("entries") if isinstance(told, dict) else None
    if isinstance(loss, dict) and isinstance(entries, dict):
        whole = {k: _whole(one, loss.get(k)) for k, one in entries.items()}
        return {"entries": whole}
    return told


def _home_of(kind):
    """Return the module of Keras that a class is from, and the class there."""
    for start, where in _OURS.items():
        if kind.__module__.startswith(start):
            return where, kind
    for name, home in _HOMES.items():
        public: Any = getattr(home, kind.__name__, None)
        # On torch, optimizers are subclasses of the same name.
        ours = kind.__module__.startswith("keras.") and inspect.isclass(public)
        if kind is public or (ours and issubclass(kind, public)):
            return name, public
    return None, None


@functools.cache
def _defaults(kind):
    """Return the arguments of a constructor with their defaults."""
    parameters = list(inspect.signature(kind.__init__).parameters.values())
    return {
        parameter.name: parameter.default
        for parameter in parameters[1:]
        if parameter.kind
        not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }


def _call(home, kind, config):
    defaults = _defaults(kind)
    given = {}
    untold = False
    for key, default in defaults.items():
        if key not in config or key in ("name", "dtype"):
            continue
        if key == "seed" and isinstance(config[key], dict):
            continue
        if key == "data_format" and (
            config[key] == keras.config.image_data_format()
        ):
            continue
        try:
            value = _value(config[key])
        except _Untellable:
            if (home, key) != ("keras.optimizers", "learning_rate"):
                raise
            untold = True  # a schedule of the user's own
            continue
        if not _same(default, value):
            given[key] = value
    if home == "keras.layers":
        policy = _value(config.get("dtype"))
        if policy not in (None, keras.config.dtype_policy().name):
            given["dtype"] = policy
        if config.get("trainable") is False:
            given["trainable"] = False
        given["name"] = config["name"]
    elif home in ("keras.losses", "keras.metrics"):
        name = config.get("name")
        if name not in (None, defaults.get("name")):
            given["name"] = name
    told = {"call": f"{home}.{kind.__name__}", "arguments": given}
    return {**told, "untold": True} if untold else told


def _value(value):
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _Untellable
        return float(f"{value:.7g}")  # of float32, what the user wrote
    if isinstance(value, list | tuple):
        if len(value) > _LONGEST:
            raise _Untellable
        return [_value(entry) for entry in value]
    if not isinstance(value, dict):
        raise _Untellable
    name = value.get("class_name")
    if name == "DTypePolicy":
        return value["config"]["name"]
    if name == "function" and isinstance(value["config"], str):
        if any(hasattr(home, value["config"]) for home in _FUNCTIONS):
            return value["config"]
        raise _Untellable
    home = str(value.get("module"))
    kind = getattr(_HOMES.get(home), str(name), None)
    if kind is None and home.startswith("keras."):
        # On torch, optimizers are subclasses of the same name.
        homes = (
            h for h, module in _HOMES.items() if hasattr(module, str(name))
        )
        home = next(homes, home)
        kind = getattr(_HOMES.get(home), str(name), None)
    if kind is None and home.startswith(tuple(_OURS)):
        kind = keras.saving.get_registered_object(value["registered_name"])
        home = _home_of(kind)[0]
    if kind is None:
        raise _Untellable
    return _call(home, kind, value["config"])


def _entries(value):
    """Return losses or metrics, which may be given by the output's name."""
    if isinstance(value, dict) and "class_name" not in value:
        return {"entries": {str(k): _value(v) for k, v in value.items()}}
    return _value(value)


def _same(default, value):
    if isinstance(default, str) and isinstance(value, dict):
        name = value.get("call", "").rsplit(".", maxsplit=1)[-1]
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        return (
            name == _ALIASES.get(default, default) and not (value["arguments"])
        )
    if isinstance(value, list):
        many = [default] * len(value) if _number(default) else default
        return list(many) == value if isinstance(many, tuple | list) else False
    if _number(default) and _number(value):
        return math.isclose(default, value, rel_tol=1e-6)
    if default is None:
        return value in (None, "linear")
    return default == value


def _number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)
