"""An eleventh set that no rule was made with, each sick one with a twin.

Questions of users as forums have them, on other data and in other nets than
in the sets before: outputs, losses, steps of one's own, readers, what is cut
off, starts, penalties, rates. What is right was written down before any of
them was watched. `SICK` and `HEALTHY` as in `kept_sick`. A program that takes
`right` builds its corrected twin, too: the sick one is scored where it gains
less than half of what its twin gains.
"""

import keras
import numpy as np
from keras import layers
from keras import ops

from detection import eleventh_data as data
from detection.field_data import dense
from detection.field_data import ready
from detection.field_sick import own
from detection.kept_data import Attend
from detection.kept_fifth import chain
from detection.kept_sick import LABELLED
from detection.kept_sick import ONLY

SICK: dict = {}
HEALTHY: dict = {}
_opt, _rates = keras.optimizers, keras.optimizers.schedules
_SPARSE, _BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"
_Constant, _Normal = (
    keras.initializers.Constant,
    keras.initializers.RandomNormal,
)


def case(point, *rules, labelled=False, only=None):
    def keep(function):
        name = function.__name__
        if rules:
            SICK[name] = (point, rules, function)
        else:
            HEALTHY[name] = (point, function)
        if labelled:
            LABELLED.add(name)
        if only:
            ONLY[name] = only
        return function

    return keep


def spell(optimizer, *stack, factor=1.0, **fit):
    x, y, _ = data.letters()
    model = chain((12, 12, 1), *stack, layers.Dense(4, "softmax"))
    return ready(model, optimizer, _SPARSE, factor * x, y, ["accuracy"], **fit)


def hum(optimizer, *stack, **fit):
    x, y = data.bearings()
    model = chain((48, 1), *stack, layers.Dense(4, "softmax"))
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def ahead(optimizer, *stack, loss="mse", **fit):
    x, y = data.demand()
    model = chain((24, 2), *stack, layers.Dense(1))
    return ready(model, optimizer, loss, x, y, **fit)


def teams(optimizer, *stack, **fit):
    x, y = data.tickets()
    model = chain((16,), *stack, layers.Dense(4, "softmax"), dtype="int32")
    return ready(model, optimizer, _SPARSE, x, y, ["accuracy"], **fit)


def value(optimizer, *stack, loss="mse", **fit):
    x, y = data.cars()
    model = chain((5,), *stack, layers.Dense(1))
    return ready(model, optimizer, loss, data.scaled(x), y, **fit)


def paid(optimizer, *stack, **fit):
    x, y = data.loans(apart=3.0)
    model = chain((8,), *stack, layers.Dense(1, "sigmoid"))
    return ready(model, optimizer, _BINARY, x, y, ["accuracy"], **fit)


def seen(*filters, **how):
    """Return convolutions, each with a pooling behind it, and a flattening."""
    how = {"padding": "same", "activation": "relu", **how}
    parts = [
        part
        for f in filters
        for part in (layers.Conv2D(f, 3, **how), layers.MaxPooling2D())
    ]
    return [*parts, layers.Flatten()]


# Outputs and losses that do not fit


@case("out", "output_mismatch")
def keypoints_in_pixels_by_a_sigmoid(right=False):
    x, _, at = data.letters()
    model = chain((12, 12, 1), *seen(16, 32), layers.Dense(2, "sigmoid"))
    at = at / 12 if right else at
    return ready(model, _opt.Adam(3e-3), "mse", x, at, epochs=15)


@case("out", "output_mismatch", "unscaled_data")
def bytes_out_of_a_last_tanh(right=False):
    x, _, _ = data.letters()
    model = chain(
        (12, 12, 1),
        layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.Conv2DTranspose(16, 3, 2, "same", activation="relu"),
        layers.Conv2D(1, 3, padding="same", activation="tanh"),
    )
    y = 2 * x - 1 if right else 255 * x
    return ready(model, _opt.Adam(5e-3), "mse", x, y, epochs=15)


def towers(last, width=8, users=60, items=40):
    """Return users and items, each read in its own table."""
    inputs = keras.Input((2,), dtype="int32")
    pair = [
        layers.Embedding(many, width)(inputs[:, at])
        for at, many in enumerate((users, items))
    ]
    return inputs, last(pair)


@case("out", "output_mismatch")
def stars_by_the_cosine_of_two_towers(right=False):
    x, y = data.stars()

    def last(pair):
        score = layers.Dot(axes=1, normalize=True)(pair)
        return layers.Dense(1)(score) if right else score

    model = keras.Model(*towers(last))
    return ready(model, _opt.Adam(1e-2), "mse", x, y, epochs=8)


@case("out", "output_mismatch")
def letters_one_hot_against_one_unit(right=False):
    x, y, _ = data.letters()
    model = chain(
        (12, 12, 1),
        *seen(16, 24),
        layers.Dense(32, "relu"),
        layers.Dense(4 if right else 1, "sigmoid"),
    )
    y = np.eye(4, dtype="float32")[y]
    return ready(model, _opt.Adam(2e-3), "mse", x, y, epochs=15)


@case("A9", "output_mismatch")
def sales_mostly_none_under_mae(right=False):
    x, y = data.sales()
    model = dense((6,), (32, "relu"), (32, "relu"), (1, "relu"))
    model.layers[-1].bias_initializer = _Constant(0.5)
    if right:
        model = dense((6,), (32, "relu"), (32, "relu"), (1, "softplus"))
    loss = "mse" if right else "mae"
    return ready(model, _opt.Adam(3e-3), loss, x, y, epochs=20)


class Clip(layers.Layer):
    """Keeps answers between two limits."""

    def __init__(self, low, high):
        super().__init__()
        self.low, self.high = low, high

    def call(self, x):
        return ops.clip(x, self.low, self.high)


@case("A4", "frozen_layer", "output_mismatch")
def answers_clipped_into_their_range(right=False):
    x, y = data.demand()
    y = 15 + 2 * y
    start = 15.0 if right else 0.0
    model = chain(
        (24, 2),
        layers.Conv1D(16, 5, activation="relu"),
        layers.GlobalAveragePooling1D(),
        layers.Dense(16, "relu"),
        layers.Dense(1, bias_initializer=_Constant(start)),
        Clip(8.0, 22.0),
    )
    return ready(model, _opt.Adam(5e-3), "mse", x, y, epochs=20)


class Contrast(keras.Model):
    """Two noisy views of a row shall be told from those of other rows."""

    def __init__(self, body, heat):
        super().__init__()
        self.body, self.heat = body, heat

    def call(self, x):
        return self.body(x)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        def unit(z):
            return z / (ops.norm(z, axis=-1, keepdims=True) + 1e-6)

        score = ops.matmul(unit(y_pred), ops.transpose(unit(self.body(y))))
        log = ops.log_softmax(score / self.heat, axis=-1)
        return -ops.mean(ops.diagonal(log))


def contrast(heat):
    x, _, _ = data.letters()
    x = x.reshape(len(x), -1)
    rng = np.random.default_rng(4)
    noise = 0.05 * rng.normal(size=(2, *x.shape)).astype("float32")
    body = dense((144,), (64, "relu"), (16, None))
    model = Contrast(body, heat)
    model.compile(_opt.Adam(2e-3))
    model(x[:1])
    return model, x + noise[0], x + noise[1], {"epochs": 15}


@case(
    "out",
    "output_mismatch",
    "vanishing_gradient",
    "update_ratio",
    labelled=True,
)
def temperature_of_a_thousand():
    return contrast(1000.0)


@case("out", "output_mismatch")
def three_linear_layers_for_a_switch(right=False):
    x, y = data.switch()
    how = "tanh" if right else None
    model = dense((6,), (32, how), (32, how), (32, how), (1, None))
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=25)


@case("axis", "output_mismatch")
def averages_hide_the_frequency(right=False):
    stack = [layers.Conv1D(24, 9, activation="relu")] if right else []
    stack += [layers.GlobalAveragePooling1D(), layers.Dense(32, "relu")]
    return hum(_opt.Adam(5e-3), *stack, layers.Dense(32, "relu"), epochs=20)


def marked(weight_of, epochs=15, share=0.5):
    x, y = data.names(share=share)
    model = chain(
        (14,),
        layers.Embedding(70, 16),
        layers.Bidirectional(layers.LSTM(12, return_sequences=True)),
        layers.Dense(2, "softmax"),
        dtype="int32",
    )
    more = {"sample_weight": weight_of(y)} if weight_of else {}
    adam = _opt.Adam(1e-2)
    return ready(model, adam, _SPARSE, x, y, epochs=epochs, **more)


@case("A9", "output_mismatch", labelled=True)
def names_weigh_nothing():
    return marked(lambda y: (1.0 - y).astype("float32"))


@case("A3", "output_mismatch", "exploding_gradient")
def overlap_of_scores_without_sigmoid(right=False):
    x, y = data.spots()

    def loss(t, p):
        both = ops.sum(t * p, axis=(1, 2, 3))
        each = ops.sum(t, axis=(1, 2, 3)) + ops.sum(p, axis=(1, 2, 3))
        return 1 - ops.mean((2 * both + 1) / (each + 1))

    stack = [
        layers.Conv2D(12, 3, padding="same", activation="relu"),
        layers.Conv2D(12, 3, padding="same", activation="relu"),
        layers.Conv2D(1, 1, activation="sigmoid" if right else None),
    ]
    return own(loss, _opt.Adam(3e-3), x, y, *stack, epochs=12)


@case("A3", "output_mismatch", "exploding_gradient")
def pinball_of_the_wrong_sign(right=False):
    def loss(t, p):
        gap = t - p
        choose = ops.maximum if right else ops.minimum
        return ops.mean(choose(0.6 * gap, -0.4 * gap))

    stack = [layers.Dense(32, "gelu"), layers.Dense(32, "gelu")]
    return value(_opt.Adam(3e-3), *stack, loss=loss, epochs=20)


class Couple(layers.Layer):
    """Moves and stretches some numbers as others tell."""

    def __init__(self, turned):
        super().__init__()
        self.turned = turned
        self.net = dense((3,), (24, "tanh"), (6, None))

    def call(self, both):
        x, volume = both
        keep = [1.0, 0.0, 1.0] if self.turned else [0.0, 1.0, 0.0]
        keep = ops.convert_to_tensor(keep)
        log, move = ops.split(self.net(x * keep), 2, axis=-1)
        log = ops.tanh(log) * (1 - keep)
        x = x * ops.exp(log) + (1 - keep) * move
        return x, volume + ops.sum(log, axis=-1, keepdims=True)


class Flow(keras.Model):
    def __init__(self, sign):
        super().__init__()
        self.sign = sign
        self.parts = [Couple(bool(at % 2)) for at in range(4)]

    def call(self, x):
        both = (x, ops.zeros_like(x[:, :1]))
        for part in self.parts:
            both = part(both)
        return ops.concatenate(both, axis=-1)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        z, volume = y_pred[:, :3], y_pred[:, 3]
        return ops.mean(
            0.5 * ops.sum(ops.square(z), axis=-1) + self.sign * volume
        )


def flow(sign):
    x = data.moons_of_three()
    model = Flow(sign)
    model.compile(_opt.Adam(3e-3))
    model(x[:1])
    return model, x, x, {"epochs": 15}


@case("A3", "output_mismatch", labelled=True)
def flow_with_its_volume_turned_round():
    return flow(1.0)


@case("A4", "frozen_layer", "output_mismatch", "update_ratio")
def labels_against_themselves_beside_a_penalty(right=False):
    def loss(t, p):
        p = p if right else t - ops.mean(t)
        return ops.mean(ops.square(t - p))

    little = {"kernel_regularizer": keras.regularizers.L2(1e-4)}
    stack = [layers.Dense(32, "relu", **little) for _ in range(2)]
    return value(_opt.Adam(5e-3), *stack, loss=loss, epochs=15)


# Nothing gets through


class Forgetful(keras.Model):
    """Has hidden layers; whether `call` uses them is another question."""

    def __init__(self, right):
        super().__init__()
        self.right = right
        self.first = layers.Dense(32, "relu")
        self.second = layers.Dense(32, "relu")
        self.last = layers.Dense(1)

    def build(self, shape):
        self.first.build(shape)
        self.second.build((None, 32))
        self.last.build((None, 32) if self.right else shape)
        self.built = True

    def call(self, x):
        h = self.second(self.first(x))
        return self.last(h if self.right else x)


@case("A4", "frozen_layer")
def hidden_layers_are_not_handed_on(right=False):
    x, y = data.switch()
    model = Forgetful(right)
    model.build((None, 6))
    return ready(model, _opt.Adam(3e-3), "huber", x, y, epochs=25)


class Box:
    """Holds layers where no model looks for them."""

    def __init__(self, *parts):
        self.parts = parts

    def __call__(self, x):
        for part in self.parts:
            x = part(x)
        return x


class Boxed(keras.Model):
    def __init__(self, right):
        super().__init__()
        hidden = [layers.Dense(8, "tanh") for _ in range(3)]
        self.body = keras.Sequential(hidden) if right else Box(*hidden)
        self.last = layers.Dense(1)

    def call(self, x):
        return self.last(self.body(x))


@case("A4", "frozen_layer", "output_mismatch", only=["tensorflow", "torch"])
def layers_kept_in_a_plain_object(right=False):
    x, y = data.switch()
    model = Boxed(right)
    model(x[:1])
    return ready(model, _opt.Adam(1e-2), "mse", x, y, epochs=25)


class Gate(layers.Layer):
    """Two experts, and who of them answers."""

    def __init__(self, hard):
        super().__init__()
        self.hard = hard
        self.gate = layers.Dense(2, name="gate")
        self.experts = [layers.Dense(1) for _ in range(2)]

    def build(self, shape):
        for part in (self.gate, *self.experts):
            part.build(shape)

    def call(self, x):
        score = self.gate(x)
        hard = ops.one_hot(ops.argmax(score, axis=-1), 2)
        weight = hard if self.hard else ops.softmax(score)
        both = [expert(x) for expert in self.experts]
        return ops.sum(
            weight * ops.concatenate(both, -1), axis=-1, keepdims=True
        )


@case("A4", "frozen_layer")
def expert_is_picked_by_argmax(right=False):
    x, y = data.switch()
    model = chain((6,), Gate(not right))
    return ready(model, _opt.Adam(1e-2), "mse", x, y, epochs=30)


@case("A4", "output_mismatch", "frozen_layer")
def users_and_items_fall_into_one_bin(right=False):
    x, y = data.stars()
    inputs = keras.Input((2,), dtype="int32")
    at = inputs if right else inputs // 100
    pair = [
        layers.Embedding(64, 8)(at[:, 0]),
        layers.Embedding(64, 8)(at[:, 1]),
    ]
    h = layers.Concatenate()([*pair, layers.Multiply()(pair)])
    h = layers.Dense(32, "relu")(h)
    model = keras.Model(inputs, layers.Dense(1)(h))
    return ready(model, _opt.Adam(2e-2), "mse", x, y, epochs=12)


def two_tasks(weights, **fit):
    """Return a net that tells letters and where they are."""
    x, y, at = data.letters()
    inputs = keras.Input((12, 12, 1))
    h = inputs
    for part in seen(16, 32):
        h = part(h)
    outputs = {
        "what": layers.Dense(4, "softmax", name="what")(h),
        "where": layers.Dense(2, name="where")(
            layers.Dense(32, "relu", name="road")(h)
        ),
    }
    model = keras.Model(inputs, outputs)
    model.compile(
        _opt.Adam(3e-3), {"what": _SPARSE, "where": "mse"}, loss_weights=weights
    )
    return model, x, {"what": y, "where": at / 4 - 1.5}, {"epochs": 15, **fit}


@case("A4", "frozen_layer", "output_mismatch")
def place_weighs_nothing(right=False):
    return two_tasks({"what": 1.0, "where": 1.0 if right else 0.0})


def gan(give, forger, judge, epochs=12):
    from detection.gan import GAN
    from detection.gan import LATENT

    x = data.moons_of_three(1280)
    hidden = [(32, "relu"), (32, "relu"), (3, None)]
    made = dense((LATENT,), *hidden, *give)
    judged = dense((3,), (32, "leaky_relu"), (32, "leaky_relu"), (1, None))
    model = GAN(made, judged)
    model.compile(_opt.Adam(judge, 0.5), _opt.Adam(forger, 0.5))
    return model, x, None, {"epochs": epochs}


class Quanta(layers.Layer):
    """Gives numbers as whole tenths."""

    def call(self, x):
        return ops.round(10 * x) / 10


@case("A11", "frozen_layer", labelled=True, only=["torch"])
def forger_gives_whole_tenths():
    return gan([Quanta()], 1e-3, 1e-3)


# Steps of one's own


class Step(keras.Model):
    """A step as it is written by hand with torch, with what may go wrong."""

    def __init__(self, *stack, clear=True, sign=1.0, most=None, part=None):
        super().__init__()
        self.stack = list(stack)
        self.clear, self.sign, self.most = clear, sign, most
        self.part = part
        self.mean = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        return [self.mean]

    def call(self, x):
        for layer in self.stack:
            x = layer(x)
        return x

    def train_step(self, batch):
        import torch

        x, y = batch[0], batch[1]
        if self.clear:
            self.zero_grad()
        loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        loss.backward()
        those = self.part.trainable_weights if self.part else None
        those = those or self.trainable_weights
        slopes = [self.sign * v.value.grad for v in those]
        if self.most:
            slopes = [g.clamp(-self.most, self.most) for g in slopes]
        with torch.no_grad():
            self.optimizer.apply(slopes, those)
        self.mean.update_state(loss.detach())
        return {"loss": self.mean.result()}


def step(optimizer, x, y, loss, *stack, how=None, **fit):
    model = Step(*stack, **(how or {}))
    model.compile(optimizer, loss)
    model(x[:1])
    return model, x, y, fit


def step_of_value(optimizer, how, **fit):
    x, y = data.cars()
    stack = [layers.Dense(32, "silu"), layers.Dense(32, "silu")]
    stack.append(layers.Dense(1))
    return step(optimizer, data.scaled(x), y, "mse", *stack, how=how, **fit)


@case(
    "A6",
    "update_ratio",
    "exploding_gradient",
    "oscillating_loss",
    only=["torch"],
)
def gradients_are_never_cleared(right=False):
    return step_of_value(_opt.SGD(0.05), {"clear": right}, epochs=15)


@case(
    "A6",
    "exploding_gradient",
    "output_mismatch",
    "update_ratio",
    "nonfinite_gradient",
    only=["torch"],
)
def step_goes_uphill(right=False):
    how = {"sign": 1.0 if right else -1.0}
    return step_of_value(_opt.Adam(3e-3), how, epochs=15)


@case(
    "A8",
    "clipping",
    "update_ratio",
    "vanishing_gradient",
    only=["torch"],
)
def own_step_cuts_to_a_millionth(right=False):
    how = {"most": None if right else 1e-6}
    return step_of_value(_opt.SGD(0.05), how, epochs=15)


@case("A4", "frozen_layer", "update_ratio", only=["torch"])
def own_step_leaves_out_the_reader(right=False):
    x, y = data.tickets()
    head = layers.Dense(4, "softmax")
    stack = [
        layers.Embedding(60, 2),
        layers.GlobalAveragePooling1D(),
        head,
    ]
    how = {"part": None if right else head}
    adam = _opt.Adam(2e-2)
    return step(adam, x, y, _SPARSE, *stack, how=how, epochs=15)


# Data as they come


@case("A9", "unscaled_data")
def customer_number_among_the_columns(right=False):
    x, y = data.loans(apart=3.0)
    number = 4e6 + 1000.0 * np.arange(len(x))[:, None]
    number = np.random.default_rng(2).permutation(number)
    if right:
        number = data.scaled(number)
    x = np.concatenate([number, x], -1).astype("float32")
    model = dense((9,), (32, "relu"), (32, "relu"), (1, "sigmoid"))
    adam = _opt.Adam(2e-3)
    return ready(model, adam, _BINARY, x, y, ["accuracy"], epochs=20)


@case("A9", "unscaled_data")
def mean_and_variance_change_places(right=False):
    x, y = data.cars()
    mean, var = x.mean(0), x.var(0)
    if not right:
        mean, var = var, mean
    model = chain(
        (5,),
        layers.Normalization(mean=mean, variance=var),
        layers.Dense(32, "tanh"),
        layers.Dense(32, "tanh"),
        layers.Dense(1),
    )
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=20)


@case("A9", "unscaled_data", "saturated_activation", "dead_relu")
def relu_six_of_listed_cars(right=False):
    x, y = data.cars()
    x = data.scaled(x) if right else x
    model = dense((5,), (32, "relu6"), (32, "relu6"), (1, None))
    return ready(model, _opt.RMSprop(3e-3), "mse", x, y, epochs=20)


def known(factor, rate=5e-3, frozen=True):
    """Return letters by a body that has learnt them on other pictures."""
    x, y, _ = data.letters(900, noise=0.08)
    stack = [
        layers.Conv2D(16, 5, padding="same", activation="tanh"),
        layers.MaxPooling2D(),
        layers.Conv2D(24, 3, activation="tanh"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(24, "tanh"),
        layers.Dense(6, "tanh"),
    ]
    body = chain((12, 12, 1), *stack)
    first = keras.Sequential([body, layers.Dense(4, "softmax")])
    first.compile(_opt.Adam(3e-3), _SPARSE)
    first.fit(x[:500], y[:500], epochs=15, verbose=0)
    body.trainable = not frozen
    model = first
    if frozen:
        model = keras.Sequential([body, layers.Dense(4, "softmax")])
    x, y, adam = factor * x[500:], y[500:], _opt.Adam(rate)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=20)


@case("A9", "unscaled_data", "saturated_activation")
def known_body_reads_bytes(right=False):
    return known(1.0 if right else 255.0)


@case("A9", "unscaled_data", "output_mismatch", "update_ratio")
def loads_in_kilowatts_by_causal_convolutions(right=False):
    x, y = data.demand()
    y = y if right else 42_000 + 9_000 * y
    model = chain(
        (24, 2),
        layers.Conv1D(16, 3, padding="causal", activation="relu"),
        layers.Conv1D(
            16, 3, padding="causal", dilation_rate=2, activation="relu"
        ),
        layers.Conv1D(
            16, 3, padding="causal", dilation_rate=4, activation="relu"
        ),
        layers.Flatten(),
        layers.Dense(1),
    )
    return ready(model, _opt.Adam(1e-3), "mae", x, y, epochs=15)


@case("A9", "output_mismatch")
def few_names_among_many_words(right=False):
    x, y = data.names(share=0.02)
    model = chain(
        (14,),
        layers.Embedding(70, 8),
        layers.Conv1D(16, 3, padding="same", activation="relu"),
        layers.Dense(2, "softmax"),
        dtype="int32",
    )
    more = {}
    if right:
        more = {"sample_weight": np.where(y, 20.0, 1.0).astype("float32")}
    sgd = _opt.SGD(0.05, momentum=0.5)
    return ready(model, sgd, _SPARSE, x, y, ["accuracy"], epochs=15, **more)


@case("A9", "output_mismatch", labelled=True)
def held_out_words_by_another_list():
    model, x, y, fit = teams(
        _opt.Adam(5e-3),
        layers.Embedding(60, 16),
        layers.Conv1D(24, 3, activation="relu"),
        layers.GlobalMaxPooling1D(),
        epochs=15,
    )
    other = np.random.default_rng(3).permutation(np.arange(60))
    held = (other[x[560:]].astype("int32"), y[560:])
    return model, x[:560], y[:560], {**fit, "validation_data": held}


class Reader(keras.utils.PyDataset):
    """Reads batches; whether it looks at their number is another question."""

    def __init__(self, x, y, size, right):
        super().__init__()
        self.x, self.y, self.size, self.right = x, y, size, right

    def __len__(self):
        return len(self.x) // self.size

    def __getitem__(self, index):
        at = index * self.size if self.right else 0
        return self.x[at : at + self.size], self.y[at : at + self.size]


@case("A9", "output_mismatch", "unscaled_data", labelled=True)
def reader_hands_out_its_first_batch():
    x, y, _ = data.letters()
    model = chain((12, 12, 1), *seen(12, 24), layers.Dense(4, "softmax"))
    model.compile(_opt.Adam(3e-3), _SPARSE, metrics=["accuracy"])
    held = {"validation_data": (x[500:], y[500:])}
    return (
        model,
        Reader(x[:500], y[:500], 20, False),
        None,
        {
            "epochs": 12,
            **held,
        },
    )


# Too large, or no number


@case(
    "A6",
    "exploding_gradient",
    "poor_initialization",
    "unscaled_data",
    "saturated_activation",
    "update_ratio",
)
def each_layer_multiplies_by_ten(right=False):
    ten = 1.0 if right else 10.0
    stack = []
    for _ in range(4):
        stack += [layers.Dense(32, "relu"), layers.Rescaling(ten)]
    return value(_opt.SGD(0.01), *stack, epochs=15)


class Total(layers.Layer):
    """Sums over the steps, or takes their mean."""

    def __init__(self, mean):
        super().__init__()
        self.mean = mean

    def call(self, x):
        return ops.mean(x, axis=1) if self.mean else ops.sum(x, axis=1)


@case("A6", "exploding_gradient", "unscaled_data", "update_ratio")
def sums_over_the_whole_signal(right=False):
    return hum(
        _opt.SGD(0.05, momentum=0.9),
        layers.Conv1D(32, 9, padding="same", activation="relu"),
        layers.Conv1D(32, 5, padding="same", activation="relu"),
        Total(right),
        layers.Dense(32, "relu"),
        epochs=25,
    )


@case("A6", "exploding_gradient", "update_ratio", "output_mismatch")
def weights_of_days_up_to_a_million(right=False):
    x, y = data.demand()
    weight = np.exp(np.linspace(0, 14, len(x))).astype("float32")
    if right:
        weight = np.exp(np.linspace(0, 1, len(x))).astype("float32")
    model = chain((24, 2), layers.GRU(16), layers.Dense(1))
    sgd = _opt.SGD(0.05)
    return ready(model, sgd, "mse", x, y, epochs=15, sample_weight=weight)


class Stretch(layers.Layer):
    """Brings each row between 0 and 1 by its own least and greatest."""

    def __init__(self, small):
        super().__init__()
        self.small = small

    def call(self, x):
        least = ops.min(x, axis=1, keepdims=True)
        most = ops.max(x, axis=1, keepdims=True)
        return (x - least) / (most - least + self.small)


@case("A7", "nonfinite_gradient", "unscaled_data")
def rows_stretched_by_their_own_range(right=False):
    x, y = data.bearings()
    x = x.copy()
    x[37::200] = 0.5
    model = chain(
        (48, 1),
        Stretch(1e-3 if right else 0.0),
        layers.Conv1D(16, 7, activation="relu"),
        layers.Conv1D(24, 5, activation="relu"),
        layers.GlobalAveragePooling1D(),
        layers.Dense(4, "softmax"),
    )
    adam = _opt.Adam(5e-3)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=20)


@case("A7", "nonfinite_gradient", "unscaled_data")
def distance_by_year_is_infinite(right=False):
    x, y = data.cars()
    age = np.floor(x[:, 0])
    with np.errstate(divide="ignore"):
        ratio = x[:, 1] / (age + 1 if right else age)
    x = data.scaled(x)
    ratio = ratio / 1e4 - 1
    x = np.concatenate([x, ratio[:, None]], -1).astype("float32")
    model = dense((6,), (32, "relu"), (32, "relu"), (1, None))
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=15)


class Polar(layers.Layer):
    """Gives pairs of numbers as a strength and a direction."""

    def __init__(self, small):
        super().__init__()
        self.small = small

    def call(self, x):
        a, b = ops.split(x, 2, axis=-1)
        a = a + self.small
        strength = ops.sqrt(ops.square(a) + ops.square(b))
        return ops.concatenate([strength, ops.arctan2(b, a)], axis=-1)


@case("A7", "nonfinite_gradient")
def direction_of_no_wind(right=False):
    x, y = data.cars()
    x = data.scaled(x)
    x[::60] = 0
    model = chain(
        (5,),
        layers.Dense(32, use_bias=False),
        Polar(1e-2 if right else 0.0),
        layers.Dense(32, "relu"),
        layers.Dense(1),
    )
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=20)


class Rough(layers.Layer):
    """Adds to what comes its deviation over the steps."""

    def __init__(self, right):
        super().__init__()
        self.right = right

    def call(self, x):
        mean = ops.mean(x, axis=1, keepdims=True)
        if self.right:
            x = x - mean
            var = ops.mean(ops.square(x), axis=1) + 1e-6
        else:
            var = ops.mean(ops.square(x), axis=1) - ops.square(mean[:, 0])
        return ops.concatenate([x[:, -1], ops.sqrt(var)], axis=-1)


@case("A7", "nonfinite_gradient", "unscaled_data")
def variance_below_zero_by_rounding(right=False):
    x, y = data.demand()
    x = np.concatenate([x, np.full_like(x[..., :1], 1013.25)], -1)
    x[..., 2] += 1e-3 * x[..., 1]
    model = chain(
        (24, 3),
        Rough(right),
        layers.Dense(32, "relu"),
        layers.Dense(1),
    )
    return ready(model, _opt.Adam(5e-3), "mse", x, y, epochs=15)


class Whiten(layers.Layer):
    """Standardises a batch by an unbiased variance of its own."""

    def __init__(self, right):
        super().__init__()
        self.right = right

    def call(self, x):
        x = x - ops.mean(x, axis=0, keepdims=True)
        rows = ops.cast(ops.shape(x)[0], "float32")
        least = ops.maximum(rows - 1, 1.0) if self.right else rows - 1
        var = ops.sum(ops.square(x), axis=0, keepdims=True) / least
        return x / ops.sqrt(var + 1e-3)


@case("A7", "nonfinite_gradient")
def last_batch_holds_one_row(right=False):
    x, y = data.cars(801)
    model = chain(
        (5,),
        layers.Dense(24),
        Whiten(right),
        layers.Activation("relu"),
        layers.Dense(24, "relu"),
        layers.Dense(1),
    )
    return ready(model, _opt.Adam(3e-3), "mse", data.scaled(x), y, epochs=15)


# Penalties, schedules, clipping, rates


@case("A8", "update_ratio")
def orthogonal_penalty_of_ten_thousand(right=False):
    factor = 1e-3 if right else 1e4
    how = {
        "kernel_regularizer": keras.regularizers.OrthogonalRegularizer(factor)
    }
    return paid(
        _opt.SGD(0.01 if right else 1e-5),
        layers.Dense(24, "relu", **how),
        layers.Dense(24, "relu", **how),
        epochs=25,
    )


@case("A8", "update_ratio")
def ftrl_of_heavy_l1(right=False):
    x, y = data.tickets()
    counts = np.stack([np.bincount(row, minlength=60) for row in x])
    much = 1e-3 if right else 2000.0
    ftrl = _opt.Ftrl(0.1, l1_regularization_strength=much)
    model = dense((60,), (4, "softmax"))
    x = counts.astype("float32")
    return ready(model, ftrl, _SPARSE, x, y, ["accuracy"], epochs=15)


class Noam(_rates.LearningRateSchedule):
    """The schedule of the paper, by whole numbers or not."""

    def __init__(self, right):
        self.right = right

    def __call__(self, step):
        step = ops.cast(step, "float32") + 1
        warm = step / 60 if self.right else ops.floor(step / 4000)
        return 5e-3 * ops.minimum(warm, ops.sqrt(60 / step))

    def get_config(self):
        return {"right": self.right}


@case("A8", "update_ratio")
def warm_up_in_whole_numbers(right=False):
    return ahead(
        _opt.Adam(Noam(right)),
        layers.Dense(16),
        Attend(16),
        layers.Flatten(),
        layers.Dense(16, "relu"),
        epochs=12,
    )


@case("A8", "update_ratio")
def brain_floats_swallow_the_steps(right=False):
    policy = "float32" if right else "bfloat16"
    x, y = data.loans(apart=3.0)
    model = keras.Sequential(
        [
            keras.Input((8,), dtype=policy),
            layers.Dense(32, "relu", dtype=policy),
            layers.Dense(32, "relu", dtype=policy),
            layers.Dense(1, "sigmoid", dtype=policy),
        ]
    )
    adam = _opt.Adam(1.5e-4)
    return ready(
        model, adam, _BINARY, x, y, ["accuracy"], epochs=40, batch_size=16
    )


@case(
    "rate",
    "update_ratio",
    "exploding_gradient",
    "saturated_activation",
    "dead_relu",
    "nonfinite_gradient",
)
def nesterov_at_five(right=False):
    sgd = _opt.SGD(0.05 if right else 5.0, momentum=0.9, nesterov=True)
    return hum(
        sgd,
        layers.Conv1D(16, 9, activation="elu"),
        layers.MaxPooling1D(2),
        layers.Conv1D(16, 5, activation="elu"),
        layers.GlobalMaxPooling1D(),
        epochs=15,
    )


@case(
    "rate",
    "update_ratio",
    "exploding_gradient",
    "saturated_activation",
    "dead_relu",
)
def words_at_a_rate_of_three(right=False):
    return teams(
        _opt.Adam(1e-2 if right else 3.0),
        layers.Embedding(60, 16, mask_zero=True),
        layers.Bidirectional(layers.GRU(12)),
        epochs=12,
    )


@case("rate", "update_ratio")
def masks_at_a_ten_millionth(right=False):
    x, y = data.spots()
    inputs = keras.Input((16, 16, 1))
    how = {"padding": "same", "activation": "relu"}
    first = layers.Conv2D(8, 3, **how)(inputs)
    h = layers.Conv2D(16, 3, **how)(layers.MaxPooling2D()(first))
    h = layers.Concatenate()([layers.UpSampling2D()(h), first])
    h = layers.Conv2D(8, 3, **how)(h)
    h = layers.Conv2D(1, 1, activation="sigmoid")(h)
    model = keras.Model(inputs, h)
    rate = _opt.AdamW(5e-3 if right else 1e-7)
    return ready(model, rate, _BINARY, x, y, epochs=12)


# Starts, dead units, saturation, normalization


@case("A10", "poor_initialization", "saturated_activation")
def words_drawn_fifty_wide(right=False):
    wide = _Normal(stddev=0.05 if right else 50.0)
    return teams(
        _opt.Adam(5e-3),
        layers.Embedding(60, 16, embeddings_initializer=wide),
        layers.LSTM(16),
        epochs=15,
    )


@case(
    "A10",
    "saturated_activation",
    "poor_initialization",
    "vanishing_gradient",
)
def gates_that_are_shut(right=False):
    how = {} if right else {"unit_forget_bias": False}
    shut = "zeros" if right else _Constant(-9.0)
    return ahead(
        _opt.Adam(3e-3),
        layers.LSTM(16, bias_initializer=shut, **how),
        layers.Dense(16, "relu"),
        epochs=15,
    )


@case("A10", "poor_initialization", "vanishing_gradient", "dead_relu")
def thirty_plain_relu_layers(right=False):
    how = {"kernel_initializer": _Normal(stddev=0.05)}
    stack = [(24, "relu")] * (2 if right else 30)
    x, y = data.cars()
    how = {} if right else how
    model = dense((5,), *stack, (1, None), **how)
    return ready(model, _opt.Adam(1e-3), "mse", data.scaled(x), y, epochs=20)


@case("A10", "poor_initialization", "vanishing_gradient")
def twelve_causal_convolutions_of_small_kernels(right=False):
    small = "glorot_uniform" if right else _Normal(stddev=0.01)
    how = {"padding": "causal", "kernel_initializer": small}
    stack = [layers.Conv1D(12, 3, activation="tanh", **how) for _ in range(12)]
    return hum(
        _opt.SGD(0.05, momentum=0.9),
        *stack,
        layers.GlobalAveragePooling1D(),
        epochs=15,
    )


@case("A10", "saturated_activation", "poor_initialization", "update_ratio")
def kernels_of_norm_forty_under_sigmoid(right=False):
    held = (0.0, 5.0) if right else (40.0, 60.0)
    how = {"kernel_constraint": keras.constraints.MinMaxNorm(*held)}
    stack = [layers.Dense(12, "sigmoid", **how) for _ in range(4)]
    return value(_opt.Adam(1e-2), *stack, epochs=25)


@case("dead", "output_mismatch", "frozen_layer")
def instance_norm_of_one_pixel(right=False):
    norm = layers.GroupNormalization(-1) if not right else layers.ReLU()
    return spell(
        _opt.Adam(3e-3),
        layers.Conv2D(16, 3, strides=2, activation="relu"),
        layers.Conv2D(32, 3, strides=2, activation="relu"),
        layers.Conv2D(32, 2),
        norm,
        layers.Flatten(),
        epochs=15,
    )


@case("A10", "poor_initialization")
def memory_of_one_unit_both_ways(right=False):
    width = 12 if right else 1
    return hum(
        _opt.Adam(1e-2),
        layers.Bidirectional(layers.SimpleRNN(width)),
        layers.Dense(24, "relu"),
        epochs=12,
    )


# Transformers


@case("A11", "update_ratio")
def transformer_by_slow_sgd(right=False):
    return teams(
        _opt.Adam(3e-3) if right else _opt.SGD(1e-4),
        layers.Embedding(60, 16),
        Attend(16),
        Attend(16),
        layers.GlobalAveragePooling1D(),
        epochs=12,
    )


# Healthy, of difficult look


@case("dead")
def six_rectified_units_for_a_loan():
    x, y = data.loans(apart=3.0)
    model = dense((8,), (6, "relu"), (4, "relu"), (1, "sigmoid"))
    return ready(model, _opt.Adam(1e-2), _BINARY, x, y, epochs=25)


@case("rate")
def letters_one_by_one():
    x, y, _ = data.letters(400)
    model = chain((12, 12, 1), *seen(12, 16), layers.Dense(4, "softmax"))
    sgd = _opt.SGD(2e-2)
    return ready(model, sgd, _SPARSE, x, y, epochs=6, batch_size=1)


@case("A3")
def loans_long_learnt():
    x, y = data.loans(400, apart=7.0)
    model = dense((8,), (32, "relu"), (32, "relu"), (1, "sigmoid"))
    return ready(model, _opt.Adam(1e-2), _BINARY, x, y, epochs=60)


@case("A5")
def prices_in_much_noise():
    x, y = data.cars(1200, noise=1.6)
    model = dense((5,), (16, "relu"), (16, "relu"), (1, None))
    return ready(model, _opt.Adam(2e-3), "mse", data.scaled(x), y, epochs=15)


@case("A9")
def one_loan_in_twenty():
    x, y = data.loans(1500, share=0.05, apart=4.0)
    model = dense((8,), (24, "relu"), (24, "relu"), (1, "sigmoid"))
    return ready(model, _opt.Adam(5e-3), _BINARY, x, y, epochs=15)


@case("A8")
def long_warm_up_of_attention():
    rate = _rates.CosineDecay(
        0.0, 150, warmup_target=5e-3, warmup_steps=110, alpha=0.05
    )
    return teams(
        _opt.AdamW(rate),
        layers.Embedding(60, 16),
        Attend(16),
        layers.GlobalAveragePooling1D(),
        epochs=12,
    )


@case("deep")
def sixteen_tanh_layers_of_a_car():
    x, y = data.cars()
    model = dense((5,), *[(24, "tanh")] * 16, (1, None))
    return ready(model, _opt.Adam(1e-3), "mse", data.scaled(x), y, epochs=20)


@case("A4")
def known_body_and_a_new_head():
    return known(1.0)


@case("rate")
def known_body_tuned_at_a_small_rate():
    return known(0.6, 3e-4, frozen=False)


@case("A9")
def letters_through_a_code_of_ten():
    x, _, _ = data.letters()
    model = chain(
        (12, 12, 1),
        layers.Conv2D(12, 3, strides=2, padding="same", activation="relu"),
        layers.Flatten(),
        layers.Dense(24),
        layers.Dense(6 * 6 * 12, "relu"),
        layers.Reshape((6, 6, 12)),
        layers.Conv2DTranspose(12, 3, 2, "same", activation="relu"),
        layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
    )
    return ready(model, _opt.Adam(5e-3), _BINARY, x, x, epochs=20)


@case("A11", only=["tensorflow", "torch"])
def forger_and_judge_on_a_roll():
    return gan([], 1e-3, 1e-3)


@case("A9")
def discs_through_a_small_u_net():
    return masks_at_a_ten_millionth(right=True)


@case("A9")
def a_quarter_of_the_tickets_is_misfiled():
    x, y = data.tickets()
    rng = np.random.default_rng(5)
    y = np.where(rng.random(len(y)) < 0.25, rng.integers(0, 4, len(y)), y)
    model = chain(
        (16,),
        layers.Embedding(60, 8, mask_zero=True),
        layers.GlobalAveragePooling1D(),
        layers.Dense(4, "softmax"),
        dtype="int32",
    )
    adam = _opt.Adam(1e-2)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=12)


@case("A9")
def names_and_what_follows_them():
    return marked(None)


@case("deep")
def residual_causal_convolutions():
    x, y = data.demand()
    inputs = keras.Input((24, 2))
    h = layers.Dense(16)(inputs)
    for rate in (1, 2, 4, 8):
        how = {"padding": "causal", "dilation_rate": rate}
        more = layers.Conv1D(16, 2, activation="relu", **how)(h)
        more = layers.SpatialDropout1D(0.1)(more)
        h = layers.Add()([h, layers.Conv1D(16, 2, **how)(more)])
    h = layers.Lambda(lambda t: t[:, -1], output_shape=(16,))(h)
    model = keras.Model(inputs, layers.Dense(1)(h))
    return ready(model, _opt.Adam(3e-3), "mse", x, y, epochs=12)


@case("A3")
def same_letter_or_not():
    x, y, _ = data.letters(700)
    rng = np.random.default_rng(6)
    other = rng.permutation(len(x))
    match = np.array(
        [rng.choice(np.flatnonzero(y == kind)) for kind in y], "int64"
    )
    other = np.where(rng.random(len(x)) < 0.5, match, other)
    same = (y == y[other]).astype("float32")[:, None]
    both = np.concatenate([x, x[other]], -1)
    inputs = keras.Input((12, 12, 2))
    tower = chain((12, 12, 1), *seen(16, 24), layers.Dense(16))
    gap = ops.square(tower(inputs[..., :1]) - tower(inputs[..., 1:]))
    near = layers.Lambda(
        lambda g: ops.exp(-ops.sum(g, axis=-1, keepdims=True)),
        output_shape=(1,),
    )(gap)
    model = keras.Model(inputs, near)
    return ready(model, _opt.Adam(3e-3), _BINARY, both, same, epochs=20)


@case("out")
def stars_by_two_towers():
    return stars_by_the_cosine_of_two_towers(right=True)


@case("A9")
def letters_and_their_places():
    return two_tasks({"what": 1.0, "where": 1.0})


@case("A8")
def letters_by_depthwise_brain_floats():
    x, y, _ = data.letters()
    how = {"dtype": "mixed_bfloat16"}
    model = chain(
        (12, 12, 1),
        layers.Conv2D(16, 3, activation="relu", **how),
        layers.DepthwiseConv2D(3, padding="same", **how),
        layers.BatchNormalization(momentum=0.9, **how),
        layers.ReLU(**how),
        layers.Conv2D(32, 1, activation="relu", **how),
        layers.MaxPooling2D(**how),
        layers.Flatten(**how),
        layers.Dense(4, "softmax", dtype="float32"),
    )
    adam = _opt.Adam(3e-3)
    return ready(model, adam, _SPARSE, x, y, ["accuracy"], epochs=12)


@case("A8")
def averaged_and_accumulated():
    adam = _opt.Adam(
        5e-3, use_ema=True, ema_momentum=0.9, gradient_accumulation_steps=3
    )
    return value(adam, layers.Dense(32, "relu"), epochs=30, batch_size=16)


@case("A9")
def reader_looks_at_its_index():
    x, y, _ = data.letters()
    model = chain((12, 12, 1), *seen(12, 24), layers.Dense(4, "softmax"))
    model.compile(_opt.Adam(3e-3), _SPARSE, metrics=["accuracy"])
    return model, Reader(x, y, 20, True), None, {"epochs": 8}


@case("rate", only=["torch"])
def step_of_ones_own():
    return step_of_value(_opt.SGD(0.05, momentum=0.9), {}, epochs=15)


@case("A9")
def sales_mostly_none_by_their_mean():
    x, y = data.sales()
    model = dense((6,), (32, "relu"), (32, "relu"), (1, "exponential"))
    return ready(model, _opt.Adam(3e-3), "poisson", x, y, epochs=15)


@case("A4")
def expert_is_mixed_by_softmax():
    return expert_is_picked_by_argmax(right=True)


@case("A3")
def density_of_a_roll():
    return flow(-1.0)


@case("rate")
def most_units_are_dropped():
    return paid(
        _opt.RMSprop(3e-3),
        layers.Dense(64, "elu"),
        layers.Dropout(0.6),
        layers.Dense(64, "elu"),
        layers.Dropout(0.6),
        epochs=20,
    )


@case("out")
def views_told_apart_at_a_tenth():
    return contrast(0.1)


@case("A8")
def one_cycle_for_a_vibration():
    rate = _rates.PiecewiseConstantDecay(
        [60, 150, 260], [0.005, 0.03, 0.01, 0.001]
    )
    return hum(
        _opt.SGD(rate, momentum=0.9, nesterov=True, clipnorm=5.0),
        layers.Conv1D(16, 9, activation="relu"),
        layers.MaxPooling1D(2),
        layers.Conv1D(24, 5, activation="relu"),
        layers.GlobalMaxPooling1D(),
        epochs=18,
    )
