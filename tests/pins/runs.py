"""What `check` says and what a run writes, on the backend of the process."""

import csv
import json
import re

import keras
import numpy as np

import keras_gradguard as kgg
from tests.pins import programs
from tests.pins.stored import HERE

MODEL = HERE / "model_v1.keras"


def check(name):
    """Return what `kgg.check` says of a program."""
    program = programs.PROGRAMS[name]
    report = kgg.check(programs.build(program), *program.data())
    findings = []
    for finding in report.findings:
        data = finding.to_dict()
        data["evidence"] = sorted(data["evidence"])
        findings.append(data)
    return {"findings": findings, "notes": report.notes}


def checks():
    return {name: check(name) for name in programs.PROGRAMS}


def run_files(folder):
    """Return names and keys of what a watched run writes into a folder."""
    program = programs.PROGRAMS["dead_relu"]
    keras.utils.set_random_seed(3)
    model = programs.build(program)
    model.compile(
        kgg.AutoClip("adam"), "binary_crossentropy", metrics=["accuracy"]
    )
    x, y = program.data()
    monitor = kgg.GradientMonitor(folder, verbose=0, histogram_freq=1)
    history = model.fit(
        x,
        y,
        batch_size=32,
        epochs=15,
        verbose=0,
        validation_split=0.25,
        callbacks=[monitor, kgg.DeadReLUDetector(verbose=0)],
    )
    report = folder / "report.json"
    monitor.report().save(report)
    events = next(folder.glob("events.out.*"))
    found = {
        "logs": sorted(history.history),
        "files": sorted(_plain(path.name) for path in folder.iterdir()),
        "events": _tags(events),
        "run.json": _keys(json.loads((folder / "run.json").read_text("utf-8"))),
        "report.json": _keys(json.loads(report.read_text("utf-8"))),
        "findings.jsonl": [
            _keys(json.loads(line))
            for line in (folder / "findings.jsonl")
            .read_text("utf-8")
            .split("\n")
            if line
        ],
    }
    for name in ("epochs.csv", "layers.csv"):
        with open(folder / name, encoding="utf-8", newline="") as file:
            found[name] = next(csv.reader(file))
    return found


def _plain(name):
    """Return the name of an event file without time, host and process."""
    pattern = r"^events\.out\.tfevents\.\d+\..+\.\d+\.\d+\.gradguard$"
    return re.sub(pattern, "events.out.tfevents.*.gradguard", name)


def _tags(path):
    """Return the plugin of each tag, by tag."""
    from tensorboard.backend.event_processing import event_file_loader

    tags = {}
    for event in event_file_loader.EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            plugin = value.metadata.plugin_data.plugin_name
            tags[value.tag] = tags.get(value.tag) or plugin
    return tags


def _keys(value):
    """Return what JSON holds with kinds of values in place of values."""
    if isinstance(value, dict):
        return {key: _keys(item) for key, item in value.items()}
    if isinstance(value, list):
        kinds = [_keys(item) for item in value]
        return [kind for at, kind in enumerate(kinds) if kind not in kinds[:at]]
    if isinstance(value, bool):
        return "bool"
    if value is None or isinstance(value, int | float):
        return "number or null"
    return "text"


def inputs():
    return np.sin(np.arange(48.0)).reshape(6, 8).astype("float32")


def write_model():
    """Write a model with one of each of our layers and an `AutoClip`."""
    keras.utils.set_random_seed(0)
    inputs_ = keras.Input((8,))
    h = kgg.layers.PairedDense(8, pairing="gelu", name="paired")(inputs_)
    h = kgg.layers.Residual(
        keras.layers.Dense(
            8,
            kgg.presets.squared_relu,
            kernel_initializer=kgg.presets.PairedInitializer(2.0),
            name="branch",
        ),
        initial_scale=0.5,
        name="residual",
    )(h)
    branch = keras.layers.Dense(8, name="second")(h)
    h = kgg.layers.ScaledAdd(0.25, name="add")([h, branch])
    model = keras.Model(inputs_, keras.layers.Dense(1, name="output")(h))
    optimizer = kgg.AutoClip(keras.optimizers.Adam(0.01), percentile=30.0)
    model.compile(optimizer, "mse")
    x = inputs()
    model.fit(x, x[:, :1], batch_size=2, epochs=2, verbose=0)
    model.save(MODEL)


def model_file():
    """Return what the stored model is and says, loaded today."""
    model = keras.models.load_model(MODEL)
    optimizer = model.optimizer
    return {
        "layers": [type(layer).__name__ for layer in model.layers],
        "outputs": model.predict(inputs(), verbose=0)[:, 0].tolist(),
        "optimizer": type(optimizer).__name__,
        "clipper": repr(optimizer.clipper),
        "iterations": int(optimizer.iterations),
        "threshold": float(optimizer.threshold),
        "last_norm": float(optimizer.last_norm),
        "clipped_fraction": float(optimizer.clipped_fraction),
    }
