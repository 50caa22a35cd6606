"""The loader never keeps TensorBoard from starting."""

import logging
import subprocess
import sys
import tomllib
import types

import pytest
from tensorboard.plugins import base_plugin

from keras_gradguard.reporting.tensorboard.chunks import SAMPLES
from keras_gradguard.tensorboard_plugin.loader import GradGuardLoader
from tests.tensorboard_plugin.conftest import ROOT

pytestmark = pytest.mark.pure


def test_entry_point_names_the_loader():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module = "keras_gradguard.tensorboard_plugin.loader"
    assert project["entry-points"]["tensorboard_plugins"] == {
        "keras_gradguard": f"{module}:GradGuardLoader"
    }
    assert GradGuardLoader.__module__ == module
    assert issubclass(GradGuardLoader, base_plugin.TBLoader)


def test_no_keras_and_no_backend_is_imported():
    code = (
        "import sys\n"
        "for name in ('keras', 'tensorflow', 'jax', 'torch'):\n"
        "    sys.modules[name] = None\n"
        "from tensorboard.plugins.base_plugin import TBContext\n"
        "from keras_gradguard.tensorboard_plugin import loader\n"
        "plugin = loader.GradGuardLoader().load(TBContext())\n"
        "print(sorted(plugin.get_plugin_apps())[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.stdout.strip() == "/index.js", done.stderr


def test_entry_point_loads_without_tensorboard():
    code = (
        "import sys\n"
        "sys.modules['tensorboard'] = None\n"
        "import keras_gradguard.tensorboard_plugin.loader as loader\n"
        "loader.GradGuardLoader().fix_flags(object())\n"
        "print(loader.GradGuardLoader().load(None))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.stdout.strip() == "None", done.stderr
    assert "there is no GradGuard tab" in done.stderr


@pytest.mark.parametrize("broken", ["import", "context"])
def test_failure_costs_the_tab_and_is_told(broken, monkeypatch, caplog):
    context = base_plugin.TBContext()
    if broken == "import":
        name = "keras_gradguard.tensorboard_plugin.plugin"
        monkeypatch.setitem(sys.modules, name, None)
    else:
        context = object()
    with caplog.at_level(logging.WARNING):
        assert GradGuardLoader().load(context) is None
    assert "there is no GradGuard tab" in caplog.text
    assert "keras-gradguard[tensorboard]" in caplog.text


def test_all_chunks_are_loaded_unless_the_user_says_how_many():
    flags = types.SimpleNamespace(samples_per_plugin={})
    GradGuardLoader().fix_flags(flags)
    assert flags.samples_per_plugin == {"keras_gradguard": SAMPLES}
    flags.samples_per_plugin["keras_gradguard"] = 7
    GradGuardLoader().fix_flags(flags)
    assert flags.samples_per_plugin == {"keras_gradguard": 7}
