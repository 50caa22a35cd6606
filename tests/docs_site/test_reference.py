"""The reference lists every public name, and draws its docstring well."""

import importlib
import pathlib
import re

import pytest

import keras_gradguard as kgg

pytestmark = pytest.mark.once

PAGES = pathlib.Path(__file__).parents[2] / "docs" / "reference"


def listed():
    """Return the objects that the pages list, by their paths."""
    found = {}
    for page in sorted(PAGES.glob("*.md")):
        for path in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE):
            module, name = path.rsplit(".", 1)
            found[path] = getattr(importlib.import_module(module), name)
    return found


def test_every_public_name_stands_in_the_reference():
    names = {f"kgg.{n}": getattr(kgg, n) for n in kgg.__all__}
    version = names.pop("kgg.__version__")
    for module in (kgg.clippers, kgg.layers, kgg.presets):
        del names[f"kgg.{module.__name__.split('.')[-1]}"]
        names |= {
            f"{module.__name__}.{n}": getattr(module, n) for n in module.__all__
        }
    objects = [*listed().values()]
    missing = [n for n, value in names.items() if value not in objects]
    assert not missing
    assert isinstance(version, str)
    assert "`keras_gradguard.__version__`" in (PAGES / "index.md").read_text()


def test_the_reference_lists_nothing_twice_and_nothing_private():
    paths = listed()
    assert len({id(value) for value in paths.values()}) == len(paths)
    assert not [path for path in paths if "._" in path]


def test_examples_and_references_become_sections():
    pytest.importorskip("griffe")
    from scripts.docstrings import rewritten

    text = (
        "Does it.\n\nArgs:\n    x: A number.\n\nExample:\n>>> f(1)\n1\n\n"
        ">>> f(2)\n4\n\nReferences:\n    - [A](b)\n      and more."
    )
    assert rewritten(text) == (
        "Does it.\n\nArgs:\n    x: A number.\n\nExamples:\n    >>> f(1)\n"
        "    1\n\n    >>> f(2)\n    4\n\n**References**\n\n- [A](b)\n"
        "  and more."
    )
    # What stands indented stays so, and text without sections as it is.
    assert rewritten("Example:\n    >>> 1\n    1").endswith("    >>> 1\n    1")
    assert rewritten("One line.") == "One line."
