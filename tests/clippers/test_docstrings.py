import doctest
import importlib

import pytest

MODULES = (
    "clippers",
    "clippers.clipper",
    "clippers.fixed",
    "clippers.functional",
    "clippers.percentile",
    "clippers.unit_axes",
    "clippers.unitwise",
    "clippers.zscore",
    "optimizers.auto_clip",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(f"keras_gradguard.{name}")
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
