"""`check` on healthy programs as people publish them, and on failing ones."""

import functools
import random

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg
from tests import models
from tests.preflight import programs

# What costs seconds to compile runs where nothing is compiled.
_QUICK = {
    "conv_autoencoder",
    "gan",
    "functional_subclass",
    "nested_functional_subclass",
    "layer_without_config",
    "unbuilt_with_arguments",
    "late_layers",
    "several_inputs_and_outputs",
    "generator",
    "pretrained_backbone",
}


def _chosen():
    every = keras.backend.backend() == "torch"
    return [p for p in programs.PROGRAMS if every or p.__name__ in _QUICK]


@pytest.mark.parametrize("program", _chosen(), ids=lambda p: p.__name__)
def test_healthy_programs_are_left_alone(program):
    if program is programs.tf_data:
        pytest.importorskip("tensorflow")
    model, x, y = program()
    held = [id(v) for v in model.variables]
    before = models.to_numpy(model.variables)
    report = kgg.check(model, x, y)
    assert report.findings == [], report
    assert report.healthy is (None if program is programs.gan else True)
    if held:
        assert [id(v) for v in model.variables][: len(held)] == held
        after = models.to_numpy(model.variables)
        for one, other in zip(before, after, strict=False):
            np.testing.assert_array_equal(one, other)


@pytest.mark.optimized
def test_layers_built_by_check_train_as_those_that_fit_builds():
    def trained(checked, program):
        keras.utils.set_random_seed(1)
        model, x, y = program()
        model.compile("sgd", model.loss)
        if checked:
            assert "built now" in kgg.check(model, x, y).notes[0]
        model.fit(x, y, epochs=1, batch_size=32, shuffle=False, verbose=0)
        return models.to_numpy(model.variables)

    for program in (programs.late_layers, programs.unbuilt_with_arguments):
        for one, other in zip(
            trained(True, program), trained(False, program), strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_what_is_read_of_batches_is_said():
    model, x, _ = programs.generator()
    assert "taken from the generator" in kgg.check(model, x).notes[0]
    tf = pytest.importorskip("tensorflow")
    fixed = tf.data.Dataset.from_tensor_slices(
        (np.ones((32, 8), "float32"), np.arange(32.0)[:, None] / 16)
    )
    plain = fixed.map(lambda a, b: (a * 1.0, b)).batch(8)
    assert not any("`tf.data`" in n for n in kgg.check(model, plain).notes)

    def noisy(a, b):
        return a + tf.random.uniform((8,)), b

    for drawn in (fixed.shuffle(32).batch(8), fixed.map(noisy).batch(8)):
        notes = kgg.check(model, drawn).notes
        assert any("draws at random" in note for note in notes)


@pytest.mark.once
def test_unusual_weights_are_a_note_and_dead_ones_a_finding():
    def report(scale, count=3):
        kernel = keras.initializers.VarianceScaling(scale, seed=0)
        hidden = [
            layers.Dense(32, "tanh", kernel_initializer=kernel.clone())
            for _ in range(count)
        ]
        model = keras.Sequential(
            [keras.Input((8,)), *hidden, layers.Dense(1)], name="net"
        )
        model.compile("adam", "mse")
        x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
        return kgg.check(model, x, x[:, :1])

    small = report(0.2**2)
    assert "poor_initialization" not in [f.rule for f in small.findings]
    assert "learn all the same" in small.notes[-1]
    lost = report(0.02**2)
    assert "poor_initialization" in [f.rule for f in lost.findings]
    same = report(1.0)
    assert same.healthy
    assert same.notes == []


@pytest.mark.once
def test_a_fresh_net_is_told_of_its_pixels_and_a_trained_one_not():
    model, x, y = programs.pretrained_backbone()
    report = kgg.check(model, x, y)
    assert report.healthy
    assert "The weights were trained" in report.notes[0]
    for layer in model.layers[0].layers:
        if layer.weights:
            layer.bias.assign(np.zeros(8))
    assert "unscaled_data" in [f.rule for f in kgg.check(model, x, y).findings]


class Breaks(layers.Layer):
    """Fails on the way it is told to."""

    error = None

    def call(self, x):
        if self.error is not None:
            raise self.error
        return x


@functools.cache
def _breaking():
    """A trained model, the layer of it that may fail, and its data."""
    keras.utils.set_random_seed(2)
    broken = Breaks()

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.last = layers.Dense(4), layers.Dense(1)
            self.norm, self.drop = (
                layers.BatchNormalization(),
                layers.Dropout(0.5),
            )
            self.broken = broken

        def call(self, x, training=False):
            h = self.drop(self.norm(self.first(x)), training=training)
            return self.last(self.broken(h))

    def loss(y_true, y_pred):
        if isinstance(Breaks.error, ArithmeticError):
            raise Breaks.error
        return ops.mean(ops.square(y_true - y_pred), axis=-1)

    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model = Subclassed()
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["mae"])
    model.fit(x, x[:, :1], epochs=1, verbose=0)
    return model, broken, x


def _state(model):
    held = [*model.variables, *model.optimizer.variables]
    held += [v for metric in model.metrics for v in metric.variables]
    return models.to_numpy(held)


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), KeyboardInterrupt(), TypeError("no"), OverflowError()],
    ids=lambda error: type(error).__name__,
)
def test_whatever_fails_the_model_is_as_before(error, monkeypatch):
    model, broken, x = _breaking()
    seen = [model, *model._flatten_layers(include_self=False)]
    entries = {id(layer): set(vars(layer)) for layer in seen}
    before, python = _state(model), random.getstate()
    drawn = np.random.get_state()[1].copy()  # noqa: NPY002
    compiled = model.loss, model.optimizer, model.compiled
    if isinstance(error, ArithmeticError):
        monkeypatch.setattr(Breaks, "error", error)
        broken.error = None
        report = kgg.check(model, x, x[:, :1])
        assert report.healthy is None
        assert "OverflowError" in report.not_judged[0]
        monkeypatch.undo()
    else:
        broken.error = error
        kind = ValueError if isinstance(error, Exception) else type(error)
        with pytest.raises(kind):
            kgg.check(model, x, x[:, :1])
    broken.error = None
    assert random.getstate() == python
    after = np.random.get_state()[1]  # noqa: NPY002
    np.testing.assert_array_equal(drawn, after)
    assert (model.loss, model.optimizer, model.compiled) == compiled
    entries[id(broken)].add("error")
    for layer in seen:
        assert set(vars(layer)) <= entries[id(layer)]
    for one, other in zip(before, _state(model), strict=True):
        np.testing.assert_array_equal(one, other)
    model.fit(x, x[:, :1], epochs=1, verbose=0)
    assert np.isfinite(model.predict(x, verbose=0)).all()


def test_a_layer_that_fails_on_its_first_call_leaves_no_tracers():
    class Late(programs.LateLayers):
        def __init__(self):
            super().__init__()
            self.broken = Breaks()

        def call(self, x, training=False):
            return self.out(self.broken(self.body(x)))

    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
    model = Late()
    model.build((None, 8))
    model.compile("adam", "mse")
    model.broken.error = ValueError("no")
    with pytest.raises(ValueError, match="running the model failed"):
        kgg.check(model, x, x[:, :1])
    model.broken.error = None
    model.fit(x, x[:, :1], epochs=1, verbose=0)
    assert np.isfinite(model.predict(x, verbose=0)).all()


def test_a_compiled_model_is_not_called_uncompiled():
    class Doubled(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return 2 * ops.mean(ops.abs(y_true - y_pred), axis=-1)

    class Net(keras.Model):
        def __init__(self, width=4):
            super().__init__()
            self.hidden, self.out = layers.Dense(width), layers.Dense(1)

        def call(self, x):
            return self.out(self.hidden(x))

    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model = Net()
    model.compile("adam", Doubled())
    report = kgg.check(model, x, x[:, :1])
    assert report.healthy, report
    assert not model.built
    added = Net()
    added.compile("adam")
    assert "it has no loss" in kgg.check(added, x, x[:, :1]).not_judged[0]
