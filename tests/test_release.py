"""A release that is not ready does not happen."""

import importlib.machinery
import importlib.util
import pathlib
import shutil
import tomllib

import pytest

pytestmark = pytest.mark.pure

ROOT = pathlib.Path(__file__).parents[1]
FILES = (
    "CHANGELOG.md",
    "CITATION.cff",
    "pyproject.toml",
    "conda/meta.yaml",
    "keras_gradguard/version.py",
    "README.md",
)


def load():
    path = str(ROOT / "scripts" / "release-check")
    loader = importlib.machinery.SourceFileLoader("release_check", path)
    spec = importlib.util.spec_from_loader("release_check", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def ready(tmp_path):
    """A copy of the files in which all is ready for version 9.9.9."""
    from keras_gradguard import __version__

    for name in FILES:
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, target)
        text = target.read_text("utf-8").replace("/OWNER/", "/somebody/")
        if name == "CHANGELOG.md":
            text = text.replace("## [Unreleased]", "## [9.9.9]", 1)
        else:
            text = text.replace(__version__, "9.9.9")
        target.write_text(text, "utf-8")
    load().write_badges(tmp_path)
    return tmp_path


def test_what_is_ready(ready):
    assert load().problems("v9.9.9", ready) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("CHANGELOG.md", "[9.9.9]", "[Unreleased]", "CHANGELOG.md"),
        ("CITATION.cff", "9.9.9", "9.9.8", "CITATION.cff says 9.9.8"),
        ("conda/meta.yaml", "9.9.9", "9.9.8", "meta.yaml says 9.9.8"),
        ("pyproject.toml", "/somebody/", "/OWNER/", "OWNER stands"),
        ("README.md", "/somebody/", "/else/", "other badges"),
        ("keras_gradguard/version.py", "9.9.9", "9.9.8", "the version 9.9.8"),
    ],
)
def test_what_is_not(ready, name, old, new, told):
    path = ready / name
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    assert told in " ".join(load().problems("v9.9.9", ready))


def test_the_badge_of_ci_has_the_address_of_the_project(ready):
    first = (ready / "README.md").read_text("utf-8").splitlines()[0]
    ci = "https://github.com/somebody/keras-gradguard/actions/workflows/ci.yml"
    assert f"({ci}/badge.svg)" in first
    assert (ROOT / ".github" / "workflows" / "ci.yml").exists()


def test_the_placeholder_stands_in_one_file():
    assert "OWNER stands" in " ".join(load().problems("v0"))
    for name in ("README.md", "CITATION.cff", "conda/meta.yaml", "setup.cfg"):
        assert "OWNER" not in (ROOT / name).read_text("utf-8")


def test_versions_agree_between_releases():
    from keras_gradguard import __version__

    for name in ("CITATION.cff", "conda/meta.yaml"):
        assert __version__ in (ROOT / name).read_text("utf-8")


def test_all_brings_every_extra_but_backends_tuners_and_tools():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    (own,) = extras["all"]
    named = set(own.split("[")[1].rstrip("]").split(","))
    left_out = {"tensorflow", "jax", "torch", "dev", "docs", "all"}
    assert named == set(extras) - left_out - {"optuna", "keras-tuner"}
