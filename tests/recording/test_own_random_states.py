"""TensorFlow: a step that draws by `tf.random` draws what it draws unwatched.

Such an operation has a random state of its own. A second variant of the step
would have a second one.
"""

import contextlib
import functools
import warnings

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard import _backend
from tests import models

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the state is TensorFlow's"
)
UPDATES = 16


def noise(shape):
    import tensorflow as tf

    return tf.random.normal(shape)


class Noisy(keras.layers.Layer):
    def call(self, inputs):
        return inputs + noise(keras.ops.shape(inputs))


class Gan(keras.Model):
    """Draws in its train step, and is never built itself."""

    def __init__(self):
        super().__init__()
        dense = keras.layers.Dense
        self.maker = keras.Sequential([keras.Input((3,)), dense(8)])
        self.critic = keras.Sequential([keras.Input((8,)), dense(1)])
        self.rules = [keras.optimizers.Adam(0.01) for _ in range(2)]

    def train_step(self, real):
        import tensorflow as tf

        losses = []
        for part, rule, sign in zip(
            (self.critic, self.maker), self.rules, (1, -1), strict=True
        ):
            with tf.GradientTape() as tape:
                made = self.maker(noise((keras.ops.shape(real)[0], 3)))
                difference = self.critic(made) - self.critic(real)
                loss = sign * keras.ops.mean(difference)
            weights = part.trainable_variables
            rule.apply(tape.gradient(loss, weights), weights)
            losses.append(loss)
        return {"critic": losses[0], "maker": losses[1]}


def make(kind):
    if kind == "gan":
        model = Gan()
        model.compile(jit_compile=False)
        return model
    noisy = [keras.Input((8,)), Noisy(), keras.layers.Dense(4, "relu")]
    model = keras.Sequential([*noisy, keras.layers.Dense(3)])
    several = {"steps_per_execution": 2} if kind == "several steps" else {}
    micro = 2 if kind == "accumulated" else None
    # That a step makes variables when it is traced is up to the `Gan`.
    rule = keras.optimizers.SGD(0.01, gradient_accumulation_steps=micro)
    model.compile(rule, models.crossentropy(), jit_compile=False, **several)
    return model


def scope_of(kind):
    import tensorflow as tf

    if kind != "replicas":
        return contextlib.nullcontext()
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()


def fits(kind, callbacks=()):
    """Weights and histories of two fits, and of one with replicas."""
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(4)
    with scope_of(kind):
        # TensorFlow takes what strategies of other tests reduce for its own.
        _backend.current().keep_collectives_apart()
        model = make(kind)
    x, y = models.dataset(64)
    histories = []
    # Each fit of replicas traces the step for each of them.
    for _ in range(1 if kind == "replicas" else 2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", kgg.GradGuardWarning)
            history = model.fit(
                x,
                None if kind == "gan" else y,
                batch_size=8,
                epochs=2,
                verbose=0,
                callbacks=list(callbacks),
            )
        histories.append(history.history)
    return model.get_weights(), histories


@functools.cache
def unwatched(kind):
    """What the fits of a kind are compared with, however often is recorded."""
    return fits(kind)


@pytest.mark.parametrize(
    ("kind", "every"),
    [
        ("one step", 1),
        ("several steps", 1),
        ("several steps", 2),
        ("replicas", 1),
        ("accumulated", 2),
        ("gan", 1),
        ("gan", 2),
    ],
)
def test_the_same_numbers_are_drawn(kind, every):
    weights, histories = unwatched(kind)
    monitor = kgg.GradientMonitor(
        update_freq=every, verbose=0, on_finding="ignore"
    )
    detector = kgg.DeadReLUDetector(verbose=0)
    watched, shown = fits(kind, [monitor, detector])
    assert shown == histories
    for ours, theirs in zip(watched, weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    updates = UPDATES // (2 if kind == "accumulated" else 1)
    assert len(monitor.trace.steps) == updates // every
    assert np.isfinite(monitor.trace.get("grad_norm")).all()


def test_what_a_layer_rules_out_is_told():
    monitor = kgg.GradientMonitor(verbose=0, on_finding="ignore")
    model = make("several steps")
    x, y = models.dataset(64)
    with pytest.warns(kgg.GradGuardWarning, match="activations cannot be mea"):
        model.fit(x, y, batch_size=8, verbose=0, callbacks=[monitor])
    trace = monitor.trace
    assert (
        not len(trace.activation_steps)
        or np.isnan(trace.activation("mean")).all()
    )
    assert np.isfinite(trace.get("update_ratio")).any()
