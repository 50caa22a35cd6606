"""What is in the wheel, and what it says of itself."""

import email
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

pytestmark = pytest.mark.pure

ROOT = pathlib.Path(__file__).parents[1]
COPIED = ("keras_gradguard", "tests", "examples", "benchmarks")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build from a copy: a build leaves its own folders in the source."""
    source = tmp_path_factory.mktemp("source")
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
        elif path.name in COPIED:
            shutil.copytree(
                path,
                source / path.name,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--wheel-dir", "dist", "."),
        ],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    (path,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as file:
        yield file


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = wheel.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "keras_gradguard"
    }
    assert "keras_gradguard/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    ours = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "keras_gradguard").rglob("*.py")
    }
    assert ours <= set(names)
    static = {
        str(path.relative_to(ROOT))
        for path in (
            ROOT / "keras_gradguard" / "tensorboard_plugin" / "static"
        ).iterdir()
    }
    assert len(static) > 10
    assert static <= set(names)
    assert not [n for n in names if "test" in n or n.endswith(".pyc")]


def test_the_wheel_brings_the_tab_of_tensorboard(wheel):
    (path,) = [n for n in wheel.namelist() if n.endswith("entry_points.txt")]
    points = wheel.read(path).decode()
    assert "[tensorboard_plugins]" in points
    assert "tensorboard_plugin.loader:GradGuardLoader" in points


def test_tensorboard_finds_the_tab_of_an_installed_wheel(wheel, tmp_path):
    pytest.importorskip("tensorboard")
    wheel.extractall(tmp_path)
    code = (
        "import sys\n"
        "for name in ('keras', 'tensorflow', 'jax', 'torch'):\n"
        "    sys.modules[name] = None\n"
        "from tensorboard import default\n"
        "from tensorboard.plugins.base_plugin import TBContext\n"
        "for loader in default.get_dynamic_plugins():\n"
        "    if loader.__name__ == 'GradGuardLoader':\n"
        "        plugin = loader().load(TBContext())\n"
        "        print(plugin.plugin_name, sys.modules[\n"
        "            loader.__module__].__file__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    name, _, path = done.stdout.strip().partition(" ")
    assert name == "keras_gradguard", done.stderr
    assert path.startswith(str(tmp_path))


def test_the_wheel_says_what_it_is(wheel):
    (path,) = [n for n in wheel.namelist() if n.endswith("/METADATA")]
    about = email.message_from_bytes(wheel.read(path))
    from keras_gradguard import __version__

    assert about["Name"] == "keras-gradguard"
    assert about["Version"] == __version__
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ">=3.11"
    needed = [r for r in about.get_all("Requires-Dist") if "extra" not in r]
    assert {r.split(">")[0] for r in needed} == {"keras", "numpy", "rich"}
    extras = {"tensorflow", "jax", "torch", "tensorboard", "plot", "demo"}
    assert extras | {"dev"} <= set(about.get_all("Provides-Extra"))
