"""The examples in docstrings run, on the current backend."""

import doctest
import importlib
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "keras_gradguard"
# Each backend's module is for that backend; `__main__` runs the program.
SKIPPED = ("_backend", "__main__", "tensorboard_plugin")


def module_names():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if not set(parts) & set(SKIPPED) and ">>> " in path.read_text():
            yield ".".join(p for p in parts if p != "__init__")


@pytest.mark.parametrize("name", module_names())
def test_examples_in_docstrings(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(
        importlib.import_module(name),
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
    )
    assert result.attempted
    assert not result.failed
