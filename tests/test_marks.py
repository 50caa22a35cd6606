"""Marks of tests: what compares bits is compiled as it is for users."""

import ast
import pathlib
import re

import pytest

pytestmark = pytest.mark.pure

TESTS = pathlib.Path(__file__).parent
SAY_SO = re.compile(
    r"(?<!and_)changes?_(nothing|no_bit)|_bits?(_|$)|bit_equal|training.*untouched"
)
ONE_BACKEND = ("once", "pure", "optimized")


def marks(node):
    return {
        part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)
    }


def unmarked(source):
    """Names of tests that speak of bits and are not marked so."""
    tree = ast.parse(source)
    whole = set()
    for node in tree.body:
        if ast.unparse(node).startswith("pytestmark ="):
            whole = marks(node)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and SAY_SO.search(node.name):
            own = set().union(*map(marks, node.decorator_list))
            fits = "fit" in source or "train" in source
            if fits and not (own | whole) & set(ONE_BACKEND):
                yield node.name


def test_what_compares_bits_is_compiled_as_for_users():
    told = {
        (path.relative_to(TESTS).as_posix(), name)
        for path in TESTS.rglob("test_*.py")
        for name in unmarked(path.read_text("utf-8"))
    }
    assert not told


def test_one_that_is_not_marked_is_found():
    source = "def test_watching_changes_no_bit():\n    model.fit(x)\n"
    assert list(unmarked(source)) == ["test_watching_changes_no_bit"]
    assert not list(unmarked("@pytest.mark.optimized\n" + source))
    assert not list(unmarked("pytestmark = pytest.mark.once\n" + source))
