"""A mesh of two axes: XLA chooses how the step lies on its devices."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from tests import fresh

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def told():
    if keras.backend.backend() != "jax":
        pytest.skip("ModelParallel on CPUs is JAX's")
    done = fresh.run(ROOT / "tests" / "processes" / "mesh.py")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.optimized
def test_watching_changes_no_bit_on_a_mesh(told):
    assert len(told["differ"]) == 4
    assert set(told["differ"].values()) == {0.0}, told["differ"]


@pytest.mark.optimized
def test_norms_are_those_of_one_device(told):
    alone, parallel = map(np.asarray, told["norms"])
    assert alone.shape == parallel.shape == (8, 6)
    np.testing.assert_allclose(parallel[0], alone[0], rtol=1e-5)
    np.testing.assert_allclose(parallel, alone, rtol=1e-3)
