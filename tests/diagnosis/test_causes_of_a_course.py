"""Causes that the course of a run shows, each beside a healthy run."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg


def waves(rows=512, noise=0.0):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (rows, 4)).astype("float32")
    y = np.sin(3 * x[:, :1]) + x[:, 1:2] * x[:, 2:3]
    return x, (y + noise * rng.normal(size=y.shape)).astype("float32")


def net(*, penalty=None, units=24):
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(units, "tanh", kernel_regularizer=penalty),
            layers.Dense(1, kernel_regularizer=penalty),
        ]
    )


def watched(model, x, y, epochs=15, **compile_arguments):
    model.compile(**{"optimizer": "adam", "loss": "mse", **compile_arguments})
    monitor = kgg.GradientMonitor(verbose=0)
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[monitor])
    return monitor.report()


def kinds(report):
    return [
        (f.rule, f.evidence.get("kind"))
        for f in report.ranked
        if f.cause is None
    ]


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


def test_a_penalty_that_outweighs_the_task_is_told_and_a_weak_one_not():
    adam = keras.optimizers.Adam(1e-2)
    heavy = net(penalty=keras.regularizers.L2(1.0))
    assert kinds(watched(heavy, *waves(), optimizer=adam)) == [
        ("update_ratio", "penalty")
    ]
    adam = keras.optimizers.Adam(1e-2)
    weak = net(penalty=keras.regularizers.L2(1e-4))
    assert watched(weak, *waves(), optimizer=adam).healthy is True


class Code(layers.Layer):
    """Draws a code; how far it is from its prior is added to the loss."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight
        self.seed = keras.random.SeedGenerator(0)

    def call(self, code):
        mean, log = ops.split(code, 2, axis=-1)
        prior = ops.mean(ops.exp(log) + ops.square(mean) - 1 - log)
        self.add_loss(self.weight * prior)
        noise = keras.random.normal(ops.shape(mean), seed=self.seed)
        return mean + ops.exp(0.5 * log) * noise


def test_an_autoencoder_that_collapses_under_its_prior_is_told():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 2)) @ rng.normal(size=(2, 8))
    x = (1 / (1 + np.exp(-x))).astype("float32")

    def autoencoder(weight):
        model = keras.Sequential(
            [
                keras.Input((8,)),
                layers.Dense(32, "relu"),
                layers.Dense(8),
                Code(weight),
                layers.Dense(32, "relu"),
                layers.Dense(8, "sigmoid"),
            ]
        )
        adam = keras.optimizers.Adam(1e-2)
        return watched(model, x, x, optimizer=adam, epochs=20)

    told = autoencoder(10.0).ranked[0]
    assert (told.rule, told.evidence["kind"]) == ("update_ratio", "penalty")
    assert "no lower than that of a constant" in told.message
    assert autoencoder(1e-3).findings == []


def test_a_schedule_that_ends_early_is_told_and_a_whole_one_not():
    schedule = keras.optimizers.schedules.CosineDecay
    sgd = keras.optimizers.SGD(schedule(0.05, 10))
    (told,) = watched(net(), *waves(), optimizer=sgd).ranked[:1]
    assert (told.rule, told.evidence["kind"]) == ("update_ratio", "schedule")
    assert "of 240 planned" in told.message
    sgd = keras.optimizers.SGD(schedule(0.2, 240))
    assert watched(net(), *waves(), optimizer=sgd).healthy is True


def test_a_clip_of_keras_that_starves_the_steps_is_told():
    for clip in ({"clipnorm": 1e-4}, {"global_clipnorm": 1e-4}):
        sgd = keras.optimizers.SGD(0.1, **clip)
        found = kinds(watched(net(), *waves(), optimizer=sgd))
        assert found == [("clipping", next(iter(clip)))]
    # Adam takes the same steps whatever the scale.
    adam = keras.optimizers.Adam(1e-2, clipnorm=1e-4)
    assert watched(net(), *waves(), optimizer=adam).findings == []
    sgd = keras.optimizers.SGD(0.1, global_clipnorm=1.0)
    assert watched(net(), *waves(), optimizer=sgd).findings == []


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="torch raises an error"
)
def test_a_loss_that_depends_on_no_weight_is_told_by_check_and_fit():
    def rounded(t, p):
        return ops.mean(ops.square(t - ops.round(p)))

    x, y = waves()
    model = net()
    model.compile("adam", rounded)
    assert kinds(kgg.check(model, x, y)) == [("frozen_layer", "no_dependence")]
    if keras.backend.backend() == "tensorflow":
        return  # `fit` itself raises: "No gradients provided"
    report = watched(net(), x, y, loss=rounded)
    assert kinds(report) == [("frozen_layer", "no_dependence")]
    assert report.healthy is False


class Own(keras.Model):
    def __init__(self, shaped):
        super().__init__()
        self.shaped = shaped
        self.hidden, self.out = layers.Dense(24, "tanh"), layers.Dense(1)

    def call(self, x):
        return self.out(self.hidden(x))

    def compute_loss(
        self,
        x=None,
        y=None,
        y_pred=None,
        sample_weight=None,
        training=True,
    ):
        y = ops.reshape(y, (-1, 1)) if self.shaped else y
        return ops.mean(ops.square(y - y_pred))


def test_targets_that_broadcast_are_told_and_shaped_ones_learn():
    x, y = waves()
    adam = keras.optimizers.Adam(1e-2)
    report = watched(Own(False), x, y[:, 0], optimizer=adam, loss=None)
    assert kinds(report) == [("output_mismatch", "broadcast")]
    assert "(n,)" in report.findings[0].message
    adam = keras.optimizers.Adam(1e-2)
    report = watched(Own(True), x, y[:, 0], optimizer=adam, loss=None)
    assert report.healthy is True


def test_noisy_targets_at_their_ceiling_are_left_alone():
    x, y = waves(1024, noise=2.0)
    adam = keras.optimizers.Adam(3e-3)
    report = watched(net(), x, y, epochs=25, optimizer=adam)
    assert report.findings == []


def test_targets_outside_of_probabilities_are_told_at_once():
    x, y = waves(128)
    logits = keras.losses.BinaryCrossentropy(from_logits=True)
    report = watched(net(), x, 300 + 100 * y, epochs=2, loss=logits)
    assert kinds(report) == [
        ("output_mismatch", "targets_outside_probabilities")
    ]


def test_an_explosion_is_told_however_short_the_run():
    wide = keras.initializers.RandomNormal(stddev=1.0)

    def deep(initializer):
        hidden = [
            layers.Dense(64, "relu", kernel_initializer=initializer)
            for _ in range(6)
        ]
        return keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(1)])

    report = watched(deep(wide), *waves(64), epochs=1)
    assert kinds(report) == [("exploding_gradient", "at_once")]
    report = watched(deep("he_normal"), *waves(64), epochs=1)
    assert report.findings == []
    assert report.healthy is None
    assert "too few" in report.verdict


def test_a_short_run_that_learnt_nothing_is_not_called_healthy():
    still = keras.optimizers.SGD(1e-6)
    report = watched(net(), *waves(160), epochs=4, optimizer=still)
    assert report.findings == []
    assert report.healthy is None
    assert report.verdict == (
        "No problem found in 20 steps; too few to say whether it learns: the "
        "loss has not moved."
    )
    with pytest.raises(TypeError, match=r"report\.healthy"):
        bool(report)
