"""Mistakes that an eleventh set of programs showed, and neighbours."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_gradguard as kgg
from tests.diagnosis.test_causes_of_reports import fitted
from tests.diagnosis.test_told_of_first_mistakes import columns
from tests.diagnosis.test_told_of_next_mistakes import Own

# Rules are judged, on runs that differ by their draws from backend to backend.
pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(1)


def kinds(report):
    return [(f.rule, f.evidence.get("kind")) for f in report.ranked]


def steps_of(count=192):
    """Sequences of 12 steps of which one step tells the class."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 12, 3)).astype("float32")
    return x, (x[:, 5, 0] > 0).astype("float32")[:, None]


def attentive(how, axis):
    given = keras.Input((12, 3))
    states = layers.GRU(8, return_sequences=True)(given)
    if how == "layer":
        shares = layers.Softmax(axis=axis)(layers.Dense(1)(states))
    elif axis == -1:
        shares = layers.Dense(1, activation="softmax")(states)
    else:
        shares = layers.Dense(
            1, activation=lambda z: keras.ops.softmax(z, axis=axis)
        )(states)
    pooled = layers.Flatten()(layers.Dot(1)([shares, states]))
    model = keras.Model(given, layers.Dense(1, "sigmoid")(pooled))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("how", ["layer", "activation"])
def test_a_softmax_over_one_number_is_told_and_mended(how):
    x, y = steps_of()
    model = attentive(how, -1)
    told = kgg.check(model, x, y)
    assert kinds(told) == [("frozen_layer", "one_number")]
    told = fitted(model, x, y, epochs=6)
    assert kinds(told)[0] == ("frozen_layer", "one_number")
    assert "softmax over one number" in told.ranked[0].message
    scope = {"model": model, "x": x, "y": y}
    exec(told.ranked[0].remedies[0].code, scope)
    model = scope["model"]
    scores = next(at for at in model.layers if at.name.startswith("dense"))
    before = np.array(scores.get_weights()[0])
    model.fit(x, y, epochs=1, verbose=0)
    assert np.abs(scores.get_weights()[0] - before).max() > 1e-5


@pytest.mark.parametrize("how", ["layer", "activation"])
def test_a_softmax_over_the_steps_is_fine(how):
    x, y = steps_of()
    model = attentive(how, 1)
    assert kgg.check(model, x, y).findings == []
    assert fitted(model, x, y, epochs=2).findings == []


@pytest.mark.parametrize("groups", [8, 2])
def test_groups_of_one_number_are_told(groups):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(192, 5, 5, 1)).astype("float32")
    y = (x[:, 2, 2, 0] > 0).astype("float32")[:, None]
    model = keras.Sequential(
        [
            keras.Input((5, 5, 1)),
            layers.Conv2D(8, 5),
            layers.GroupNormalization(groups),
            layers.Activation("relu"),
            layers.Flatten(),
            layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    found = kinds(kgg.check(model, x, y)), kinds(fitted(model, x, y, epochs=8))
    lone = ("frozen_layer", "one_number")
    if groups == 8:
        assert [told[0] for told in found] == [lone, lone]
    else:
        assert lone not in found[0] + found[1]


def test_the_last_normalization_of_one_number_comes_before_mixed_rows():
    x, y = columns()
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Dense(16, "relu"),
            layers.Dense(1),
            layers.LayerNormalization(),
        ]
    )
    model.compile("adam", "mse")
    told = kinds(fitted(model, x, y, epochs=8))
    assert told[0] == ("frozen_layer", "one_number")
    assert ("output_mismatch", "mixed_rows") not in told


def digits_of_sums(rate, loss, count=512):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 8)).astype("float32")
    y = np.digitize(x[:, 0] + x[:, 1], [-1, 0, 1])
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(32, "relu"),
            layers.Dense(4, "softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(rate), loss, metrics=["accuracy"])
    return model, x, y


@pytest.mark.parametrize("rows", [64, 256])
def test_a_sum_over_the_batch_is_told_where_steps_are_too_large(rows):
    loss = keras.losses.SparseCategoricalCrossentropy(reduction="sum")
    model, x, y = digits_of_sums(0.5, loss)
    told = fitted(model, x, y, epochs=20, batch_size=rows)
    assert kinds(told)[0] == ("update_ratio", "summed")
    assert told.ranked[0].evidence["values"] == rows
    scope = {"model": model}
    exec(told.ranked[0].remedies[0].code, scope)
    assert scope["model"].loss.reduction == "sum_over_batch_size"


def test_a_sum_that_learns_is_fine():
    loss = keras.losses.SparseCategoricalCrossentropy(reduction="sum")
    model, x, y = digits_of_sums(2e-3, loss)
    told = fitted(model, x, y, epochs=6)
    assert told.findings == []


# Losses of one's own


def overlap(y, p):
    both = ops.sum(y * p, axis=(1, 2, 3))
    each = ops.sum(y, axis=(1, 2, 3)) + ops.sum(p, axis=(1, 2, 3))
    return 1 - ops.mean((2 * both + 1) / (each + 1))


def spots(count=128):
    """Pictures of noise with a square that is brighter, and its mask."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 12, 12, 1)).astype("float32")
    y = np.zeros_like(x)
    for row, (top, left) in zip(y, rng.integers(0, 7, (count, 2)), strict=True):
        row[top : top + 5, left : left + 5] = 1
    return x + y, y


def masked(activation, loss=overlap):
    model = Own(
        loss,
        layers.Conv2D(8, 5, padding="same", activation="relu"),
        layers.Conv2D(8, 5, padding="same", activation="relu"),
        layers.Conv2D(1, 1, activation=activation),
    )
    model.compile(keras.optimizers.Adam(5e-3))
    return model


def test_an_overlap_of_unbounded_outputs_is_told_and_mended():
    x, y = spots()
    model = masked(None)
    told = fitted(model, x, y, epochs=25)
    assert kinds(told)[0] == ("output_mismatch", "unbounded")
    keras.utils.set_random_seed(1)
    scope = {"model": masked(None)}
    exec(told.ranked[0].remedies[0].code, scope)
    history = scope["model"].fit(x, y, epochs=25, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def from_scores(y, p):
    return ops.mean(ops.softplus(p) - y * p)


@pytest.mark.parametrize(
    ("activation", "loss"), [("sigmoid", overlap), (None, from_scores)]
)
def test_bounded_outputs_and_logits_are_fine(activation, loss):
    x, y = spots()
    told = fitted(masked(activation, loss), x, y, epochs=8)
    assert ("output_mismatch", "unbounded") not in kinds(told)


def test_a_squared_error_by_hand_copes():
    x, y = columns()
    y = (y > 0).astype("float32")
    stack = [layers.Dense(32, "relu"), layers.Dense(1)]
    model = Own(lambda y, p: ops.mean((y - p) ** 2), *stack)
    model.compile(keras.optimizers.Adam(3e-3))
    told = fitted(model, 3 * x, y, epochs=10)
    assert ("output_mismatch", "unbounded") not in kinds(told)


def contrast(temperature):
    def loss(_, p):
        first, second = p[:, :8], p[:, 8:]
        first, second = (
            v / ops.sqrt(ops.sum(v**2, -1, keepdims=True) + 1e-8)
            for v in (first, second)
        )
        scores = ops.matmul(first, ops.transpose(second)) / temperature
        right = ops.diagonal(scores)
        return ops.mean(ops.logsumexp(scores, axis=-1) - right)

    return loss


@pytest.mark.parametrize("temperature", [500.0, 0.1])
def test_a_guess_among_the_rows_of_a_batch_is_told(temperature):
    rng = np.random.default_rng(0)
    what = rng.normal(size=(320, 10)).astype("float32")
    model = Own(
        contrast(temperature), layers.Dense(32, "relu"), layers.Dense(16)
    )
    model.compile(keras.optimizers.Adam(3e-3))
    told = fitted(model, what, what, epochs=12)
    found = ("output_mismatch", "guesses_in_batch") in kinds(told)
    assert found == (temperature > 1)
    if found:
        assert "logarithm of the 32 rows" in told.ranked[0].message
    else:
        assert told.findings == []


@pytest.mark.parametrize("wide", [50.0, 0.05])
def test_a_table_of_large_vectors_is_told_and_drawn_anew(wide):
    rng = np.random.default_rng(0)
    words = rng.integers(1, 40, (256, 10))
    y = (words % 4 == 1).sum(1).clip(0, 3)
    model = keras.Sequential(
        [
            keras.Input((10,), dtype="int32"),
            layers.Embedding(
                40,
                8,
                embeddings_initializer=keras.initializers.RandomNormal(
                    stddev=wide
                ),
            ),
            layers.LSTM(12),
            layers.Dense(4, "softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy"
    )
    told = fitted(model, words, y, epochs=25)
    if wide < 1:
        assert told.findings == []
        return
    assert kinds(told)[0] == ("poor_initialization", "wide_table")
    scope = {"model": model, "x": words, "y": y}
    exec(told.ranked[0].remedies[0].code, scope)
    table = scope["model"].layers[0].get_weights()[0]
    assert np.abs(table).max() <= 0.05


class Half(keras.Model):
    """Applies the gradients of its last layer alone."""

    def train_step(self, data):
        x, y = data
        self.zero_grad()
        loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        loss.backward()
        some = self.layers[-1].trainable_weights
        self.optimizer.apply([v.value.grad for v in some], some)
        return {"loss": loss.detach()}


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="The train step is torch's."
)
def test_layers_that_a_step_of_ones_own_leaves_out_are_told():
    rng = np.random.default_rng(0)
    words = rng.integers(1, 40, (256, 10))
    y = rng.integers(0, 4, 256)
    given = keras.Input((10,), dtype="int32")
    pooled = layers.GlobalAveragePooling1D()(layers.Embedding(40, 1)(given))
    model = Half(given, layers.Dense(4, "softmax")(pooled))
    model.compile(
        keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy"
    )
    told = fitted(model, words, y, epochs=14)
    assert kinds(told)[0] == ("frozen_layer", "cut_off")
    assert "does not give their gradients to `apply`" in told.ranked[0].message
    scope = {"model": model}
    exec(told.ranked[0].remedies[0].code, scope)
    before = np.array(model.layers[1].get_weights()[0])
    model.fit(words, y, epochs=1, verbose=0)
    assert np.abs(model.layers[1].get_weights()[0] - before).max() > 1e-4


# Weights of samples


def tagged(weigh, padded=False):
    """Words, of which the later ones of the list are names."""
    rng = np.random.default_rng(0)
    words = rng.integers(1, 60, (256, 12))
    y = (words > 40).astype("int32")
    if padded:
        words[:, 8:] = 0
        y = np.where(words > 0, 1 + y, 0)
    model = keras.Sequential(
        [
            keras.Input((12,), dtype="int32"),
            layers.Embedding(60, 8),
            layers.Conv1D(16, 3, padding="same", activation="relu"),
            layers.Dense(3 if padded else 2, "softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy"
    )
    weights = weigh(y).astype("float32")
    return fitted(model, words, y, epochs=10, sample_weight=weights)


def test_names_that_weigh_nothing_are_told():
    told = tagged(lambda y: 1.0 - y)
    assert kinds(told)[0] == ("output_mismatch", "class_weighs_nothing")
    assert told.ranked[0].evidence["weight"] == 0


def test_padding_that_weighs_nothing_is_fine():
    told = tagged(lambda y: y > 0, padded=True)
    assert told.findings == []


@pytest.mark.parametrize("weight", [1.0, 1000.0])
def test_a_class_that_outweighs_the_other_is_told(weight):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 6)).astype("float32")
    y = (x[:, 0] > 0).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(16, "relu"),
            layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    weights = {0: 1.0, 1: weight}
    told = fitted(model, x, y, epochs=12, class_weight=weights)
    light = ("output_mismatch", "class_weighs_nothing")
    assert kinds(told) == ([light] if weight > 1 else [])


def test_names_that_are_rare_are_told_and_weighed():
    rng = np.random.default_rng(0)
    words = rng.integers(1, 60, (512, 12))
    names = rng.random((512, 12)) < 0.02
    # Half of the names stand among other words, too.
    words[names] = rng.integers(50, 60, names.sum())
    y = names.astype("int32")

    def net():
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((12,), dtype="int32"),
                layers.Embedding(60, 4),
                layers.Dense(2, "softmax"),
            ]
        )
        model.compile(
            keras.optimizers.Adam(1e-3),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model

    told = fitted(net(), words, y, epochs=14)
    assert kinds(told)[0] == ("output_mismatch", "rare_class")
    scope = {"model": net(), "x": words, "y": y}
    exec(told.ranked[0].remedies[0].code, scope)
    given = scope["model"].predict(words, verbose=0).argmax(-1)
    assert given[names].mean() > 0.5


# Layers that the model does not know


class Box:
    """Calls layers one after the other. Keras does not look into it."""

    def __init__(self, *parts):
        self.parts = parts

    def __call__(self, x):
        for part in self.parts:
            x = part(x)
        return x


class Boxed(keras.Model):
    def __init__(self, known):
        super().__init__()
        parts = [layers.Dense(8, "tanh") for _ in range(3)]
        self.body = keras.Sequential(parts) if known else Box(*parts)
        self.last = layers.Dense(1)

    def call(self, x):
        return self.last(self.body(x))


def switch(count=384):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (count, 4)).astype("float32")
    return x, np.sign(x[:, :1] * x[:, 1:2]).astype("float32")


def boxed(known):
    keras.utils.set_random_seed(1)
    model = Boxed(known)
    # JAX traces no weights that nobody knows, but as constants.
    model(switch()[0][:1])
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    return model


def test_layers_in_a_plain_object_are_told_and_made_known():
    x, y = switch()
    model = boxed(known=False)
    assert any("does not know" in note for note in kgg.check(model, x, y).notes)
    told = fitted(boxed(known=False), x, y, epochs=25)
    assert kinds(told)[0] == ("frozen_layer", "untracked")
    assert len(told.ranked[0].evidence["hidden"]) == 3
    scope = {"model": boxed(known=False), "x": x, "y": y}
    exec(told.ranked[0].remedies[0].code, scope)
    history = scope["model"].fit(x, y, epochs=25, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_layers_in_a_function_are_told():
    x, y = switch()
    hidden = layers.Dense(8, "tanh", name="hidden")
    hidden.build((None, 4))
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Lambda(lambda x: hidden(x), output_shape=(8,)),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    told = fitted(model, x, y, epochs=25)
    assert kinds(told)[0] == ("frozen_layer", "untracked")
    assert told.ranked[0].evidence["hidden"] == ["hidden"]


def test_layers_that_are_known_or_frozen_are_not_told():
    x, y = switch()
    told = fitted(boxed(known=True), x, y, epochs=25)
    assert told.findings == []
    model = boxed(known=False)
    for part in model.body.parts:
        part.trainable = False
    told = fitted(model, x, y, epochs=12)
    assert ("frozen_layer", "untracked") not in kinds(told)
