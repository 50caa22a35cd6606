import keras
import numpy as np
import pytest

from keras_gradguard import layers as kgl
from keras_gradguard import presets
from keras_gradguard.exceptions import GradGuardWarning

# What is drawn on each backend is judged by test_initializers.
pytestmark = pytest.mark.once

L = keras.layers


def array(x):
    return keras.ops.convert_to_numpy(x)


def mlp(depth=3, width=8, **kwargs):
    model = keras.Sequential(
        [keras.Input((8,))]
        + [L.Dense(width, "relu", name=f"h{i}", **kwargs) for i in range(depth)]
        + [L.Dropout(0.1, name="drop"), L.Dense(3, "softmax", name="head")],
        name="mlp",
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def branching():
    """Two inputs, two outputs, a shared layer, a nested model, a gate."""
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    shared = L.Dense(6, "relu", name="shared")
    inner = keras.Sequential(
        [keras.Input((6,)), L.Dense(6, name="in1"), L.ReLU(name="act")],
        name="inner",
    )
    x = L.Add(name="add")([shared(a), shared(b)])
    x = inner(x)
    gate = L.Dense(6, "sigmoid", name="gate")(x)
    x = L.Multiply(name="mul")([x, gate])
    x = L.Dense(6, "relu", name="last")(x)
    out1 = L.Dense(1, "sigmoid", name="out1")(x)
    out2 = L.Dense(2, name="out2")(x)
    return keras.Model([a, b], {"p": out1, "q": out2}, name="net")


def test_sequential_keeps_its_shape_and_the_original():
    model = mlp()
    before = [array(w).copy() for w in model.weights]
    new = presets.convert(model, "lecun_selu")
    assert isinstance(new, keras.Sequential)
    assert [layer.name for layer in new.layers] == [
        layer.name for layer in model.layers
    ]
    assert isinstance(new.get_layer("drop"), L.AlphaDropout)
    assert [layer.activation.__name__ for layer in new.layers[:3]] == [
        "selu"
    ] * 3
    assert new.get_layer("head").activation.__name__ == "softmax"
    assert new.compiled
    for value, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(value, array(weight))
    assert model.layers[0].activation.__name__ == "relu"
    x = np.ones((4, 8), "float32")
    new.fit(x, np.zeros(4), verbose=0)


def test_functional_with_everything():
    model = branching()
    new = presets.convert(model, "gelu")
    assert {layer.name for layer in new.layers} == {
        layer.name for layer in model.layers
    }
    assert new.get_layer("shared").activation.__name__ == "gelu"
    assert len(new.weights) == len(model.weights)
    inner = new.get_layer("inner")
    assert inner.get_layer("act").activation.__name__ == "gelu"
    assert new.get_layer("gate").activation.__name__ == "sigmoid"
    assert new.get_layer("out1").activation.__name__ == "sigmoid"
    # What comes into "last" is a product, into "gate" a GELU's output.
    assert new.get_layer("last").kernel_initializer.scale == 1.0
    assert new.get_layer("gate").kernel_initializer.scale == pytest.approx(
        2.351716
    )
    out = new([np.ones((2, 6), "float32"), np.ones((2, 6), "float32")])
    assert set(out) == {"p", "q"}
    assert [t.name for t in new.inputs] == [t.name for t in model.inputs]


@pytest.mark.once
def test_operations_of_keras_ops_are_kept():
    start = keras.Input((5, 3))
    x = keras.layers.Masking()(start)  # and what LSTM asks of a mask
    x = keras.layers.LSTM(4, return_sequences=True)(x)
    x = keras.layers.Dense(4, "sigmoid", name="hidden")(x)
    x = keras.ops.maximum(keras.layers.Dense(4)(x), 0.1) * 2.0 + x
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(start, keras.layers.Dense(1)(x))
    kinds = [type(operation) for operation in model.operations]
    data = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")

    same = presets.convert(model, "sigmoid", copy_weights=True)
    for before, after in zip(model.weights, same.weights, strict=True):
        after.assign(before)
    np.testing.assert_array_equal(array(same(data)), array(model(data)))
    for changes in ({}, {"normalization": "batch"}, {"residual": True}):
        new = presets.convert(model, "relu", **changes)
        assert (
            new.get_layer("hidden").activation
            is not model.get_layer("hidden").activation
        )
        assert set(kinds) <= {type(operation) for operation in new.operations}
        assert new(data).shape == (2, 1)


def test_dry_run_lists_and_changes_nothing():
    model = branching()
    changes = presets.convert(model, "gelu", dry_run=True)
    assert "inner/act: activation ReLU -> gelu" in map(str, changes)
    assert "shared: activation relu -> gelu" in map(str, changes)
    assert not any(c.layer in ("out1", "out2", "mul") for c in changes)
    assert model.get_layer("shared").activation.__name__ == "relu"


def test_a_seed_repeats_and_layers_differ():
    one = presets.convert(mlp(), "he_relu", seed=3)
    two = presets.convert(mlp(), "he_relu", seed=3)
    for a, b in zip(one.layers[:3], two.layers[:3], strict=True):
        np.testing.assert_array_equal(array(a.kernel), array(b.kernel))
    assert (array(one.layers[0].kernel) != array(one.layers[1].kernel)).all()


def test_each_layer_gets_the_right_variance():
    model = mlp(width=256)
    new = presets.convert(model, "silu", seed=0)
    std = array(new.get_layer("h2").kernel).std() * 256**0.5
    assert std == pytest.approx(presets.gain("silu"), rel=0.02)


@pytest.mark.parametrize("copy", [True, False])
def test_untouched_layers_are_copied_or_fresh(copy):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            L.Embedding(9, 8, name="emb"),
            L.Flatten(),
            L.Dense(8, "relu", name="h"),
            L.BatchNormalization(name="bn"),
            L.Dense(2, name="head"),
        ]
    )
    values = [w + 1.0 for w in model.get_layer("bn").get_weights()]
    model.get_layer("bn").set_weights(values)
    new = presets.convert(model, "elu", copy_weights=copy)
    for name in ("emb", "bn", "head"):
        same = all(
            np.array_equal(a, b)
            for a, b in zip(
                model.get_layer(name).get_weights(),
                new.get_layer(name).get_weights(),
                strict=True,
            )
        )
        assert same is copy
    assert not np.array_equal(
        array(model.get_layer("h").kernel), array(new.get_layer("h").kernel)
    )


@pytest.mark.parametrize("kind", ["batch", "layer"])
@pytest.mark.parametrize("build", [mlp, branching])
def test_normalization_goes_before_the_activation(build, kind):
    new = presets.convert(build(), "gelu", normalization=kind)
    found = [type(layer).__name__ for layer in new.layers]
    if build is mlp:
        assert found[:4] == [
            "Dense",
            f"{kind.title()}Normalization",
            "Activation",
            "Dense",
        ]
        assert new.layers[0].activation.__name__ == "linear"
        assert isinstance(new, keras.Sequential)
    else:
        # The shared layer is called twice; its normalization is shared too.
        assert found.count(f"{kind.title()}Normalization") == 2
        inner = [type(x).__name__ for x in new.get_layer("inner").layers]
        assert f"{kind.title()}Normalization" in inner
    assert keras.Model.from_config is not None
    new.summary(print_fn=lambda *_: None)


@pytest.mark.parametrize("build", [mlp, branching])
def test_residual_starts_as_the_identity(build):
    model = build()
    new = presets.convert(model, "silu", residual=True)
    added = [x for x in new.layers if isinstance(x, kgl.ScaledAdd)]
    assert len(added) == (3 if build is mlp else 1)
    if build is mlp:
        x = np.random.default_rng(0).normal(size=(4, 8)).astype("float32")
        np.testing.assert_allclose(
            array(new(x)), array(new.get_layer("head")(x)), rtol=1e-6
        )
        new.fit(x, np.zeros(4), verbose=0)


def test_separate_activation_layers_and_residual():
    model = keras.Sequential(
        [
            keras.Input((5, 5, 4)),
            L.Conv2D(4, 3, padding="same", name="c"),
            L.BatchNormalization(name="bn"),
            L.Activation("relu", name="a"),
            L.Flatten(),
            L.Dense(2, name="head"),
        ]
    )
    new = presets.convert(
        model, "he_prelu", normalization="batch", residual=True
    )
    assert isinstance(new.get_layer("a"), L.PReLU)
    assert new.get_layer("a").alpha.shape == (1, 1, 4)
    assert sum(isinstance(x, L.BatchNormalization) for x in new.layers) == 1
    assert any(isinstance(x, kgl.ScaledAdd) for x in new.layers)


def test_every_layer_type_and_wrapper():
    x = keras.Input((6, 6, 4))
    y = L.Conv2D(8, 3, groups=2, activation="relu", name="grouped")(x)
    y = L.DepthwiseConv2D(3, activation="relu", name="depth")(y)
    y = L.SeparableConv2D(8, 3, activation="relu", padding="same", name="s")(y)
    y = L.Conv2DTranspose(4, 3, strides=2, activation="relu", name="up")(y)
    y = L.Reshape((-1, 4))(y)
    y = L.TimeDistributed(L.Dense(8, "relu"), name="td")(y)
    y = L.EinsumDense("abc,cd->abd", (None, 8), activation="relu", name="e")(y)
    y = L.MultiHeadAttention(2, 4, name="mha")(y, y)
    y = L.Bidirectional(L.LSTM(4, return_sequences=True), name="bi")(y)
    y = L.GRU(4, return_sequences=True, name="gru")(y)
    y = L.SimpleRNN(4, activation="relu", name="rnn")(y)
    model = keras.Model(x, L.Dense(2, name="head")(y))
    new = presets.convert(model, "mish_orthogonal", seed=1)
    scale = presets.pairing("mish").scale
    depth = new.get_layer("depth")
    assert depth.depthwise_initializer.layout == "depthwise"
    assert depth.depthwise_initializer.scale == scale
    assert new.get_layer("up").kernel_initializer.strides == (2, 2)
    assert new.get_layer("grouped").kernel_initializer.groups == 2
    assert new.get_layer("td").layer.activation.__name__ == "mish"
    forward = new.get_layer("bi").forward_layer
    assert isinstance(forward.recurrent_initializer, presets.PerGate)
    assert forward.activation.__name__ == "tanh"
    assert new.get_layer("rnn").activation.__name__ == "relu"
    np.testing.assert_array_equal(
        array(new.get_layer("rnn").cell.recurrent_kernel), np.eye(4)
    )
    new(np.ones((1, 6, 6, 4), "float32"))


def test_a_fixed_width_output_layer_is_put_right():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            L.Dense(8, "relu", kernel_initializer="random_uniform"),
            L.Dense(2, kernel_initializer=keras.initializers.RandomNormal()),
        ]
    )
    new = presets.convert(model, "he_relu")
    assert isinstance(
        new.layers[-1].kernel_initializer, keras.initializers.GlorotUniform
    )


def test_deep_biases_are_standard_and_skip_the_first_layer():
    new = presets.convert(mlp(), "gelu_deep")
    assert array(new.get_layer("h0").bias).std() == 0.0
    assert array(new.get_layer("h1").bias).std() > 0.1
    assert new.get_layer("h0").kernel_initializer.scale == 4.0


def test_an_unstable_deep_stack_is_warned_about():
    with pytest.warns(GradGuardWarning, match=r"12 plain layers of 'gelu'"):
        presets.convert(mlp(12), "gelu")


def test_subclassed_models_are_refused_with_the_way_out():
    class Net(keras.Model):
        pass

    with pytest.raises(TypeError, match=r"subclassed model.*presets.lsuv"):
        presets.convert(Net(), "gelu")
    with pytest.raises(TypeError, match=r"`model` must be a Keras model"):
        presets.convert("model", "gelu")
    with pytest.raises(ValueError, match=r"`pairing` must be one of 'he_relu'"):
        presets.convert(mlp(), "nope")
    with pytest.raises(ValueError, match=r"`model` must be built"):
        presets.convert(
            keras.Sequential([L.Dense(4, "relu"), L.Dense(2)]),
            "gelu",
            residual=True,
        )


def test_frozen_layers_stay_as_they_are():
    model = mlp()
    for layer in model.layers[:2]:
        layer.trainable = False
    base = [array(w) for layer in model.layers[:2] for w in layer.weights]
    new = presets.convert(model, "lecun_selu", normalization="batch")
    names = [layer.name for layer in new.layers]
    assert [n for n in names if n.startswith(("h0", "h1"))] == ["h0", "h1"]
    kept = [new.get_layer(name) for name in ("h0", "h1")]
    assert [layer.activation.__name__ for layer in kept] == ["relu"] * 2
    after = [array(w) for layer in kept for w in layer.weights]
    for one, other in zip(base, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not any(layer.trainable for layer in kept)
    # What is not frozen is converted.
    drawn, before = (array(m.get_layer("h2").kernel) for m in (new, model))
    assert not np.array_equal(drawn, before)
