"""Causes that the course of a run shows, each beside a healthy run."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg
from keras_gradguard.diagnosis.rules import RULES
from keras_gradguard.diagnosis.rules import effects_of
from keras_gradguard.findings.causes import ranked
from keras_gradguard.findings.causes import trace_causes

# Rules are judged; that a trace is right is tested on each backend.
pytestmark = pytest.mark.once


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


def watched(model, x, y, epochs=15, on_finding="warn", **compile_arguments):
    model.compile(**{"optimizer": "adam", "loss": "mse", **compile_arguments})
    monitor = kgg.GradientMonitor(verbose=0, on_finding=on_finding)
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
        return watched(model, x, x, 20, "stop", optimizer=adam)

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
        found = kinds(watched(net(), *waves(), 15, "stop", optimizer=sgd))
        assert found == [("clipping", next(iter(clip)))]
    # Adam takes the same steps whatever the scale.
    adam = keras.optimizers.Adam(1e-2, clipnorm=1e-4)
    assert watched(net(), *waves(), optimizer=adam).findings == []
    sgd = keras.optimizers.SGD(0.1, global_clipnorm=1.0)
    assert watched(net(), *waves(), optimizer=sgd).findings == []


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


def test_a_recurrent_penalty_is_told_while_the_loss_falls_still():
    rng = np.random.default_rng(0)
    wave = np.sin(rng.uniform(0, 6, (256, 1)) + 0.4 * np.arange(9))
    x, y = wave[:, :8, None].astype("float32"), wave[:, 8:].astype("float32")

    def recurrent(size):
        heavy = keras.regularizers.L2(size)
        return keras.Sequential(
            [
                keras.Input((8, 1)),
                layers.LSTM(
                    8, kernel_regularizer=heavy, recurrent_regularizer=heavy
                ),
                layers.Dense(1),
            ]
        )

    report = watched(recurrent(3.0), x, y, 18, "stop")
    told = report.ranked[0]
    assert (told.rule, told.evidence["kind"]) == ("update_ratio", "penalty")
    assert "only the weights shrink" in told.message
    assert "recurrent_regularizer" in told.remedies[0].code
    assert watched(recurrent(1e-4), x, y, epochs=18).findings == []


def test_a_large_negative_bias_is_told_and_its_remedy_heals():
    x, y = waves()
    biased = layers.Dense(
        24, "relu", bias_initializer=keras.initializers.Constant(-50.0)
    )
    model = keras.Sequential([keras.Input((4,)), biased, layers.Dense(1)])
    report = watched(model, x, y, epochs=4)
    told = report.ranked[0]
    assert told.rule == "dead_relu"
    assert "bias_initializer" in told.remedies[0].code
    names = {"model": model, "x": x, "y": y}
    exec(told.remedies[0].code, names)
    healed = names["model"]
    assert healed.layers[0].get_config()["bias_initializer"] is not None
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(healed.layers[0].bias), np.zeros(24)
    )
    assert healed.layers[0].activation is keras.activations.relu


def test_first_steps_that_throw_the_weights_away_are_the_cause():
    def deep():
        hidden = [
            part
            for _ in range(4)
            for part in (layers.Dense(32, "tanh"), layers.LayerNormalization())
        ]
        return keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(1)])

    far = keras.optimizers.Adam(0.2)
    report = watched(deep(), *waves(), 15, "stop", optimizer=far)
    assert kinds(report)[0] == ("update_ratio", "learning_rate")
    assert "Lower the learning rate" in report.ranked[0].remedies[0].title
    near = keras.optimizers.Adam(0.01)
    assert watched(deep(), *waves(), optimizer=near).findings == []


@pytest.mark.parametrize(("gone_at", "follows"), [(0, True), (40, False)])
def test_steps_follow_from_a_gradient_that_was_gone_before(gone_at, follows):
    def told(rule, kind, step):
        return kgg.Finding(
            rule=rule,
            severity="critical",
            layers=["a"],
            first_step=step,
            last_step=50,
            epoch=0,
            evidence={"kind": kind},
            message="...",
        )

    steps = told("update_ratio", "first_steps", 0)
    gone = told("nonfinite_gradient", "infinite", gone_at)
    found = trace_causes([steps, gone], effects_of([r() for r in RULES]))
    if follows:
        assert ranked(found)[0].rule == "nonfinite_gradient"
    assert found[0].cause == ("nonfinite_gradient" if follows else None)


def test_inputs_scaled_twice_are_healed_without_the_second_scaling():
    x, y = waves()
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Rescaling(1 / 255, name="again"),
            layers.Dense(24, "tanh"),
            layers.Dense(1),
        ]
    )
    sgd = keras.optimizers.SGD(0.01)
    found = kgg.check(model, x / 2).ranked
    assert [f.remedies[0].title for f in found] == ["Leave out again"]
    report = watched(model, x / 2, y, optimizer=sgd)
    told = report.ranked[0]
    assert (told.rule, told.evidence["kind"]) == ("unscaled_data", "small")
    assert told.remedies[0].title == "Leave out again"


def test_a_rare_class_that_no_measured_batch_holds_is_told():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 8, 8, 1)).astype("float32")
    y = np.zeros_like(x)
    y[500:504, 2:4, 2:4] = 1
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.Conv2D(1, 1, activation="sigmoid"),
        ]
    )
    report = watched(
        model,
        x,
        y,
        epochs=8,
        optimizer=keras.optimizers.SGD(0.05),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )
    assert kinds(report) == [("output_mismatch", "rare_class")]
    assert report.healthy is False


def test_weights_so_large_that_outputs_are_certain_are_the_cause():
    x, y = waves()
    y = (y[:, 0] > 0).astype("int32")
    wide = keras.initializers.RandomNormal(stddev=1.5)
    hidden = [
        layers.Dense(64, "relu", kernel_initializer=wide) for _ in range(6)
    ]
    model = keras.Sequential(
        [keras.Input((4,)), *hidden, layers.Dense(2, "softmax")]
    )
    loss = "sparse_categorical_crossentropy"
    model.compile("sgd", loss)
    checked = kgg.check(model, x, y)
    assert "frozen_layer" not in [f.rule for f in checked.ranked]
    sgd = keras.optimizers.SGD(0.01)
    report = watched(model, x, y, loss=loss, optimizer=sgd)
    rules = [rule for rule, _ in kinds(report)]
    assert "frozen_layer" not in rules
    assert set(rules) & {"poor_initialization", "exploding_gradient"}


def test_check_tells_an_encoder_that_a_quantizer_cuts_off():
    class Quantize(layers.Layer):
        def call(self, x):
            return ops.round(x) + 0 * x

    def coder(*between):
        model = keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(16, "tanh", name="encoder"),
                layers.Dense(8, "tanh", name="code"),
                *between,
                layers.Dense(16, "tanh"),
                layers.Dense(1),
            ]
        )
        model.compile("adam", "mse")
        return model

    (told,) = kgg.check(coder(Quantize()), *waves()).ranked
    assert (told.rule, told.evidence["kind"]) == ("frozen_layer", "cut_off")
    assert [path.split("/")[-1] for path in told.layers] == ["encoder", "code"]
    assert kgg.check(coder(), *waves()).findings == []


def test_weights_that_start_at_zero_cut_nothing_off():
    class Gate(layers.Layer):
        def build(self, shape):
            self.size = self.add_weight(initializer="zeros", name="size")

        def call(self, x):
            return self.size * x

    def residual(*, last, gate=()):
        inputs = keras.Input((4,))
        first = layers.Dense(16, "tanh", name="first")(inputs)
        h = layers.Dense(16, "tanh", name="branch")(first)
        h = layers.Dense(16, kernel_initializer=last, name="last")(h)
        for layer in gate:
            h = layer(h)
        model = keras.Model(inputs, layers.Dense(1)(first + h))
        model.compile("adam", "mse")
        return model

    gated = residual(last="glorot_uniform", gate=[Gate()])
    for model in (residual(last="zeros"), gated):
        told = kgg.check(model, *waves()).findings
        assert [f for f in told if f.rule == "frozen_layer"] == []
    # What the gate opens is one thing, what is cut off behind it another.
    shut = [Gate(), layers.Lambda(lambda x: 0 * x)]
    told = kgg.check(residual(last="glorot_uniform", gate=shut), *waves())
    (cut,) = [f for f in told.findings if f.rule == "frozen_layer"]
    assert [path.split("/")[-1] for path in cut.layers] == ["branch", "last"]


def test_a_layer_without_the_usual_arguments_is_rebuilt():
    class Plain(layers.Layer):
        def __init__(self, units):
            super().__init__()
            self.inner = layers.Dense(units)

        def build(self, shape):
            self.inner.build(shape)
            super().build(shape)

        def call(self, x):
            return self.inner(x)

    inputs = keras.Input((4,))
    hidden = layers.Dense(8, "tanh")(Plain(6)(inputs))
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    new = kgg.presets.convert(model, "he_relu")
    assert new.count_params() == model.count_params()
    assert new.layers[1] is not model.layers[1]
    assert new.layers[2].activation is keras.activations.relu
