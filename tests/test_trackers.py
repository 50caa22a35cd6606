"""The recipes of docs/ecosystem.md, with the real packages, offline."""

import csv
import json
import os
import pathlib
import re

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard.callbacks.epoch_metrics import NAMES

pytestmark = pytest.mark.once
ROOT = pathlib.Path(__file__).parents[1]
X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")
EPOCHS = 3


def recipe(title):
    """The code under a heading of the page."""
    page = (ROOT / "docs" / "ecosystem.md").read_text("utf-8")
    part = page.split(f"## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", part, re.DOTALL)


def run(code, **names):
    """Run a recipe on a small model; return its names."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(4, "relu"),
            keras.layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    scope = {
        "keras": keras, "kgg": kgg, "model": model, "x": X, "y": Y,
        "epochs": EPOCHS, **names,
    }  # fmt: skip
    exec(compile(code, "docs/ecosystem.md", "exec"), scope)
    return scope


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


def known(history):
    """Our columns as the history has them."""
    return {
        name: [v for v in history.history[name] if np.isfinite(v)]
        for name in NAMES
    }


def test_logs_are_seen_by_the_callbacks_of_keras():
    (code,) = recipe("Logs")
    scope = run(code)
    with open("training.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    history = scope["history"].history
    assert len(rows) == len(history["loss"])
    for name in NAMES:
        written = [float(row[name]) for row in rows]
        np.testing.assert_allclose(written, history[name], rtol=1e-6)


def test_wandb(monkeypatch):
    pytest.importorskip("wandb")
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    (code,) = recipe("Weights & Biases")
    # A finished run tells its summary no more.
    assert code.endswith("run.finish()\n")
    scope = run(code.removesuffix("run.finish()\n"))
    summary = dict(scope["run"].summary)
    scope["run"].finish()
    for name, values in known(scope["history"]).items():
        if values:
            assert summary[name] == pytest.approx(values[-1])
    assert summary["gradients"]["_type"] == "image-file"
    (folder,) = pathlib.Path("wandb").glob("offline-run-*")
    assert list(folder.glob("*.wandb"))
    assert list((folder / "files" / "media" / "images").glob("gradients*"))


def test_mlflow(monkeypatch, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    (code,) = recipe("MLflow")
    scope = run(code)
    done = mlflow.get_run(scope["run"].info.run_id)
    for name, values in known(scope["history"]).items():
        if values:
            assert done.data.metrics[name] == pytest.approx(values[-1])
    names = {path.name for path in tmp_path.rglob("artifacts/*")}
    assert {"gradients.png", "report.html", "findings.json"} <= names


def test_trackio(monkeypatch, tmp_path):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pytest.importorskip("trackio")
    (code,) = recipe("Trackio")
    scope = run(code)
    from trackio.sqlite_storage import SQLiteStorage

    (name,) = SQLiteStorage.get_runs("networks")
    rows = SQLiteStorage.get_logs("networks", name)
    history = scope["history"].history
    for key in ("loss", "grad_norm"):
        logged = [row[key] for row in rows if key in row]
        np.testing.assert_allclose(logged, history[key], rtol=1e-6)


def test_any_other_by_a_function():
    (code,) = recipe("Anything else")
    told = []
    scope = run(code, send=told.append)
    assert len(told) == len(scope["monitor"].findings)
    assert all(isinstance(json.loads(line), dict) for line in told)
    assert os.path.isdir("runs")
