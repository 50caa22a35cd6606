"""What a rule advises can be carried out: the edit exists and takes it."""

import inspect
import json
import pathlib

import pytest

from keras_gradguard import edits

pytestmark = pytest.mark.once

PINS = pathlib.Path(__file__).parents[1] / "pins"


def remedies_in(structure):
    """Yield the remedies of all findings in a JSON structure."""
    if isinstance(structure, dict):
        yield from structure.get("remedies", [])
        structure = structure.values()
    if not isinstance(structure, str) and hasattr(structure, "__iter__"):
        for part in structure:
            yield from remedies_in(part)


def actions():
    """(action, arguments) of what was advised for the pinned programs."""
    for name in ("diagnoses", "checks"):
        stored = json.loads((PINS / f"{name}.json").read_text())
        for remedy in remedies_in(stored):
            if remedy.get("action") == edits.SEVERAL:
                for change in remedy["arguments"]["changes"]:
                    yield change["action"], change["arguments"]
            elif remedy.get("action") is not None:
                yield remedy["action"], remedy["arguments"]


def test_the_pins_hold_what_is_tested_here():
    assert len({action for action, _ in actions()}) >= 7


@pytest.mark.parametrize("action", sorted({name for name, _ in actions()}))
def test_arguments_bind_to_the_edit(action):
    signature = inspect.signature(edits.EDITS[action])
    for name, arguments in actions():
        if name == action:
            signature.bind("a model", **arguments)
