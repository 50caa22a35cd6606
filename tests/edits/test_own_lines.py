"""What the lines of the user's own code tell of gradients that are cut off."""

import pathlib

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg
from keras_gradguard.models.own_lines import cuts_of_own_code
from keras_gradguard.models.own_lines import turned_loss
from keras_gradguard.models.run_info import run_info_of

pytestmark = pytest.mark.once


class Hard(layers.Layer):
    def build(self, shape):
        self.fixed = self.add_weight(shape[-1:], "zeros", trainable=False)

    def call(self, x):
        self.add_loss(0.0 * ops.mean(x))
        return ops.cast(x > self.fixed, "float32")


class Sound(layers.Layer):
    def call(self, x):
        return ops.cast(ops.tanh(x), "float32")


class Forgets(keras.Model):
    def __init__(self):
        super().__init__(name="forgets")
        self.encoder = layers.Dense(3, name="encoder")
        self.second = layers.Dense(3, name="second")
        self.head = layers.Dense(1, name="head")

    def call(self, x):
        code = self.encoder(x)  # noqa: F841
        self.second(x)
        return self.head(x)


def test_lines_are_named_as_they_stand():
    hard, sound = Hard(name="hard"), Sound(name="sound")
    round_off = layers.Lambda(lambda x: ops.round(x), name="lambda")
    model = keras.Sequential([keras.Input((3,)), hard, sound, round_off])
    found = cuts_of_own_code(model)
    assert set(found) == {f"{model.name}/hard", f"{model.name}/lambda"}
    told = found[f"{model.name}/hard"]
    (line,) = told["lines"]
    assert told["where"] == "Hard.call"
    assert told["names"] == ["comparison"]
    assert told["zeros"]
    assert told["adds"]
    assert not told["unused"]
    with open(__file__) as file:
        assert file.read().split("\n")[line[0] - 1].strip() == line[1]
    assert found[f"{model.name}/lambda"]["names"] == ["round"]
    assert run_info_of(model).own_cuts == found


def test_what_goes_nowhere_is_named():
    model = Forgets()
    model.compile("adam", "mse")
    x, y = np.ones((64, 4), "float32"), np.ones((64, 1), "float32")
    monitor = kgg.GradientMonitor(verbose=0)
    model.fit(x, y, epochs=20, verbose=0, callbacks=[monitor])
    unused = [text for _, text in cuts_of_own_code(model)["forgets"]["unused"]]
    assert unused == ["code = self.encoder(x)  # noqa: F841", "self.second(x)"]
    first = monitor.report().findings[0].remedies[0]
    assert first.title == "Connect these layers to the output"
    assert "`self.second(x)`" in first.why


@pytest.mark.parametrize("cuts", [3, {"a": 1}, {"a": {"where": "b"}}])
def test_a_file_may_say_anything(cuts):
    run = run_info_of(keras.Sequential([keras.Input((3,)), Sound()]))
    changed = type(run)(own_code={"cuts": cuts})
    assert changed.own_cuts == {}


class Rises(keras.Model):
    def train_step(self, data):
        loss = self.compute_loss(y=data)
        return self.tape.gradient(-loss, self.trainable_weights)


class RisesByName(keras.Model):
    def train_step(self, data):
        total_loss = -self.compute_loss(y=data)
        return {"loss": total_loss}


class Falls(keras.Model):
    def train_step(self, data):
        score = -ops.mean(data)  # what is called no loss
        loss = self.compute_loss(y=-data) - score
        return {"loss": loss}


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (Rises, "return self.tape.gradient(-loss, self.trainable_weights)"),
        (RisesByName, "total_loss = -self.compute_loss(y=data)"),
        (Falls, None),
        (keras.Model, None),
    ],
)
def test_a_loss_that_a_train_step_turns_is_read(kind, line):
    told = turned_loss(kind())
    assert (told and told[1]) == line
    if told is not None:
        text = pathlib.Path(__file__).read_text().split("\n")
        assert text[told[0] - 1].strip() == line
