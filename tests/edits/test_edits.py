"""Remedies carried out on copies of a model."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.trace.facts import OptimizerFacts
from keras_gradguard.trace.facts import Output
from tests import models

X = np.random.default_rng(0).normal(size=(64, 8)).astype("float32") * 3
Y = X[:, :1] * 100 + 500


def net(*stack, loss="mse", optimizer="adam", inputs=(8,), metrics=None):
    body = stack or (
        layers.Dense(8, "sigmoid", name="h0"),
        layers.Dense(8, "sigmoid", name="h1"),
        layers.Dense(1, name="out"),
    )
    model = keras.Sequential([keras.Input(inputs), *body], name="net")
    model.compile(optimizer, loss, metrics=metrics)
    return model


def through_json(remedy):
    return kgg.Remedy.from_dict(json.loads(json.dumps(remedy.to_dict())))


def rate(model):
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


def same(one, other):
    return all(
        np.array_equal(a, b)
        for a, b in zip(
            models.to_numpy(one), models.to_numpy(other), strict=True
        )
    )


REMEDIES = {
    "output": changes.output(
        Output("net/out", "Dense", 1, "linear", "mse"),
        "",
        units=3,
        activation="softmax",
        loss="sparse_categorical_crossentropy",
    ),
    "inputs": changes.normalize_inputs("", [0.0] * 8, [3.0] * 8),
    "one_scale": changes.normalize_inputs("", 0.0, 3.0),
    "batch_norm": changes.normalize_inputs(""),
    "pixels": changes.rescale_inputs("", 1 / 255),
    "targets": changes.scale_targets("", 500.0, 300.0),
    "rate": training.learning_rate(OptimizerFacts("Adam", 1e-3), "", 1e-2),
    "factor": training.scale_learning_rate(0.1, ""),
    "schedule": training.schedule(""),
    "warm_up": training.warm_up("", 1e-5, 1e-3, 400),
    "adam": training.adam(""),
    "clip": training.clip("", threshold=1.0),
    "accumulate": training.accumulate(2, ""),
    "several": changes.several(
        [
            changes.convert("he_relu", "", normalization="batch"),
            training.adam(""),
            training.schedule("", 200),
        ],
        "",
    ),
    "convert": changes.convert("he_relu", ""),
    "normalize": changes.convert("elu", "", normalization="batch"),
    "residual": changes.convert("elu", "", residual=True),
    "fewer": changes.leave_out(["net/h1"], ""),
    "arguments": changes.change_layers(
        "", "", {"net/h0": {"activation": "tanh", "use_bias": False}}
    ),
    "beta": training.set_optimizer_arguments("", "", beta_1=0.8),
    "again": changes.reinitialize(["net/h0"], ""),
}


@pytest.mark.once
@pytest.mark.parametrize("name", REMEDIES)
def test_each_change_gives_a_model_that_trains_and_touches_nothing(name):
    metrics = None if name == "output" else ["mae"]
    model = net(
        optimizer="sgd" if name in ("adam", "several") else "adam",
        metrics=metrics,
    )
    before = models.to_numpy([*model.variables, *model.optimizer.variables])
    config = json.dumps(model.get_config(), default=str)
    healed = through_json(REMEDIES[name]).apply(model)
    assert healed is not model
    assert healed.optimizer is not model.optimizer
    after = models.to_numpy([*model.variables, *model.optimizer.variables])
    assert all(map(np.array_equal, before, after))
    assert config == json.dumps(model.get_config(), default=str)
    y = np.arange(64) % 3 if name == "output" else Y
    history = healed.fit(X, y, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"][0])
    assert set(history) == {"loss", *(metrics or [])}
    assert not {id(v) for v in healed.variables} & {
        id(v) for v in model.variables
    }


@pytest.mark.once
def test_the_gradients_of_several_batches_are_averaged():
    healed = apply("accumulate", net())
    assert healed.optimizer.gradient_accumulation_steps == 2
    healed.fit(X, Y, batch_size=16, epochs=1, verbose=0)
    assert int(keras.ops.convert_to_numpy(healed.optimizer.iterations)) == 2
    with pytest.raises(ValueError, match="it does so already"):
        apply("accumulate", healed)


@pytest.mark.once
def test_several_changes_are_made_one_after_the_other():
    healed = apply("several", net(optimizer="sgd"))
    assert type(healed.optimizer).__name__ == "Adam"
    rate = healed.optimizer.get_config()["learning_rate"]
    assert rate["config"]["decay_steps"] == 200
    kinds = [type(layer).__name__ for layer in healed.layers]
    assert "BatchNormalization" in kinds


def apply(name, model):
    return REMEDIES[name].apply(model)


@pytest.mark.once
def test_the_output_layer_changes_and_the_rest_keeps_its_weights():
    model = net()
    healed = apply("output", model)
    assert healed.loss == "sparse_categorical_crossentropy"
    assert healed.layers[-1].activation.__name__ == "softmax"
    assert healed.output_shape == (None, 3)
    assert same(healed.layers[0].weights, model.layers[0].weights)


@pytest.mark.once
def test_an_activation_of_its_own_is_changed_where_it_stands():
    model = net(
        layers.Dense(1, name="out"),
        layers.Activation("softmax"),
        loss="binary_crossentropy",
    )
    change = changes.output(
        Output("net/out", "Dense", 1, "softmax"), "", activation="sigmoid"
    )
    healed = change.apply(model)
    assert healed.layers[-1].activation.__name__ == "sigmoid"
    assert healed.layers[0].activation.__name__ == "linear"
    assert same(healed.layers[0].weights, model.layers[0].weights)


@pytest.mark.once
def test_inputs_come_in_at_unit_scale():
    healed = apply("inputs", net())
    scaled = keras.ops.convert_to_numpy(healed.layers[0](X))
    np.testing.assert_allclose(scaled, X / 3, rtol=1e-5)


def test_targets_are_learnt_at_unit_scale_and_predicted_at_theirs():
    model = net(optimizer=keras.optimizers.SGD(0.1))
    healed = apply("targets", model)
    plain = net(optimizer=keras.optimizers.SGD(0.1))
    plain.set_weights(model.get_weights())
    for each, y in ((healed, Y), (plain, (Y - 500) / 300)):
        each.fit(X, y, epochs=2, shuffle=False, verbose=0)
    for one, other in zip(
        models.to_numpy(healed.trainable_variables),
        models.to_numpy(plain.trainable_variables),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(
        healed.predict(X, verbose=0),
        plain.predict(X, verbose=0) * 300 + 500,
        rtol=1e-3,
    )


@pytest.mark.once
def test_the_optimizer_changes_as_it_says():
    model = net(optimizer=keras.optimizers.Adam(1e-3, beta_1=0.5))
    assert rate(apply("rate", model)) == pytest.approx(1e-2)
    assert rate(apply("factor", model)) == pytest.approx(1e-4)
    assert apply("rate", model).optimizer.beta_1 == 0.5
    clipped = apply("clip", model)
    assert isinstance(clipped.optimizer, kgg.AutoClip)
    assert clipped.optimizer.inner_optimizer.beta_1 == 0.5
    assert rate(apply("rate", clipped)) == pytest.approx(1e-2)
    assert isinstance(apply("rate", clipped).optimizer, kgg.AutoClip)
    falling = apply("schedule", model)
    config = falling.optimizer.get_config()["learning_rate"]
    rates = keras.saving.deserialize_keras_object(config)
    for step, expected in ((0, 1e-3), (1000, 5.05e-4), (9999, 1e-5)):
        found = keras.ops.convert_to_numpy(rates(step))
        assert found == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match="a schedule sets it"):
        apply("factor", falling)
    with pytest.raises(ValueError, match="it is clipped already"):
        apply("clip", clipped)


@pytest.mark.once
def test_layers_are_left_out_where_the_shape_allows():
    model = net()
    healed = apply("fewer", model)
    assert isinstance(healed.layers[1], layers.Identity)
    assert len(healed.trainable_variables) == 4
    with pytest.raises(
        ValueError, match="does not fit together without net/out"
    ):
        changes.leave_out(["net/out"], "").apply(model)


@pytest.mark.once
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_a_plain_recurrent_layer_is_exchanged(kind):
    model = net(
        layers.SimpleRNN(4, recurrent_initializer="zeros", name="rnn"),
        layers.Dense(1),
        inputs=(5, 2),
    )
    healed = changes.recurrent("net/rnn", kind, "").apply(model)
    assert type(healed.layers[0]).__name__ == kind
    assert healed.layers[0].name == "rnn"
    recurrent = healed.layers[0].cell.recurrent_kernel
    values = np.asarray(keras.ops.convert_to_numpy(recurrent))
    np.testing.assert_allclose(values @ values.T, np.eye(4), atol=1e-5)


def test_a_softmax_in_a_graph_gives_way_to_what_takes_no_mask():
    start = keras.Input((8,))
    scores = layers.Softmax(name="answer")(layers.Dense(3)(start))
    model = kgg.replace_layers(
        keras.Model(start, scores), layers.Activation("tanh", name="answer")
    )
    assert model.layers[-1].activation is keras.activations.tanh
    assert (keras.ops.convert_to_numpy(model(X)) < 0).any()


def test_functional_models_too():
    inputs = keras.Input((8,))
    h = layers.Dense(8, "relu", name="h")(inputs)
    model = keras.Model(inputs, layers.Dense(1, name="out")(h), name="net")
    model.compile("adam", "mse")
    for name in ("targets", "inputs", "output", "residual", "again"):
        healed = apply(name, model)
        healed.fit(X, np.abs(Y) % 3 // 1, epochs=1, verbose=0)


@pytest.mark.once
def test_what_cannot_be_done_is_said():
    subclassed = models.Subclassed()
    subclassed(X[:1])
    with pytest.raises(TypeError, match="must be Sequential or functional"):
        apply("convert", subclassed)
    with pytest.raises(ValueError, match="`layer` must be one of"):
        changes.recurrent("net/gone", "LSTM", "").apply(net())
    frozen = net()
    frozen.layers[0].trainable = False
    with pytest.raises(ValueError, match="'h0' is frozen on purpose"):
        apply("convert", frozen)
    unbuilt = keras.Sequential([layers.Dense(1)])
    with pytest.raises(ValueError, match="must be built"):
        apply("convert", unbuilt)
    tokens = models.embedding()
    tokens.compile("adam", models.crossentropy())
    with pytest.raises(ValueError, match="they are no float numbers"):
        apply("inputs", tokens)


@pytest.mark.once
def test_a_remedy_without_an_action_has_nothing_to_apply():
    assert changes.words("t", "w", "c").apply is None
    assert kgg.Remedy("t", "w").apply is None
    own = kgg.Remedy("t", "w", apply=lambda model: "new")
    assert own.apply(None) == "new"
