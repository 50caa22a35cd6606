import keras
import numpy as np
import pytest

from keras_gradguard import layers as kgl
from keras_gradguard import presets

# Weights are judged, wherever they are from.
pytestmark = pytest.mark.once

L = keras.layers
INIT = keras.initializers


def mlp(depth, activation="relu", width=64, inputs=64, **kwargs):
    return keras.Sequential(
        [keras.Input((inputs,))]
        + [
            L.Dense(width, activation, name=f"h{i}", **kwargs)
            for i in range(depth)
        ]
        + [L.Dense(10, "softmax", name="head")]
    )


def kinds(model):
    return [p.kind for p in presets.inspect_initialization(model)]


def test_constant_weights():
    model = mlp(2, kernel_initializer="zeros")
    found = presets.inspect_initialization(model)
    assert [p.kind for p in found] == ["constant", "constant"]
    assert found[0].layer == "h0"
    assert "all 4096 weights are 0" in found[0].message
    assert found[1].preset == "he_relu"
    assert found[1].expected_std == pytest.approx((2 / 64) ** 0.5, rel=1e-6)


def test_symmetric_units():
    model = mlp(2)
    kernel = np.random.default_rng(0).normal(size=(64, 1)) * np.ones((1, 64))
    model.layers[1].kernel.assign(0.1 * kernel)
    [found] = presets.inspect_initialization(model)
    assert found.kind == "symmetric"
    assert "only 1 different" in found.message


def test_weights_between_0_and_1():
    model = mlp(2, kernel_initializer=INIT.RandomUniform(0.0, 1.0))
    found = presets.inspect_initialization(model)
    assert found[0].kind == "not_centered"
    assert found[0].measured_std == pytest.approx(3**-0.5, rel=0.05)


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_few_weights_of_one_sign(low):
    init = INIT.RandomUniform(low, low + 1.0)
    small = mlp(3, "tanh", width=5, inputs=2, kernel_initializer=init)
    assert kinds(small) == ["not_centered"] * 2  # the first has ten weights
    assert kinds(mlp(3, "tanh", width=5, inputs=2)) == []
    free = mlp(
        3,
        "tanh",
        width=5,
        kernel_initializer=INIT.RandomUniform(0.0, 0.2),
        kernel_constraint="non_neg",
    )
    assert "not_centered" not in kinds(free)


def test_a_hidden_layer_of_one_unit():
    model = mlp(2, "tanh", width=1, inputs=5)
    found = presets.inspect_initialization(model)
    assert [(p.kind, p.layer) for p in found] == [("one_unit", "h0")]
    assert kinds(mlp(2, None, width=1, inputs=5)) == []  # a factorization
    # A gate of one unit multiplies what passes by.
    inputs = keras.Input((5,))
    gate = L.Dense(1, "sigmoid")(inputs)
    outputs = L.Dense(1)(L.Multiply()([inputs, gate]))
    assert kinds(keras.Model(inputs, outputs)) == []


@pytest.mark.parametrize(
    ("std", "kind"), [(1.0, "too_wide"), (0.001, "too_narrow")]
)
def test_too_wide_and_too_narrow(std, kind):
    model = mlp(1)
    model.layers[0].kernel.assign(
        std * np.random.default_rng(0).normal(size=(64, 64))
    )
    [found] = presets.inspect_initialization(model)
    assert found.kind == kind
    assert found.measured_std == pytest.approx(std, rel=0.05)
    assert "kgg.presets.get" in found.message


def test_he_under_selu_and_lecun_not():
    assert kinds(mlp(4, "selu", kernel_initializer="he_normal")) == [
        "wrong_pairing"
    ]
    assert kinds(mlp(4, "selu", kernel_initializer="lecun_normal")) == []
    assert kinds(mlp(4, "selu")) == []


def test_glorot_under_deep_relu_and_shallow_not():
    [found] = presets.inspect_initialization(mlp(20))
    assert found.kind == "vanishing_stack"
    assert len(found.layers) > 5
    assert found.preset == "he_relu"
    assert kinds(mlp(5)) == []
    assert kinds(mlp(20, kernel_initializer="he_normal")) == []


def test_separate_activation_layers_count_too():
    layers = []
    for _ in range(20):
        layers += [L.Dense(32), L.Activation("relu")]
    model = keras.Sequential([keras.Input((32,)), *layers, L.Dense(1)])
    assert kinds(model) == ["vanishing_stack"]


def test_a_deep_stack_that_blows_up():
    wide = INIT.VarianceScaling(6.0, "fan_in")
    assert kinds(mlp(20, kernel_initializer=wide)) == ["exploding_stack"]


def test_old_narrow_uniform_in_a_deep_narrow_stack():
    narrow = INIT.RandomUniform(-0.05, 0.05)
    model = mlp(10, width=5, inputs=2, kernel_initializer=narrow)
    assert kinds(model) == ["vanishing_stack"]


def resnet():
    x = inputs = keras.Input((16, 16, 3))
    x = L.Conv2D(16, 3, padding="same")(x)
    for _ in range(8):
        y = L.BatchNormalization()(x)
        y = L.ReLU()(y)
        y = L.Conv2D(16, 3, padding="same")(y)
        x = L.Add()([x, y])
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, L.Dense(10, "softmax")(x))


def transformer():
    ids = keras.Input((12,), dtype="int32")
    x = L.Embedding(50, 32)(ids)
    for _ in range(6):
        x = L.LayerNormalization()(
            L.Add()([x, L.MultiHeadAttention(4, 8)(x, x)])
        )
        y = L.Dense(64, "gelu")(x)
        x = L.LayerNormalization()(L.Add()([x, L.Dense(32)(y)]))
    return keras.Model(ids, L.Dense(50)(x))


def mobile():
    x = inputs = keras.Input((16, 16, 3))
    for _ in range(6):
        x = L.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = L.BatchNormalization()(x)
        x = L.ReLU(6.0)(x)
        x = L.Conv2D(16, 1, use_bias=False)(x)
        x = L.BatchNormalization()(x)
        x = L.ReLU(6.0)(x)
    return keras.Model(inputs, L.Dense(10)(L.Flatten()(x)))


def recurrent():
    return keras.Sequential(
        [
            keras.Input((None,)),
            L.Embedding(50, 16),
            L.Bidirectional(L.LSTM(16, return_sequences=True)),
            L.GRU(16),
            L.Dense(1, "sigmoid"),
        ]
    )


def zero_head():
    return keras.Sequential(
        [
            keras.Input((16,)),
            L.Dense(32, "relu"),
            L.Dense(4, kernel_initializer="zeros"),
        ]
    )


def zero_branch():
    x = inputs = keras.Input((16,))
    for _ in range(3):
        y = L.Dense(16, "relu")(x)
        y = L.Dense(16, kernel_initializer="zeros")(y)
        x = L.Add()([x, y])
    return keras.Model(inputs, L.Dense(1)(x))


def logistic():
    return keras.Sequential(
        [keras.Input((784,)), L.Dense(10, kernel_initializer="zeros")]
    )


def cnn():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            L.Conv2D(32, 3, activation="relu"),
            L.MaxPooling2D(),
            L.Conv2D(64, 3, activation="relu"),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dropout(0.5),
            L.Dense(10, "softmax"),
        ]
    )


def autoencoder():
    return keras.Sequential(
        [
            keras.Input((784,)),
            L.Dense(128, "relu"),
            L.Dense(16, "relu"),
            L.Dense(128, "relu"),
            L.Dense(784, "sigmoid"),
        ]
    )


def tiny_labelled_healthy():
    wide = INIT.RandomUniform(0.0, 1.0)
    return keras.Sequential(
        [
            keras.Input((2,)),
            L.Dense(5, "tanh", kernel_initializer=wide),
            L.Dense(1, "sigmoid", kernel_initializer=wide),
        ]
    )


def weak_middle_labelled_healthy():
    narrow = INIT.RandomUniform(-0.05, 0.05)
    return keras.Sequential(
        [
            keras.Input((1,)),
            L.Dense(50, "relu"),
            L.Dense(50, "relu", kernel_initializer=narrow),
            L.Dense(1),
        ]
    )


def deep_tanh():
    return mlp(24, "tanh")


def ours():
    return keras.Sequential(
        [keras.Input((32,))]
        + [L.Dense(32, **presets.get("gelu_deep")) for _ in range(24)]
        + [kgl.PairedDense(32, residual=True), L.Dense(2)]
    )


HEALTHY = [
    resnet,
    transformer,
    mobile,
    recurrent,
    zero_head,
    zero_branch,
    logistic,
    cnn,
    autoencoder,
    tiny_labelled_healthy,
    weak_middle_labelled_healthy,
    deep_tanh,
    ours,
]


@pytest.mark.parametrize("build", HEALTHY)
def test_silent_on_what_people_build(build):
    assert [str(p) for p in presets.inspect_initialization(build())] == []


@pytest.mark.parametrize("name", presets.names())
def test_silent_on_every_pairing(name):
    model = keras.Sequential(
        [keras.Input((64,))]
        + [L.Dense(64, **presets.get(name)) for _ in range(4)]
        + [L.Dense(2)]
    )
    if name not in ("squared_relu",):
        assert kinds(model) == []


def test_frozen_layers_are_the_users():
    model = mlp(2, kernel_initializer="zeros")
    model.trainable = False
    assert kinds(model) == []


def test_trained_weights():
    model = mlp(3, inputs=8)
    model.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy"
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 8)).astype("float32")
    model.fit(x, (x[:, 0] > 0).astype(int), epochs=10, verbose=0)
    assert kinds(model) == []


def test_a_subclassed_model_is_judged_layer_by_layer():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.one = L.Dense(
                64, "relu", kernel_initializer=INIT.RandomNormal(0, 2)
            )
            self.two = L.Dense(64, "relu")

        def call(self, x):
            return self.two(self.one(x))

    model = Net()
    model(np.ones((1, 64), "float32"))
    [found] = presets.inspect_initialization(model)
    assert found.kind == "too_wide"
    assert "one" in found.layer or "dense" in found.layer


def test_errors_teach():
    with pytest.raises(TypeError, match=r"`model` must be a Keras model"):
        presets.inspect_initialization(L.Dense(2))
