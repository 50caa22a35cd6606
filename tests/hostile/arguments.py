"""Wrong arguments of every public callable.

`targets()` lists the callables with arguments that work; each of these is
replaced by each of `WRONG`. Plain records (`Finding`, `Pairing`, ...) are not
listed: they keep what they are given.
"""

import contextlib
import dataclasses
import datetime
import pathlib
import re
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import keras
import numpy as np

import keras_gradguard as kgg
from tests.hostile import outcomes
from tests.hostile import readers
from tests.hostile import runs

LONG = "x" * 10_000
WRONG = {
    "None": None,
    "True": True,
    "0": 0,
    "-1": -1,
    "5": 5,
    "1.5": 1.5,
    "NaN": float("nan"),
    "-infinity": float("-inf"),
    "10^400": 10**400,
    "1j": 1j,
    "''": "",
    "a word": "nonsense",
    "a long word": LONG,
    "bytes": b"bytes",
    "NUL": "a\x00b",
    "[]": [],
    "{}": {},
    "()": (),
    "[None]": [None],
    "['a', 5]": ["a", 5],
    "a long list": [LONG],
    "ragged": [[1, 2], [3]],
    "{'a': 1}": {"a": 1},
    "a set": {1, 2},
    "an object": object(),
    "a class": dict,
    "a function": len,
    "a date": datetime.date(2020, 1, 1),
    "an array": np.arange(3),
    "an array of floats": np.ones((2, 2)),
    "an array of texts": np.array(["a", "b"]),
    "an empty array": np.zeros((0, 3)),
    "a scalar array": np.array(1.5),
}


@dataclasses.dataclass(frozen=True)
class Target:
    """A callable, and arguments that work.

    `checked` are the arguments that are tried; others only go along.
    """

    name: str
    call: Callable[..., Any]
    works: dict[str, Any]
    checked: tuple[str, ...] = ()

    def cases(self):
        """Yield (argument, what is wrong, all arguments)."""
        for argument in self.checked or self.works:
            for what, value in WRONG.items():
                yield argument, what, {**self.works, argument: value}


def outcome(target, argument, what, arguments):
    """Call, and judge the error if there is one."""
    try:
        # A word may be a path, which is written to.
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            target.call(**arguments)
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        text = str(error)
        if len(text) > readers.MOST:
            return outcomes.raw(error, f"{len(text)} characters:")
        if _is_clear(error, text, target) or _is_of_keras(error, text):
            return outcomes.REFUSED
        return outcomes.raw(error, f"{target.name}({argument}={what}):")
    except BaseException as error:
        return outcomes.raw(error, f"{target.name}({argument}={what}):")
    return "accepted"


def _is_clear(error, text, target):
    """Whether an error names the owner, the argument and what came.

    Which of two wrong arguments it names is its own affair.
    """
    if isinstance(error, OSError):
        named = "`log_dir`" in text or "`capsule`" in text
        return error.filename is not None or named
    names = {*target.works, *ALIASES}
    named = any(f"`{name}`" in text or f"{name}=" in text for name in names)
    ours = re.match(r"[A-Za-z_.0-9]+: ", text) is not None
    return ours and named and ("Received" in text or "failed" in text)


def _is_of_keras(error, text):
    """Whether Keras says what was wrong with what it is given as it came."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return "/keras/src/" in frame.filename and "eceived" in text


# `AutoClip` and `clippers.get` call the same thing by two names.
ALIASES = ("clipper",)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A drawn call."""

    target: Target
    argument: str
    what: str
    arguments: dict

    def __repr__(self):
        return f"<{self.target.name}({self.argument}={self.what})>"


def drawn(targets):
    """A strategy for calls in which two arguments may be wrong at once."""
    return st.sampled_from(targets).flatmap(_of)


@st.composite
def _of(draw, target):
    names = sorted(target.checked or target.works)
    argument, also = draw(st.sampled_from(names)), draw(st.sampled_from(names))
    arguments, said = dict(target.works), []
    for name in (also, argument):
        what = draw(st.sampled_from(sorted(WRONG)))
        arguments[name] = WRONG[what]
        said.append(f"{name}={what}")
    return Drawn(target, argument, ", ".join(said), arguments)


def every_case(targets):
    """Yield all calls with one wrong argument."""
    for target in targets:
        for argument, what, arguments in target.cases():
            yield Drawn(target, argument, what, arguments)


def _append(method):
    def call(**arguments):
        return getattr(runs.empty(), method)(**arguments)

    return call


def _read(method):
    def call(**arguments):
        return getattr(runs.make(steps=12), method)(**arguments)

    return call


def _of_layer(layer):
    trace = runs.empty()
    trace.append_time_gradients(0, ["a"], [2], np.ones((1, 64)))
    return trace.time_gradients(layer)


def traces():
    """Targets that need no Keras."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hostile-"))
    trace = runs.make(steps=12)
    trace.save(folder / "trace.npz")
    report = kgg.diagnose(trace)
    rows = np.ones((2, 8))
    yield Target(
        "Trace",
        kgg.Trace,
        {
            "layers": ["a", "b"],
            "variables": ["a/kernel", "b/kernel"],
            "owners": [0, 1],
            "capacity_bytes": 2**20,
            "meta": {},
            "has_gradient": [True, True],
            "sizes": [4, 4],
        },
    )
    yield Target("Trace.load", kgg.Trace.load, {"path": folder / "trace.npz"})
    yield Target(
        "Trace.append",
        _append("append"),
        {
            "steps": [0, 1],
            "grad_norm": rows,
            "clipped_grad_norm": [1.0, 1.0],
            "skipped": [False, False],
            "extra": {"loss": [0.5, 0.5]},
        },
    )
    yield Target(
        "Trace.append_updates",
        _append("append_updates"),
        {"steps": [0, 1], "weight_norm": rows, "update_norm": rows},
    )
    yield Target(
        "Trace.append_time_gradients",
        _append("append_time_gradients"),
        {
            "step": 0,
            "layers": ["a", "b"],
            "lengths": [3, 200],
            "norms": np.ones((2, 64)),
        },
    )
    yield Target(
        "Trace.append_activations",
        _append("append_activations"),
        {
            "step": 0,
            "sites": ["a", "b"],
            "activations": {"mean": [0.5, 0.5]},
            "data": {"loss": 0.5},
        },
    )
    yield Target(
        "Trace.append_epoch",
        _append("append_epoch"),
        {"epoch": 0, "step": 9, "logs": {"loss": 0.5}},
    )
    yield Target(
        "Trace.plot",
        _read("plot"),
        {"what": "weights", "layers": ["net/dense"], "findings": []},
    )
    yield Target("Trace.to_dataframe", _read("to_dataframe"), {"long": True})
    yield Target("Trace.pin", _append("pin"), {"steps": [1, 2]})
    yield Target("Trace.remember", _append("remember"), {"findings": []})
    yield Target(
        "Trace.set_has_gradient",
        _append("set_has_gradient"),
        {"mask": [True] * 8},
    )
    yield Target(
        "Trace.get", _read("get"), {"name": "grad_norm", "by": "layer"}
    )
    yield Target(
        "Trace.measured",
        _read("measured"),
        {"name": "weight_norm", "by": "layer", "since": 1},
    )
    yield Target("Trace.activation", _read("activation"), {"name": "mean"})
    yield Target("Trace.time_gradients", _of_layer, {"layer": "a"})
    yield Target("Trace.data", _read("data"), {"name": "loss"})
    yield Target("Trace.epoch_of", _read("epoch_of"), {"step": 3})
    yield Target("Trace.save", trace.save, {"path": folder / "t.npz"})
    yield Target("diagnose", kgg.diagnose, {"trace": trace, "rules": "default"})
    moved = {"update_ratio": {"high": 0.2}, "dead_relu": {"ignore": "dense*"}}
    yield Target("diagnose", kgg.diagnose, {"trace": trace, "rules": moved})
    yield Target(
        "compare", kgg.compare, {"a": trace, "b": trace, "factor": 10.0}
    )
    yield Target(
        "Report",
        kgg.Report,
        {"findings": [], "trace": trace, "notes": [], "attempts": []},
    )
    yield Target("Report.save", report.save, {"path": folder / "r.md"})


def _capsule():
    """Return the folder of a capsule."""
    folder = tempfile.mkdtemp(prefix="hostile-")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    monitor = kgg.GradientMonitor(capsule=folder, verbose=0)
    x = np.full((4, 2), np.nan)
    model.fit(x, x, batch_size=4, verbose=0, callbacks=[monitor])
    return folder


def components():
    """Targets of the components that users put into Keras."""
    folder = tempfile.mkdtemp(prefix="hostile-")
    yield Target(
        "GradientMonitor",
        kgg.GradientMonitor,
        {
            "log_dir": folder,
            "update_freq": 1,
            "rules": ["dead_relu"],
            "on_finding": "warn",
            "verbose": 0,
            "histogram_freq": 0,
            "layers": ["dense"],
            "through_time": False,
            "capsule": folder,
            "capsule_freq": 50,
        },
    )
    yield Target(
        "DeadReLUDetector",
        kgg.DeadReLUDetector,
        {
            "method": "auto",
            "threshold": 0.0,
            "patience": 1,
            "revive": False,
            "verbose": 0,
            "dormant_threshold": 0.1,
            "seed": 1,
            "log_dir": folder,
            "layers": ["dense"],
        },
    )
    yield Target(
        "RollBack",
        kgg.RollBack,
        {"factor": 0.5, "max_rollbacks": 3, "save_freq": 100, "verbose": 0},
    )
    yield Target("stop_hopeless", kgg.stop_hopeless, {"trial": None})
    yield Target(
        "without_batches",
        kgg.without_batches,
        {"data": np.ones((8, 2)), "batches": [1], "batch_size": 2},
    )
    yield Target(
        "batch_checksum", kgg.batch_checksum, {"batch": np.ones((8, 2))}
    )
    yield Target(
        "replay",
        kgg.replay,
        {"capsule": _capsule(), "model": None, "safe_mode": True},
    )
    yield Target(
        "AutoClip",
        kgg.AutoClip,
        {
            "inner_optimizer": "sgd",
            "clipper": "percentile",
            "nonfinite": "skip",
            "name": "clip",
            "warn_after": 10,
            "percentile": 10.0,
            "window": 64,
        },
    )
    clippers = kgg.clippers
    yield Target(
        "Percentile", clippers.Percentile, {"percentile": 10, "window": 64}
    )
    yield Target(
        "Spikes",
        clippers.Spikes,
        {"ratio": 4.0, "share": 0.03, "window": 64},
    )
    yield Target(
        "PerTensor",
        clippers.PerTensor,
        {"ratio": 1.05, "decay": 0.98, "warmup_steps": 5, "warmup_norm": 1.0},
    )
    yield Target(
        "ZScore",
        clippers.ZScore,
        {
            "z_threshold": 2.5,
            "decay": 0.9,
            "warmup_steps": 5,
            "warmup_ratio": 4.0,
        },
    )
    yield Target(
        "Unitwise",
        clippers.Unitwise,
        {
            "ratio": 0.01,
            "smallest_norm": 1e-3,
            "unit_axes": None,
            "exclude": None,
            "exclude_last_layer": False,
        },
    )
    yield Target("FixedNorm", clippers.FixedNorm, {"threshold": 1.0})
    yield Target("FixedValue", clippers.FixedValue, {"threshold": 1.0})
    yield Target("clippers.get", clippers.get, {"identifier": "norm"})


def presets():
    """Targets of the presets and layers."""
    presets, layers = kgg.presets, kgg.layers
    some = {"layer": "Dense", "variant": "normal", "seed": 1}
    yield Target(
        "presets.get",
        presets.get,
        {"name": "he_relu", "strides": 1, "groups": 1, **some},
    )
    yield Target(
        "presets.for_activation",
        presets.for_activation,
        {"activation": "relu", **some},
    )
    yield Target(
        "presets.gain", presets.gain, {"activation": "relu", "backward": False}
    )
    yield Target(
        "presets.moments",
        presets.moments,
        {"activation": "relu", "variance": 1.0},
    )
    yield Target("presets.pairing", presets.pairing, {"name": "he_relu"})
    yield Target(
        "GateBias", presets.GateBias, {"value": 1.0, "gate": 0, "gates": 3}
    )
    yield Target(
        "PairedInitializer",
        presets.PairedInitializer,
        {
            "scale": 1.0,
            "mode": "fan_in",
            "distribution": "truncated_normal",
            "seed": 1,
            "layout": "dense",
            "groups": 1,
            "strides": 1,
        },
    )
    yield Target(
        "PerGate", presets.PerGate, {"initializer": "zeros", "gates": 4}
    )
    paired = {
        "pairing": "he_relu",
        "normalization": None,
        "dropout": 0.0,
        "residual": False,
    }
    yield Target("PairedDense", layers.PairedDense, {"units": 4, **paired})
    yield Target(
        "PairedConv2D",
        layers.PairedConv2D,
        {
            "filters": 4,
            "kernel_size": 3,
            "strides": 1,
            "padding": "same",
            **paired,
        },
    )
    yield Target("ScaledAdd", layers.ScaledAdd, {"initial_scale": 0.0})


def _watch(**arguments):
    """Begin to watch a loop, and end it."""
    with kgg.watch(**arguments):
        pass


def _replace(model, layers):
    """Put a single layer in the place of its namesake."""
    return kgg.replace_layers(model, layers)


def models():
    """Targets that take a model."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(4, "relu"),
            keras.layers.Dense(1, name="last"),
        ]
    )
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    y = np.ones((8, 1), "float32")
    data = {"model": model, "x": x, "y": y}
    yield Target("check", kgg.check, {**data, "batch_size": 4})
    yield Target("watch", _watch, {"model": model, "optimizer": None})
    yield Target(
        "heal", kgg.heal, {**data, "epochs": 1}, ("model", "x", "y", "epochs")
    )
    yield Target(
        "presets.convert",
        kgg.presets.convert,
        {
            "model": model,
            "pairing": "he_relu",
            "normalization": None,
            "residual": False,
            "copy_weights": False,
            "dry_run": True,
            "seed": 1,
        },
    )
    yield Target(
        "replace_layers",
        _replace,
        {"model": model, "layers": keras.layers.Dense(1, name="last")},
    )
    yield Target("layers.inside", kgg.layers.inside, {"model": model})
    yield Target(
        "presets.lsuv",
        kgg.presets.lsuv,
        {
            "model": model,
            "x": x,
            "tolerance": 0.5,
            "max_iterations": 1,
            "seed": 1,
        },
    )
    yield Target(
        "presets.inspect_initialization",
        kgg.presets.inspect_initialization,
        {"model": model},
    )
    yield Target("clippers.unit_axes", kgg.clippers.unit_axes, {"model": model})


def targets():
    """All targets."""
    return [*traces(), *components(), *presets(), *models()]
