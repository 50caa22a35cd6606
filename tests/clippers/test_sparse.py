"""Gradients of a few rows: clipped as their dense twins, and kept sparse."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gradguard import clippers
from keras_gradguard.clippers import functional

BACKEND = keras.backend.backend()
if BACKEND == "jax":
    pytest.skip("all gradients of JAX are dense", allow_module_level=True)

ROWS = np.array([[1.0, 0.0], [1.0, 2.0], [3.0, -9.0]], "float32")
INDICES = [4, 4, 0]  # the first two belong together
WHOLE = np.zeros((5, 2), "float32")
np.add.at(WHOLE, INDICES, ROWS)


def sparse():
    if BACKEND == "torch":
        import torch

        return torch.sparse_coo_tensor([INDICES], torch.tensor(ROWS), (5, 2))
    import tensorflow as tf

    return tf.IndexedSlices(tf.constant(ROWS), tf.constant(INDICES), (5, 2))


def dense(gradient):
    if BACKEND == "torch":
        return gradient.to_dense().numpy()
    import tensorflow as tf

    return tf.convert_to_tensor(gradient).numpy()


def test_the_norm_sums_repeated_rows_first():
    norm = functional.global_norm([sparse(), ops.ones((4,))])
    expected = np.sqrt((WHOLE**2).sum() + 4)
    assert float(norm) == pytest.approx(expected)


@pytest.mark.parametrize(
    "clipper",
    [
        clippers.FixedNorm(2.0),
        clippers.FixedValue(1.5),
        clippers.Unitwise(0.5),
        clippers.Unitwise(0.5, unit_axes={"table": (0, 1)}),
    ],
    ids=["norm", "value", "rows", "whole"],
)
def test_a_sparse_gradient_is_clipped_as_a_dense_one(clipper):
    table = keras.Variable(np.full((5, 2), 0.5, "float32"), name="table")
    table._path = (
        "table"
        if clipper.get_config().get("unit_axes")
        else ("table/embeddings")
    )
    norm = functional.global_norm([sparse()])
    by_rows, whole = (
        clipper.clip([gradient], [table], norm, {})
        for gradient in (sparse(), ops.convert_to_tensor(WHOLE))
    )
    assert bool(by_rows.is_clipped)
    np.testing.assert_allclose(
        dense(by_rows.gradients[0]),
        ops.convert_to_numpy(whole.gradients[0]),
        rtol=1e-6,
    )
    assert not np.allclose(dense(by_rows.gradients[0]), WHOLE)
