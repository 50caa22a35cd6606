"""`check` on models that compute their loss themselves, and on odd data."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg
from keras_gradguard.preflight import probe
from tests import models

X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")


class Own(keras.Model):
    """Has a `compute_loss` of its own, with a metric and a second call."""

    def __init__(self, follows=True):
        super().__init__()
        self.hidden = layers.Dense(8, "tanh")
        self.drop = layers.Dropout(0.2, seed=1)
        self.out = layers.Dense(2)
        self.far = keras.metrics.Mean(name="far")
        self.follows = follows

    def call(self, x, training=None):
        return self.out(self.drop(self.hidden(x), training=training))

    def compute_loss(self, x=None, y=None, y_pred=None, *rest, **more):
        again = self.out(self.hidden(-x))
        loss = ops.mean(ops.square(y_pred - 0.5 * again - 1))
        self.far.update_state(loss)
        return loss if self.follows else ops.stop_gradient(loss)


class Penalty(layers.Layer):
    def call(self, x):
        self.add_loss(3.0 * ops.mean(ops.square(x - 1)))
        return x


def own(follows=True, built=True):
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(2)
    model = Own(follows)
    if built:
        model.build((None, 4))
        model(X)
    model.compile(keras.optimizers.Adam(0.01))
    return model


def added():
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(2)
    inputs = keras.Input((4,))
    h = layers.Dense(8, "tanh", kernel_regularizer="l2")(inputs)
    model = keras.Model(inputs, Penalty()(layers.Dense(2)(h)))
    model.compile(keras.optimizers.Adam(0.01))
    return model


@pytest.mark.parametrize("make", [own, added])
def test_a_loss_of_the_models_own_is_judged(make):
    report = kgg.check(make(), X)
    assert report.healthy, report
    assert report.not_judged == []
    assert any("model's own" in note for note in report.notes)


@pytest.mark.parametrize("make", [own, added])
def test_its_loss_and_gradients_are_those_of_keras(make):
    model = make()
    if make is own:
        model.drop.rate = 0.0
    passed = probe.run(model, X, None)
    held = [(v, v.value) for v in model.variables]
    with keras.StatelessScope(state_mapping=held, collect_losses=True):
        outputs = model(X, training=True)
        loss = model.compute_loss(x=X, y=None, y_pred=outputs)
    np.testing.assert_allclose(
        passed.loss, float(models.to_numpy([loss])[0]), rtol=1e-5
    )
    at = np.unravel_index(np.argmax(np.abs(passed.grads[0])), (4, 8))
    assert np.abs(passed.grads[0][at]) > 1e-2
    kernel = model.trainable_variables[0]
    start, losses = models.to_numpy([kernel])[0], []
    for change in (-1e-2, 1e-2):
        moved = start.copy()
        moved[at] += change
        kernel.assign(moved)
        losses.append(probe.run(model, X, None).loss)
    slope = (losses[1] - losses[0]) / 2e-2
    np.testing.assert_allclose(passed.grads[0][at], slope, rtol=2e-2)


def test_a_loss_of_its_own_that_follows_no_weight_is_told():
    report = kgg.check(own(follows=False), X)
    assert [finding.rule for finding in report.findings] == ["frozen_layer"]
    assert report.healthy is False


@pytest.mark.optimized
@pytest.mark.parametrize("built", [True, False])
def test_the_training_behind_it_is_the_same(built):
    def trained(checked):
        model = own(built=built)
        for _ in range(checked):
            kgg.check(model, X)
        history = model.fit(X, epochs=2, batch_size=16, verbose=0).history
        return history["loss"], models.to_numpy(model.variables)

    (plain, weights), (checked, others) = trained(0), trained(2)
    assert plain == checked
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_loss_of_its_own_that_needs_targets_says_so():
    class Needs(Own):
        def compute_loss(self, x=None, y=None, y_pred=None, *rest, **more):
            return ops.mean(ops.square(y - y_pred))

    model = Needs()
    model.compile("adam")
    report = kgg.check(model, X)
    assert report.healthy is None
    assert "there are no targets" in report.not_judged[0]
    assert kgg.check(model, X, X[:, :2]).healthy


def classifier(shape=(4,)):
    model = keras.Sequential(
        [keras.Input(shape), layers.Flatten(), layers.Dense(3, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("kind", ["U8", object])
def test_labels_that_are_text_are_told_as_such(kind):
    y = np.array(["ox", "cow", "calf", "ox"] * 16, kind)
    report = kgg.check(classifier(), X, y)
    assert report.healthy is None
    assert "text, such as 'ox'" in report.not_judged[0]


def test_data_that_have_no_batches_left():
    def one():
        yield X, np.zeros(64, "int32")

    batches = one()
    assert kgg.check(classifier(), batches).not_judged == []
    with pytest.raises(ValueError, match="empty generator"):
        kgg.check(classifier(), batches)


@pytest.mark.parametrize("x", ["data", {1, 2}, b"data"])
def test_what_holds_no_arrays_is_no_data(x):
    with pytest.raises(TypeError, match="must hold arrays"):
        kgg.check(classifier(), x, np.zeros(4, "int32"))


def test_one_picture_from_zeros_is_no_constant_input():
    """Weights alone give it, so nothing has to be told apart."""

    def report(y):
        model = keras.Sequential(
            [keras.Input((4,)), layers.Dense(8, use_bias=True)]
        )
        model.compile("adam", "mse")
        return kgg.check(model, np.zeros((64, 4), "float32"), y)

    picture = np.random.default_rng(1).normal(size=(1, 8)).astype("float32")
    told = [f.rule for f in report(np.repeat(picture, 64, 0)).findings]
    assert "unscaled_data" not in told
    y = np.random.default_rng(1).normal(size=(64, 8)).astype("float32")
    assert "unscaled_data" in [f.rule for f in report(y).findings]
