import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg


def build(*stack):
    return keras.Sequential(list(stack), name="net")


def test_unit_axes_by_layer():
    inputs = keras.Input((8, 6))
    x = layers.MultiHeadAttention(2, 3, name="mha")(inputs, inputs)
    x = layers.Conv1D(4, 3, name="conv")(x)
    x = layers.Conv1DTranspose(5, 3, name="up")(x)
    x = layers.SeparableConv1D(4, 3, name="separable")(x)
    x = layers.EinsumDense("abc,cde->abde", (None, 2, 3), name="einsum")(x)
    x = layers.Reshape((8, 6))(x)
    x = layers.LayerNormalization(name="norm")(x)
    model = keras.Model(inputs, layers.Dense(2, name="dense")(x))
    axes = kgg.clippers.unit_axes(model)
    assert set(axes) == {v.path for v in model.trainable_variables}
    expected = {
        "mha/query/kernel": (0,),
        "mha/query/bias": (0, 1),
        "mha/attention_output/kernel": (0, 1),
        "conv/kernel": (0, 1),
        "up/kernel": (0, 2),
        "separable/depthwise_kernel": (0,),
        "separable/pointwise_kernel": (0, 1),
        "einsum/kernel": (0,),
        "norm/gamma": (0,),
        "dense/kernel": (0,),
        "dense/bias": (0,),
    }
    for path, value in expected.items():
        assert axes[path] == value, path


def test_unit_axes_of_images_and_embeddings():
    model = build(
        keras.Input((6, 6, 3)),
        layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"),
        layers.Conv2DTranspose(4, 3, name="up"),
    )
    axes = kgg.clippers.unit_axes(model)
    assert axes["net/depthwise/kernel"] == (0, 1)
    assert axes["net/up/kernel"] == (0, 1, 3)
    embedding = build(keras.Input((3,)), layers.Embedding(7, 2, name="table"))
    assert kgg.clippers.unit_axes(embedding) == {"net/table/embeddings": (1,)}


def test_unit_axes_of_an_unbuilt_model():
    with pytest.raises(ValueError, match="`model` must be built"):
        kgg.clippers.unit_axes(build(layers.Dense(2)))


def clip(clipper, gradient, variable):
    optimizer = kgg.AutoClip(keras.optimizers.SGD(1.0), clipper)
    before = ops.convert_to_numpy(variable).copy()
    optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
    return before - ops.convert_to_numpy(variable), optimizer


def test_each_unit_is_clipped_to_a_share_of_its_weights():
    weight = np.array([[3.0, 0.0], [4.0, 1.0]], "float32")
    variable = keras.Variable(weight, name="kernel")
    gradient = np.array([[30.0, 0.001], [40.0, 0.001]], "float32")
    update, optimizer = clip(kgg.clippers.Unitwise(0.1), gradient, variable)
    np.testing.assert_allclose(update, [[0.3, 0.001], [0.4, 0.001]], rtol=1e-3)
    assert optimizer.clipped_fraction == 1.0
    assert optimizer.threshold == pytest.approx(0.1)


def test_zero_weights_can_move():
    variable = keras.Variable(np.zeros((2, 2), "float32"), name="kernel")
    gradient = np.ones((2, 2), "float32")
    update, _ = clip(kgg.clippers.Unitwise(), gradient, variable)
    np.testing.assert_allclose(
        np.linalg.norm(update, axis=0), 0.01 * 1e-3, rtol=1e-3
    )


def test_excluded_variables_are_left_alone():
    model = build(
        keras.Input((2,)),
        layers.Dense(2, name="first"),
        layers.Dense(2, name="second"),
        layers.Dense(2, name="last"),
    )
    optimizer = kgg.AutoClip(
        keras.optimizers.SGD(1.0),
        "unitwise",
        exclude=["/second/"],
        exclude_last_layer=True,
    )
    optimizer.build(model.trainable_variables)
    before = model.get_weights()
    optimizer.apply([ops.ones(v.shape) for v in model.trainable_variables])
    moved = [
        float(np.abs(a - b).max())
        for a, b in zip(before, model.get_weights(), strict=True)
    ]
    assert max(moved[:2]) < 0.1
    np.testing.assert_allclose(moved[2:], 1.0, rtol=1e-5)


def test_wrong_arguments():
    with pytest.raises(TypeError, match="must be a dict from variable paths"):
        kgg.clippers.Unitwise(unit_axes=[(0,)])
    with pytest.raises(TypeError, match="list of regular expressions"):
        kgg.clippers.Unitwise(exclude="head/")
    with pytest.raises(ValueError, match="`ratio` must be a number > 0"):
        kgg.clippers.Unitwise(0)
