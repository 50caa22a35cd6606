"""Pinned: public names and arguments, ids, and how our objects are saved.

If a change is meant: `KERAS_BACKEND=torch python -m tests.pins.make`.
"""

import importlib
import json
import zipfile

import keras
import numpy as np
import pytest
from packaging.version import Version

from tests.pins import runs
from tests.pins import surface
from tests.pins.compare import differences
from tests.pins.stored import pinned

CONFIGS = json.loads(surface.CONFIGS.read_text("utf-8"))


def test_names_arguments_methods_and_attributes():
    assert differences(pinned("names"), surface.names()) == []


def test_ids_and_registered_names():
    surface.names()  # imports all that registers
    assert differences(pinned("ids"), surface.ids()) == []


def test_the_entry_point_can_be_loaded():
    (target,) = pinned("ids")["entry_points"]["tensorboard_plugins"].values()
    module, _, name = target.partition(":")
    assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_saved_config_still_loads(name):
    fresh = surface.objects()[name]
    config = CONFIGS[name]
    loaded = keras.saving.deserialize_keras_object(config)
    if not isinstance(fresh, type(surface.objects)):
        assert type(loaded) is type(fresh)
    else:
        assert loaded is fresh
    # What only Keras has to say depends on its version.
    expected = surface.own_config(keras.saving.serialize_keras_object(fresh))
    found = surface.own_config(keras.saving.serialize_keras_object(loaded))
    assert differences(expected, found) == []
    stored = surface.own_config(config)
    assert stored.get("registered_name") == found.get("registered_name")
    if isinstance(stored["config"], dict):
        assert stored["registered_name"] in pinned("ids")["registered"]
        ours = {
            key: found["config"].get(key, "absent") for key in stored["config"]
        }
        assert differences(stored["config"], ours) == []


def test_a_saved_model_still_loads():
    with zipfile.ZipFile(runs.MODEL) as file:
        saved_by = json.loads(file.read("metadata.json"))["keras_version"]
    if Version(keras.__version__) < Version(saved_by):
        pytest.skip("Keras does not load the files of a newer Keras")
    found, expected = runs.model_file(), pinned("model_v1")
    np.testing.assert_allclose(
        found.pop("outputs"), expected.pop("outputs"), 1e-4, 1e-5
    )
    assert differences(expected, found) == []
