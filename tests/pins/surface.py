"""The names, arguments and ids that users and their files rely on."""

import importlib
import inspect
import json
import pathlib
import re
import tomllib

import keras

import keras_gradguard as kgg
from tests.pins.stored import HERE

CONFIGS = HERE / "configs_v1.json"
_MODULES = (
    "clippers",
    "clippers.functional",
    "layers",
    "presets",
    "presets.theory",
    "trace",
)
_PLAIN = (type(None), bool, int, float, str, tuple)


def names():
    """Return all public names with arguments, methods and attributes."""
    return {
        "keras_gradguard": {
            name: _describe(getattr(kgg, name)) for name in kgg.__all__
        },
        **{f"keras_gradguard.{name}": _of_module(name) for name in _MODULES},
        "attributes": {
            "AutoClip": _attributes(kgg.AutoClip("sgd"), keras.optimizers.SGD),
            "DeadReLUDetector": _attributes(
                kgg.DeadReLUDetector(), keras.callbacks.Callback
            ),
            "GradientMonitor": _attributes(
                kgg.GradientMonitor(), keras.callbacks.Callback
            ),
            "Report": _attributes(kgg.Report([]), object),
            "Trace": _attributes(kgg.Trace([], [], []), object),
        },
    }


def _of_module(name):
    module = importlib.import_module(f"keras_gradguard.{name}")
    exported = getattr(module, "__all__", None) or [
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and getattr(value, "__module__", "") == module.__name__
    ]
    return {key: _describe(getattr(module, key)) for key in exported}


def _describe(value):
    if inspect.isclass(value):
        return {"arguments": _init(value), "members": _members(value)}
    if callable(value):
        return {"arguments": _arguments(value)}
    if inspect.ismodule(value):
        return "module"
    return list(value) if isinstance(value, tuple) else value


def _init(cls):
    # Keras's classes have a `__new__` that takes anything.
    if not any("__init__" in vars(base) for base in _own(cls)):
        return []
    return _arguments(cls.__init__)[1:]


def _arguments(function):
    found = []
    for parameter in inspect.signature(function).parameters.values():
        star = {
            inspect.Parameter.VAR_POSITIONAL: "*",
            inspect.Parameter.VAR_KEYWORD: "**",
        }.get(parameter.kind, "")
        text = star + parameter.name
        if parameter.default is not parameter.empty:
            plain = isinstance(parameter.default, _PLAIN)
            default = parameter.default
            text += f"={default!r}" if plain else f"=<{type(default).__name__}>"
        if parameter.kind is parameter.KEYWORD_ONLY:
            text = f"{text} (by name)"
        found.append(text)
    return found


def _own(cls):
    return [
        base
        for base in cls.__mro__
        if base.__module__.partition(".")[0] == "keras_gradguard"
    ]


def _members(cls):
    """Return the public methods and attributes that the package defines."""
    found = {}
    for base in reversed(_own(cls)):
        for name, value in vars(base).items():
            # Callbacks also have methods that the recording calls.
            ours = name.startswith("on_") and not hasattr(
                keras.callbacks.Callback, name
            )
            if name.startswith("_") or ours:
                continue
            value = getattr(value, "__func__", value)
            if inspect.isfunction(value):
                found[name] = _arguments(value)
            elif isinstance(value, _PLAIN):
                found[name] = repr(value)
            else:
                found[name] = "attribute"
    return found


def _attributes(value, base):
    plain = set() if base is object else set(vars(base()))
    return sorted(
        name for name in set(vars(value)) - plain if not name.startswith("_")
    )


def ids():
    """Return the ids of rules, the actions of remedies and the entry point."""
    project = tomllib.loads(
        pathlib.Path(HERE, "../../pyproject.toml").read_text("utf-8")
    )["project"]
    return {
        "rules": sorted(rule.id for rule in kgg.GradientMonitor().rules),
        "actions": _actions(),
        "entry_points": project["entry-points"],
        "extras": sorted(project["optional-dependencies"]),
        "registered": sorted(
            name
            for name in keras.saving.get_custom_objects()
            if name.startswith("keras_gradguard>")
        ),
    }


def _actions():
    """Return the known actions, as the error for an unknown one lists them."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    try:
        kgg.Remedy("title", "why", action="no_such_action").apply(model)
    except ValueError as error:
        listed = re.search(r"one of \[(.*?)\]", str(error)).group(1)
        return re.findall(r"'(\w+)'", listed)
    raise AssertionError("an unknown action is no error")


def objects():
    """Return one object of each class that Keras saves by name."""
    presets, clippers, layers = kgg.presets, kgg.clippers, kgg.layers
    paired = {"pairing": "gelu", "name": "block"}
    return {
        "AutoClip": kgg.AutoClip(
            keras.optimizers.SGD(0.25), "percentile", percentile=25.0
        ),
        "FixedNorm": clippers.FixedNorm(2.0),
        "FixedValue": clippers.FixedValue(0.5),
        "Percentile": clippers.Percentile(20.0, 64),
        "Unitwise": clippers.Unitwise(0.02),
        "ZScore": clippers.ZScore(3.0),
        "PairedInitializer": presets.PairedInitializer(1.5, seed=1),
        "PerGate": presets.PerGate(
            keras.initializers.GlorotUniform(seed=1), gates=3
        ),
        "GateBias": presets.GateBias(gates=3, gate=1, value=1.0),
        "squared_relu": presets.squared_relu,
        "PairedDense": layers.PairedDense(4, **paired),
        "PairedConv1D": layers.PairedConv1D(4, 3, **paired),
        "PairedConv2D": layers.PairedConv2D(4, 3, **paired),
        "PairedConv3D": layers.PairedConv3D(4, 3, **paired),
        "ScaledAdd": layers.ScaledAdd(name="add"),
        "Residual": layers.Residual(
            keras.layers.Dense(4, name="branch"), name="residual"
        ),
    }


def write_configs():
    """Write the objects as Keras saves them, module paths included."""
    configs = {
        name: keras.saving.serialize_keras_object(value)
        for name, value in objects().items()
    }
    text = json.dumps(configs, indent=1, sort_keys=True)
    CONFIGS.write_text(text + "\n", "utf-8")


def own_config(value):
    """Return a serialized object without what only Keras has to say."""
    if isinstance(value, dict):
        drop = {"module", "build_config"}
        if not str(value.get("registered_name")).startswith("keras_gradguard>"):
            drop.add("registered_name")
        return {
            key: own_config(item)
            for key, item in value.items()
            if key not in drop
        }
    if isinstance(value, list | tuple):
        return [own_config(item) for item in value]
    return value
