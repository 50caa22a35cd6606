"""What `check` and the monitor blame, beside what it brings about."""

import keras
import numpy as np
from keras import layers
from keras import ops

import keras_gradguard as kgg


@keras.saving.register_keras_serializable("tests_of_blame")
class Share(layers.Layer):
    """Multiplies by a share that was rounded down to 0."""

    def call(self, both):
        return both[0] * ops.floor(both[1])


def shared(share):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(128, 3)).astype("float32")
    parts = np.full((128, 1), share, "float32")
    inputs = [keras.Input((3,)), keras.Input((1,))]
    h = layers.Dense(16, "gelu", name="reader")(inputs[0])
    h = Share()([h, inputs[1]])
    h = layers.Dense(16, "relu", name="hidden")(h)
    model = keras.Model(inputs, layers.Dense(1, name="head")(h))
    model.compile("adam", "mse")
    return model, [x, parts], x[:, :1] ** 2


def test_a_layer_that_nothing_reaches_is_not_dead():
    keras.utils.set_random_seed(1)
    model, x, y = shared(0.9)
    (found,) = kgg.check(model, x, y).ranked
    assert found.evidence["kind"] == "cut_off"
    assert found.layers[0].endswith("reader")
    model, x, y = shared(1.0)
    assert kgg.check(model, x, y).findings == []


def test_inputs_of_several_layers_are_measured_side_by_side():
    rng = np.random.default_rng(0)
    near = rng.normal(size=(64, 3)).astype("float32")
    far = (500 * rng.normal(size=(64, 2))).astype("float32")
    inputs = [keras.Input((3,)), keras.Input((2,))]
    parts = [layers.Dense(8, "tanh")(part) for part in inputs]
    h = layers.Dense(8, "tanh")(layers.Concatenate()(parts))
    model = keras.Model(inputs, layers.Dense(1)(h))
    model.compile("sgd", "mse")
    monitor = kgg.GradientMonitor(verbose=0)
    y = near[:, :1]
    model.fit([near, far], y, batch_size=64, verbose=0, callbacks=[monitor])
    both = np.concatenate([near, far], axis=1).astype("float64")
    seen = [
        monitor.trace.data(name)[0]
        for name in ("input_max", "input_std", "feature_scale_min")
    ]
    wanted = [both.max(), both.std(), both.std(axis=0).min()]
    np.testing.assert_allclose(seen, wanted, rtol=1e-4)
    assert monitor.trace.run.data.several_inputs


def test_a_stack_is_followed_to_its_end():
    """Four layers keep a fiftieth of the signal, twelve next to nothing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(128, 16)).astype("float32")
    for draw, sick in (("random_normal", True), (None, False)):
        keras.utils.set_random_seed(1)
        draw = {"kernel_initializer": draw} if draw else {}
        hidden = [layers.Dense(32, "tanh", **draw) for _ in range(12)]
        out = layers.Dense(3, "softmax")
        model = keras.Sequential([keras.Input((16,)), *hidden, out])
        model.compile("adam", "sparse_categorical_crossentropy")
        report = kgg.check(model, x, np.arange(128) % 3)
        assert not report.notes
        if not sick:
            assert report.findings == []
            continue
        assert report.ranked[0].evidence["kind"] == "vanishing_stack"
        assert "over 12 layers" in report.ranked[0].message
