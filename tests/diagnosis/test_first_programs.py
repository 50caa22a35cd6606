"""Faults of first programs, each told with its cause, beside sound ones."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg

# Rules are judged; that a trace is right is tested on each backend.
pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


def watched(model, x, y, epochs, on_finding="warn", **options):
    monitor = kgg.GradientMonitor(verbose=0, on_finding=on_finding)
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[monitor], **options)
    return monitor.report()


def kinds(report):
    return [(f.rule, f.evidence.get("kind")) for f in report.ranked]


def compiled(model, optimizer="adam", loss="binary_crossentropy", **more):
    model.compile(optimizer, loss, **more)
    return model


def test_columns_of_any_size_make_a_softmax_certain():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(128, 6)) * [1e5, 1, 1, 1, 1, 1]).astype("float32")
    y = rng.integers(0, 3, 128)
    hidden = layers.Dense(16, "tanh", kernel_initializer="ones")
    model = keras.Sequential(
        [keras.Input((6,)), layers.Rescaling(1e-5), hidden]
    )
    model.add(layers.Rescaling(1e6))
    model.add(layers.Dense(3, "softmax", kernel_initializer="glorot_uniform"))
    compiled(model, "sgd", "sparse_categorical_crossentropy")
    report = watched(model, x, y, epochs=8, shuffle=False)
    (certain,) = [f for f in report.findings if f.rule == "frozen_layer"] or [
        None
    ]
    assert certain is not None, kinds(report)
    assert certain.evidence["kind"] == "certain_outputs"
    assert "softmax gives 0 and 1 exactly" in certain.message
    assert "argmax" not in certain.message


def test_a_rate_that_kills_units_is_the_cause_of_dead_units():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 8)).astype("float32")
    y = (x[:, 0] > 0).astype("int32") + (x[:, 1] > 0)

    def net():
        hidden = [layers.Dense(32, "relu") for _ in range(3)]
        return keras.Sequential(
            [keras.Input((8,)), *hidden, layers.Dense(3, "softmax")]
        )

    keras.utils.set_random_seed(2)
    far = compiled(
        net(), keras.optimizers.SGD(5.0), "sparse_categorical_crossentropy"
    )
    report = watched(far, x, y, epochs=15)
    dead = [f for f in report.findings if f.rule == "dead_relu"]
    assert dead, kinds(report)
    assert dead[0].evidence["alive_at_start"] is True
    assert dead[0].cause == report.ranked[0].rule == "update_ratio"
    assert "rate" in report.ranked[0].remedies[0].title
    # Those that are dead before any step have another cause.
    sunk = [
        layers.Dense(
            32, "relu", bias_initializer=keras.initializers.Constant(-50.0)
        )
        for _ in range(2)
    ]
    model = keras.Sequential(
        [keras.Input((8,)), *sunk, layers.Dense(3, "softmax")]
    )
    compiled(model, "sgd", "sparse_categorical_crossentropy")
    report = watched(model, x, y, epochs=15)
    first = report.ranked[0]
    assert (first.rule, first.cause) == ("dead_relu", None)
    assert first.evidence["alive_at_start"] is False


def binary(last, **options):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 6)).astype("float32")
    y = (x[:, 0] + x[:, 1] > 0).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(32, "relu"),
            layers.Dense(1, last, name="answer"),
        ]
    )
    return compiled(model, **options), x, y


def test_a_loss_that_does_not_fit_is_noted_of_a_run_that_learns():
    model, x, y = binary("tanh")
    report = watched(model, x, y, epochs=40)
    assert not report.findings
    (note,) = report.notes
    assert "tanh gives negative numbers" in note
    assert note.endswith("This run learns all the same.")
    assert note in str(report)
    assert note in str(kgg.diagnose(report.trace))
    model, x, y = binary("sigmoid")
    assert watched(model, x, y, epochs=15).notes == []


def test_the_summary_of_a_fit_prints_the_note(capsys):
    model, x, y = binary("tanh")
    model.fit(x, y, epochs=15, verbose=0, callbacks=[kgg.GradientMonitor()])
    assert "tanh gives negative numbers" in capsys.readouterr().out


@pytest.mark.parametrize("loss", ["mean_absolute_error", "mean_squared_error"])
def test_numbers_of_classes_are_no_sizes_where_accuracy_is_watched(loss):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 8))
    y = rng.integers(0, 6, 600)
    x = (centres[y] + 0.1 * rng.normal(size=(600, 8))).astype("float32")

    def one(metrics):
        model = keras.Sequential(
            [
                keras.Input((8,)),
                layers.Dense(4, "relu"),
                layers.Dense(1, name="answer"),
            ]
        )
        return compiled(model, "adam", loss, metrics=metrics)

    model = one(["accuracy"])
    report = watched(model, x, y.astype("float32"), epochs=8)
    said = [*report.notes, *(f.message for f in report.findings)]
    assert any("so they are classes" in text for text in said), str(report)
    silent = watched(one([]), x, y.astype("float32"), epochs=8)
    assert "classes" not in str(silent)


def test_a_column_of_labels_for_several_units_is_told():
    _, x, y = binary("sigmoid")
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(2, "sigmoid", name="answer")]
    )
    compiled(model)
    (told,) = kgg.check(model, x, y[:, None]).findings
    assert told.evidence["kind"] == "one_column_for_units"
    names = {"model": model, "x": x, "y": y[:, None]}
    exec(told.remedies[0].code, names)
    model = names["model"]
    history = model.fit(x, y[:, None], epochs=30, verbose=0).history
    assert history["loss"][-1] < 0.5


def stripes():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (256, 16)).astype("float32")
    y = rng.integers(0, 2, 256)
    x[y == 1, 4:8] += 0.5
    return x, y


def deep():
    hidden = [layers.Dense(32, "relu") for _ in range(13)]
    model = keras.Sequential(
        [keras.Input((16,)), *hidden, layers.Dense(2, "softmax")]
    )
    return compiled(
        model, keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy"
    )


def test_glorot_behind_many_relus_is_told_and_he_heals():
    x, y = stripes()
    report = watched(deep(), x, y, 12, "stop")
    assert kinds(report)[:1] == [("poor_initialization", "fading")]
    keras.utils.set_random_seed(1)
    names = {"model": deep(), "x": x, "y": y}
    exec(report.ranked[0].remedies[0].code, names)
    model = names["model"]
    if not model.compiled:
        compiled(
            model, keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy"
        )
    healed = watched(model, x, y, epochs=40)
    assert ("poor_initialization", "fading") not in kinds(healed)
    assert healed.trace.logs["loss"][-1] < 0.5


def test_a_loss_turned_round_has_no_floor():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 6)).astype("float32")
    y = (x[:, :1] * x[:, 1:2] + x[:, 2:3]).astype("float32")

    def net(sign):
        model = keras.Sequential(
            [keras.Input((6,)), layers.Dense(32, "relu"), layers.Dense(1)]
        )

        def squared(wanted, given):
            square = keras.ops.square(wanted - given)
            return sign * keras.ops.mean(square, axis=-1)

        return compiled(model, "adam", squared)

    turned = watched(net(-1), x, y, 12, "stop")
    assert ("output_mismatch", "no_floor") in kinds(turned)
    assert turned.healthy is False
    keras.utils.set_random_seed(1)
    sound = watched(net(1), x, y, epochs=12)
    assert sound.healthy is True, str(sound)


def test_a_penalty_that_makes_outputs_the_same_is_told_though_loss_falls():
    x, y = binary("sigmoid")[1:]

    def net(penalty):
        hidden = [
            layers.Dense(
                32, "relu", kernel_regularizer=keras.regularizers.L2(penalty)
            )
            for _ in range(2)
        ]
        return compiled(
            keras.Sequential(
                [keras.Input((6,)), *hidden, layers.Dense(1, "sigmoid")]
            )
        )

    heavy = watched(net(1.0), x, y, 30, "stop")
    assert kinds(heavy)[:1] == [("update_ratio", "penalty")], str(heavy)
    keras.utils.set_random_seed(1)
    assert watched(net(1e-4), x, y, epochs=12).healthy is True


def test_normalization_over_two_rows_is_told_and_over_more_not():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)).astype("float32")
    y = (x[:, :1] * x[:, 1:2] + x[:, 2:3]).astype("float32")

    def net():
        hidden = [
            part
            for _ in range(2)
            for part in (
                layers.Dense(16),
                layers.BatchNormalization(),
                layers.ReLU(),
            )
        ]
        model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(1)])
        return compiled(model, "adam", "mse")

    report = watched(net(), x, y, 1, "stop", batch_size=2)
    assert kinds(report)[:1] == [("frozen_layer", "two_rows")], str(report)
    keras.backend.clear_session()
    names = {"model": net(), "x": x, "y": y}
    exec(report.ranked[0].remedies[1].code, names)
    assert not any(
        isinstance(layer, layers.BatchNormalization)
        for layer in names["model"].layers
    )
    keras.utils.set_random_seed(1)
    more = watched(net(), x, y, epochs=12, batch_size=20)
    assert ("frozen_layer", "two_rows") not in kinds(more)


@pytest.mark.parametrize("last", ["lstm", "dense"])
def test_targets_that_no_step_of_the_plan_reaches_are_too_large(last):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(320, 8, 3)).astype("float32")
    y = (150 + 20 * x[:, -1, :1]).astype("float32")
    middle = layers.LSTM(12) if last == "lstm" else layers.Flatten()

    def net():
        model = keras.Sequential(
            [
                keras.Input((8, 3)),
                middle.__class__.from_config(middle.get_config()),
                layers.Dense(1),
            ]
        )
        return compiled(model, "rmsprop", "mae")

    report = watched(net(), x, y, epochs=10)
    told = report.ranked[0]
    assert (told.rule, told.evidence["of"]) == ("unscaled_data", "targets")
    assert "has learnt the mean" not in str(report)
    names = {"x": x, "y": y}
    exec(told.remedies[0].code, names)
    keras.utils.set_random_seed(1)
    scaled = watched(net(), x, names["y"], epochs=10)
    assert not [f for f in scaled.findings if f.rule == "unscaled_data"]


@pytest.mark.parametrize("shape", [(8,), (64,), (8, 8, 1)])
def test_a_table_is_no_picture_and_an_end_no_mixture(shape):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (256, *shape)).astype("float32")
    y = rng.integers(0, 2, 256).astype("float32")
    model = keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            layers.Dense(16, "relu"),
            layers.Dense(1, "sigmoid"),
        ]
    )
    compiled(model)
    asked = kinds(kgg.check(model, x, y))
    told = kinds(watched(model, x, y, epochs=8))
    kind = "large" if shape == (8,) else "pixels"
    assert asked[0] == ("unscaled_data", kind)
    assert told == [] or told[0] == asked[0]
    assert ("output_mismatch", "mixed_rows") not in told


def digits(rows=600):
    """Made-up pictures of ten classes, each with a pattern of its own."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, rows)
    x = rng.normal(size=(10, 64))[y] + 0.5 * rng.normal(size=(rows, 64))
    return x.astype("float32"), y


def classifier(*behind, activation="softmax", **options):
    return keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(32, "relu", name="hidden", **options),
            layers.Dense(10, activation, name="classes", **options),
            *behind,
        ]
    )


def first_of(report):
    return (report.ranked[0].rule, report.ranked[0].evidence.get("kind"))


def one_hot(y):
    return keras.utils.to_categorical(y, 10)


@pytest.mark.parametrize(
    "loss", ["kl_divergence", "sparse_categorical_crossentropy"]
)
def test_a_low_loss_beside_an_accuracy_of_chance_is_no_learning(loss):
    x, y = digits()
    y = one_hot(y) if loss == "kl_divergence" else y
    activation = "linear" if loss == "kl_divergence" else "log_softmax"
    model = compiled(
        classifier(activation=activation), loss=loss, metrics=["accuracy"]
    )
    told = kgg.check(model, x, y)
    assert first_of(told)[0] == "output_mismatch"
    report = watched(model, x, y, epochs=20)
    accuracy = model.history.history["accuracy"][-1]
    assert accuracy < 0.4  # the loss alone would call it learnt
    assert report.healthy is False
    assert first_of(report) == first_of(told)


def test_probabilities_of_ones_own_that_are_none_are_belied():
    class Logarithm(keras.layers.Layer):
        def call(self, x):
            return keras.ops.log_softmax(x)

    x, y = digits()
    model = compiled(
        classifier(Logarithm(name="log"), activation=None),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    report = watched(model, x, y, epochs=12)
    found = report.ranked[0]
    assert first_of(report) == ("output_mismatch", "belied")
    logs = model.history.history
    at = np.flatnonzero(
        [
            right < 0.5 * np.exp(-loss) and np.exp(-loss) > 0.2
            for right, loss in zip(logs["accuracy"], logs["loss"], strict=True)
        ]
    )
    assert at[1] == at[0] + 1
    assert found.evidence["accuracy"] == logs["accuracy"][at[1]]
    assert np.isclose(
        found.evidence["granted"], np.exp(-logs["loss"][at[1]]), rtol=1e-6
    )


def test_a_loss_that_falls_until_nothing_can_be_computed_has_no_floor():
    def gain(y, p):
        right = keras.ops.take_along_axis(p, keras.ops.cast(y, "int32"), 1)
        return keras.ops.log(right)  # the sign is turned

    x, y = digits(1000)
    model = compiled(classifier(), loss=gain)
    report = watched(model, x, y[:, None], epochs=16)
    assert not np.isfinite(model.history.history["loss"][-1])
    assert first_of(report) == ("output_mismatch", "no_floor")
    assert report.ranked[1].cause == "output_mismatch"
    assert (
        "sparse_categorical_crossentropy" in report.ranked[0].remedies[0].code
    )


@pytest.mark.parametrize("times", [1e6, 1.0])
def test_class_weights_that_drown_the_others(times):
    x, y = digits()
    model = compiled(
        classifier(),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    weights = {**dict.fromkeys(range(10), 1.0), 3: times}
    report = watched(model, x, y, epochs=12, class_weight=weights)
    if times == 1.0:
        assert report.healthy
        return
    assert model.history.history["accuracy"][-1] < 0.4
    assert first_of(report) == ("unscaled_data", "sample_weights")
    # A tenth of the rows weighs a million.
    mean = report.ranked[0].evidence["mean"]
    assert 0.02 * times < mean < 0.2 * times


def test_weights_that_average_two_are_no_loss_above_a_constant():
    x, y = digits()
    model = compiled(classifier(), loss="sparse_categorical_crossentropy")
    trace = watched(model, x, y, epochs=4, sample_weight=np.full(len(y), 2.0))
    assert trace.healthy is not False


@pytest.mark.parametrize("limit", [0.01, 3.0])
def test_a_constraint_that_leaves_nothing_of_the_weights(limit):
    x, y = digits()

    def made(hold):
        keras.utils.set_random_seed(1)
        return compiled(
            classifier(kernel_constraint=hold),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )

    model = made(keras.constraints.MaxNorm(limit))
    told = kgg.check(model, x, y)
    report = watched(model, x, y, epochs=4)
    if limit == 3.0:
        assert told.healthy
        assert report.healthy is not False
        return
    assert first_of(told) == ("update_ratio", "constraint")
    assert first_of(report) == ("update_ratio", "constraint")
    found = report.ranked[0]
    assert {path.split("/")[-1] for path in found.layers} == {
        "hidden",
        "classes",
    }
    names = {"keras": keras, "kgg": kgg, "model": model, "x": x, "y": y}
    exec(found.remedies[0].code, names)
    model = compiled(
        names["model"],
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    assert model.get_layer("hidden").kernel_constraint is None
    model.fit(x, y, epochs=12, verbose=0)
    assert model.history.history["accuracy"][-1] > 0.9


def test_validation_that_never_gets_beyond_guessing_tells_of_no_relation():
    x, y = digits()
    y = np.random.default_rng(1).permutation(y)
    model = compiled(
        classifier(),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    report = watched(model, x, y, epochs=20, validation_split=0.2)
    assert first_of(report) == ("output_mismatch", "unrelated")


@pytest.mark.parametrize("start", ["zeros", "uniform"])
def test_two_tables_that_start_at_zero_and_are_multiplied(start):
    rng = np.random.default_rng(0)
    who, what = rng.integers(0, 20, (2, 600))
    factors = rng.normal(size=(2, 20, 4))
    y = (factors[0, who] * factors[1, what]).sum(1).astype("float32")
    sides = [keras.Input((1,), name=name) for name in ("who", "what")]
    rows = [
        layers.Flatten()(
            layers.Embedding(
                20, 8, embeddings_initializer=start, name=f"table_{side.name}"
            )(side)
        )
        for side in sides
    ]
    model = compiled(keras.Model(sides, layers.Dot(1)(rows)), loss="mse")
    x = [who[:, None], what[:, None]]
    told = kgg.check(model, x, y)
    report = watched(model, x, y, epochs=6)
    if start == "uniform":
        assert told.healthy
        assert ("frozen_layer", "zero_factors") not in kinds(report)
        return
    for each in (told, report):
        assert first_of(each) == ("frozen_layer", "zero_factors")
        assert each.ranked[0].layers == ["table_who", "table_what"]
        keras.utils.set_random_seed(1)
        for variable in model.trainable_variables:
            variable.assign(keras.ops.zeros(variable.shape))
        exec(each.ranked[0].remedies[0].code, {"keras": keras, "model": model})
        assert all(np.any(w) for w in model.get_weights())
        before = model.evaluate(x, y, verbose=0)
        model.compile(keras.optimizers.Adam(0.02), "mse")
        model.fit(x, y, epochs=30, verbose=0)
        assert model.evaluate(x, y, verbose=0) < 0.5 * before


@pytest.mark.parametrize("epochs", [10, 15])
def test_a_heavy_penalty_that_a_short_run_outgrows_is_resolved(epochs):
    keras.utils.set_random_seed(2)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 12, 3)).astype("float32")
    y = (x[:, :, 0].sum(1) > 0).astype("float32")
    heavy = keras.regularizers.L2(0.5)
    memory = layers.LSTM(
        16, kernel_regularizer=heavy, recurrent_regularizer=heavy
    )
    answer = layers.Dense(1, "sigmoid")
    model = keras.Sequential([keras.Input((12, 3)), memory, answer])
    compiled(model, keras.optimizers.Adam(0.01), metrics=["accuracy"])

    def ends(epoch, logs):
        model.stop_training = epoch + 1 == epochs

    monitor = kgg.GradientMonitor(verbose=0)
    stop = keras.callbacks.LambdaCallback(on_epoch_end=ends)
    model.fit(x, y, epochs=15, verbose=0, callbacks=[monitor, stop])
    report = monitor.report()
    (finding,) = report.history
    assert finding.evidence["kind"] == "penalty"
    # As long as more is to come, most has to be learnt three times in a row.
    over = epochs == 15
    assert finding.status == ("resolved" if over else "confirmed")
    assert report.healthy is over


@pytest.mark.parametrize(
    "slow", [{"learning_rate": 1e-6}, {"epsilon": 100.0}], ids=str
)
def test_steps_a_hundred_times_too_small_are_told_before_the_loss_shows(slow):
    x, y = digits()
    loss = "sparse_categorical_crossentropy"
    model = compiled(classifier(), keras.optimizers.Adam(**slow), loss)
    report = watched(model, x, y, 12, "stop")  # of 228 steps
    assert first_of(report) == ("update_ratio", "reach")
    assert report.ranked[0].evidence["window"]["last_step"] <= 17


def test_a_layer_that_lets_nothing_pass_is_told_before_the_loss_shows():
    x, y = digits()
    shut = keras.initializers.Constant(20.0)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(
                32, "hard_sigmoid", bias_initializer=shut, name="shut"
            ),
            layers.Dense(10, "softmax", name="classes"),
        ]
    )
    compiled(model, loss="sparse_categorical_crossentropy")
    report = watched(model, x, y, 12, "stop")
    found = report.ranked[0]
    assert found.rule == "saturated_activation"
    assert found.evidence["window"]["last_step"] <= 17
    assert "gradient of exactly zero" in found.message
    trace = report.trace
    assert not trace.layer_norms(0, 17)[
        :, trace.layers == "sequential/shut"
    ].any()


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_state_without_bounds_that_runs_off_in_the_middle(activation):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 320)
    time = np.arange(30) * (0.3 + 0.5 * y[:, None])
    x = np.sin(time + rng.uniform(0, 6, (320, 1)))
    x += 0.2 * rng.normal(size=x.shape)
    memory = layers.SimpleRNN(
        12, activation, recurrent_initializer="he_uniform", name="memory"
    )
    model = keras.Sequential(
        [keras.Input((30, 1)), memory, layers.Dense(2, "softmax")]
    )
    rate = keras.optimizers.SGD(0.3)
    compiled(model, rate, "sparse_categorical_crossentropy")
    x = x[..., None].astype("float32")
    report = watched(model, x, y, epochs=10, batch_size=16)
    told = [f for f in report.ranked if f.evidence.get("kind") == "free_state"]
    if activation == "tanh":
        assert not told
        return
    assert report.ranked[:1] == told
    assert told[0].rule == "exploding_gradient"
    # The loss never came down to half of the first, and lies far above it.
    lost = next(f for f in report.ranked if f.evidence.get("kind") == "lost")
    assert lost.cause == "exploding_gradient"
    assert lost.evidence["loss"] > 2 * lost.evidence["loss_first"]
    assert any(path.startswith("sequential/memory") for path in told[0].layers)
    outputs = memory(x).detach().numpy()
    size = np.sqrt(np.mean(np.square(outputs)))
    assert told[0].evidence["growth"] > 100
    assert size > 10  # of a state that tanh keeps below 1
