"""Programs drawn at random, sound and sick, on data sets of scikit-learn.

What counts is what became of a run: whether the network follows its training
data in the end, measured beside a random forest on the same rows.
"""

import dataclasses
import functools
import math

import keras
import numpy as np
from keras import layers

import keras_gradguard as kgg

_STEPS = (300, 1500)
# Of what a forest knows more than a constant: this much is learnt, and so
# little is not. What lies between is counted for neither.
_LEARNT, _FAILED = 0.6, 0.25
_OPTIMIZERS = {
    "Adam": (3e-4, 3e-3),
    "AdamW": (3e-4, 3e-3),
    "Nadam": (3e-4, 3e-3),
    "RMSprop": (3e-4, 3e-3),
    "Adamax": (1e-3, 5e-3),
    "SGD": (1e-2, 1e-1),
    "momentum": (3e-3, 3e-2),
    "Adagrad": (1e-2, 5e-2),
}
_ACTIVATIONS = {
    "relu": "he_normal",
    "tanh": "glorot_uniform",
    "elu": "he_normal",
    "selu": "lecun_normal",
    "gelu": "he_normal",
    "silu": "he_normal",
    "leaky_relu": "he_normal",
    "softplus": "glorot_uniform",
}
_WEIGHTS = ("poor_initialization", "vanishing_gradient")
# What can be made sick, and the rules that are right about it.
SICKNESSES = {
    "rate too high": (
        "update_ratio",
        "exploding_gradient",
        "nonfinite_gradient",
        "oscillating_loss",
    ),
    "rate too low": ("update_ratio", "slow_convergence", "loss_plateau"),
    "inputs unscaled": ("unscaled_data",),
    "targets unscaled": ("unscaled_data",),
    "deep sigmoids": ("vanishing_gradient",),
    "deep tanh, wide weights": (*_WEIGHTS, "saturated_activation"),
    "tiny weights": _WEIGHTS,
    "huge weights": (
        "poor_initialization",
        "exploding_gradient",
        "saturated_activation",
    ),
    "equal weights": ("poor_initialization",),
    "wrong output": ("output_mismatch",),
    "dead layer": ("dead_relu",),
    "NaN in the data": ("nonfinite_gradient",),
}


@dataclasses.dataclass(slots=True)
class Drawn:
    """A program, as drawn.

    Attributes:
        data: Str. The data set.
        kind: Str. `"mlp"`, `"cnn"` or `"rnn"`.
        depth, width: Int. Hidden layers and their units.
        activation, initializer: Str. Of the hidden layers.
        norm, dropout: Whether there are such layers.
        optimizer: Str.
        rate: Float. Learning rate.
        batch_size, epochs: Int.
        sick: Str, of `SICKNESSES`, or None.
    """

    data: str
    kind: str
    depth: int
    width: int
    activation: str
    initializer: object
    norm: bool
    dropout: bool
    optimizer: str
    rate: float
    batch_size: int
    epochs: int
    sick: str | None


@functools.cache
def data_sets():
    """Return name -> (x, y, classes); classes is 0 for numbers."""
    from sklearn import datasets

    def scaled(x):
        return (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6)

    def of(loaded, classes):
        x, y = loaded
        return scaled(x), y if classes else scaled(y), classes

    digits = datasets.load_digits(return_X_y=True)
    waves = np.random.default_rng(3)
    phase = waves.uniform(0, 6.28, (900, 1))
    speed = waves.integers(1, 4, (900, 1))
    series = np.sin(phase + speed * np.linspace(0, 6.28, 20))
    series = series + 0.1 * waves.normal(size=series.shape)
    return {
        "digits": (digits[0] / 16.0, digits[1], 10),
        "cancer": of(datasets.load_breast_cancer(return_X_y=True), 2),
        "wine": of(datasets.load_wine(return_X_y=True), 3),
        "iris": of(datasets.load_iris(return_X_y=True), 3),
        "moons": of(datasets.make_moons(800, noise=0.15, random_state=3), 2),
        "made": of(
            datasets.make_classification(
                1200, 20, n_informative=8, n_classes=3, random_state=3
            ),
            3,
        ),
        "friedman": of(datasets.make_friedman1(900, random_state=3), 0),
        "linear": of(
            datasets.make_regression(800, 12, noise=5.0, random_state=3), 0
        ),
        "roll": of(datasets.make_swiss_roll(900, noise=0.1, random_state=3), 0),
        "diabetes": of(datasets.load_diabetes(return_X_y=True), 0),
        "waves": (series[..., None], speed[:, 0] - 1, 3),
    }


def draw(random, sets):
    """Return a `Drawn`; half of them are sick.

    Args:
        random: NumPy generator.
        sets: Dict of `data_sets`.
    """
    data = str(random.choice(list(sets)))
    x, _, classes = sets[data]
    kind = "rnn" if x.ndim == 3 else "mlp"
    if data == "digits" and random.random() < 0.4:
        kind = "cnn"
    activation = str(random.choice(list(_ACTIVATIONS)))
    optimizer = str(random.choice(list(_OPTIMIZERS)))
    low, high = np.log(_OPTIMIZERS[optimizer])
    batch_size = int(random.choice([16, 32, 64]))
    steps = int(np.exp(random.uniform(*np.log(_STEPS))))
    most = {"mlp": 5, "cnn": 3, "rnn": 2}[kind]
    depth = int(random.integers(1, most + 1))
    made = Drawn(
        data,
        kind,
        min(depth, 2)
        if kind == "rnn"
        else min(depth, 3 if kind == "cnn" else 5),
        int(random.choice([16, 24, 32, 64])),
        activation,
        _ACTIVATIONS[activation] if random.random() < 0.6 else "glorot_uniform",
        bool(random.random() < 0.25),
        bool(random.random() < 0.2),
        optimizer,
        float(np.exp(random.uniform(low, high))),
        batch_size,
        max(2, round(steps / math.ceil(len(x) / batch_size))),
        None,
    )
    if random.random() < 0.5:
        return made
    fitting = [s for s in SICKNESSES if _fits(s, made, classes)]
    return _sicken(made, str(random.choice(fitting)), random)


def _fits(sick, made, classes):
    if sick in ("deep sigmoids", "deep tanh, wide weights", "dead layer"):
        return made.kind == "mlp"
    if sick == "targets unscaled":
        return not classes
    if sick == "wrong output":
        return bool(classes)
    if sick in ("tiny weights", "equal weights"):
        return made.kind != "rnn"
    return True


def _sicken(made, sick, random):
    change = {"sick": sick}
    if sick == "rate too high":
        change["rate"] = made.rate * 10 ** random.uniform(2, 3.5)
    elif sick == "rate too low":
        change["rate"] = made.rate * 10 ** random.uniform(-5, -3)
    elif sick == "deep sigmoids":
        change.update(
            depth=int(random.integers(6, 13)),
            activation="sigmoid",
            initializer="glorot_uniform",
            norm=False,
        )
    elif sick == "deep tanh, wide weights":
        change.update(
            depth=int(random.integers(5, 11)),
            activation="tanh",
            initializer=keras.initializers.RandomUniform(0.0, 1.0, seed=1),
            norm=False,
        )
    elif sick == "tiny weights":
        change.update(
            depth=int(random.integers(4, 9)),
            initializer=keras.initializers.RandomNormal(stddev=1e-3, seed=1),
            norm=False,
        )
    elif sick == "huge weights":
        change.update(
            initializer=keras.initializers.RandomNormal(stddev=5.0, seed=1),
            norm=False,
        )
    elif sick == "equal weights":
        change.update(initializer="zeros", norm=False)
    elif sick == "dead layer":
        change.update(activation="relu", norm=False, depth=max(2, made.depth))
    return dataclasses.replace(made, **change)


def build(made, sets, seed, random):
    """Return the compiled model and its data `(model, x, y)`.

    Args:
        made: `Drawn`.
        sets: Dict of `data_sets`.
        seed: Int.
        random: NumPy generator, for what is sick about the data.
    """
    keras.utils.set_random_seed(seed)
    x, y, classes = sets[made.data]
    x, y = x.astype("float32"), np.asarray(y)
    if made.sick == "inputs unscaled":
        factor = 10 ** random.uniform(3, 5)
        x = (x + random.choice([0.0, 1.0])) * np.float32(factor)
    elif made.sick == "targets unscaled":
        y = (y + 1.0) * 10 ** random.uniform(4, 6)
    elif made.sick == "NaN in the data":
        x = x.copy()
        x[random.integers(0, len(x), 2), ..., 0] = np.nan
    if made.kind == "cnn":
        x = x.reshape(-1, 8, 8, 1)
    inputs = keras.Input(x.shape[1:])
    h = _hidden(made, inputs)
    units, activation, loss = _head(made, classes)
    # Zero as an initializer of the hidden layers only: a head of zeros learns.
    outputs = layers.Dense(units, activation=activation, name="head")(h)
    model = keras.Model(inputs, outputs)
    arguments = {"learning_rate": made.rate}
    name = made.optimizer
    if name == "momentum":
        name, arguments["momentum"] = "SGD", 0.9
    metrics = ["accuracy"] if classes and random.random() < 0.5 else []
    model.compile(
        getattr(keras.optimizers, name)(**arguments), loss, metrics=metrics
    )
    if loss == "categorical_crossentropy":
        y = np.eye(classes)[y]
    return model, x, y.astype("float32" if y.dtype.kind == "f" else "int32")


def _hidden(made, h):
    for at in range(made.depth):
        arguments = {
            "activation": made.activation,
            "kernel_initializer": made.initializer,
        }
        if made.kind == "rnn":
            cell = layers.GRU if made.width > 24 else layers.SimpleRNN
            h = cell(made.width, return_sequences=at < made.depth - 1)(h)
            continue
        if made.sick == "dead layer" and at == made.depth // 2:
            arguments["bias_initializer"] = keras.initializers.Constant(-30.0)
        if made.kind == "cnn":
            h = layers.Conv2D(made.width, 3, padding="same", **arguments)(h)
        else:
            h = layers.Dense(made.width, **arguments)(h)
        if made.norm:
            h = layers.BatchNormalization()(h)
        if made.dropout and at == made.depth - 1:
            h = layers.Dropout(0.2)(h)
    return layers.GlobalAveragePooling2D()(h) if made.kind == "cnn" else h


def _head(made, classes):
    """Return units, activation and loss of the last layer."""
    wrong = made.sick == "wrong output"
    if not classes:
        return 1, None, "mse"
    if classes == 2:
        return 1, "softmax" if wrong else "sigmoid", "binary_crossentropy"
    loss = "sparse_categorical_crossentropy"
    if wrong:
        return classes, "relu", loss
    return classes, "softmax", loss


def knowledge(made, model, sets, x, y):
    """Return what share of a forest's knowledge a model has, at most 1.

    Of the accuracy, or of the variance explained, beyond a constant's.
    """
    classes = sets[made.data][2]
    reference = _reference(made.data)
    shown = model.predict(x, verbose=0)
    if not np.isfinite(shown).all():
        keep = np.isfinite(x.reshape(len(x), -1)).all(axis=1)
        if not np.isfinite(shown[keep]).all():
            return 0.0
        shown, y = shown[keep], y[keep]
    if not classes:
        error = np.mean((shown[:, 0] - y) ** 2) / np.var(y)
        return float(np.clip((1 - error) / reference, 0, 1))
    said = shown[:, 0] > 0.5 if shown.shape[1] == 1 else shown.argmax(axis=1)
    guess = np.bincount(y).max() / len(y)
    gain = np.mean(said == y) - guess
    return float(np.clip(gain / (reference - guess), 0, 1))


@functools.cache
def _reference(name):
    """Score of a random forest on a data set, its own training rows."""
    from sklearn import ensemble

    rows, targets, classes = data_sets()[name]
    kind = (
        ensemble.RandomForestClassifier
        if classes
        else ensemble.RandomForestRegressor
    )
    forest = kind(50, min_samples_leaf=5, random_state=0)
    flat = rows.reshape(len(rows), -1)
    return forest.fit(flat, targets).score(flat, targets)


def run(number, sets):
    """Draw, train and judge one program.

    Args:
        number: Int. Seed of the program.
        sets: Dict of `data_sets`.

    Returns:
        `(line, trace)`: a dict of the program, what it learnt and what was
        found, which JSON can hold, and the `Trace`.
    """
    random = np.random.default_rng(number)
    made = draw(random, sets)
    model, x, y = build(made, sets, number, random)
    monitor = kgg.GradientMonitor(verbose=0)
    model.fit(
        x,
        y,
        batch_size=made.batch_size,
        epochs=made.epochs,
        verbose=0,
        callbacks=[monitor],
    )
    described = dataclasses.asdict(made)
    if not isinstance(made.initializer, str):
        described["initializer"] = type(made.initializer).__name__
    line = {
        "number": number,
        **described,
        "knowledge": knowledge(made, model, sets, x, y),
        "findings": [
            (f.rule, f.first_step, f.severity) for f in monitor.report().ranked
        ],
    }
    return line, monitor.trace


def main(count, start=0):
    """Train `count` programs and print what was said of them.

    Args:
        count: Int.
        start: Int. Number of the first one.
    """
    sets = data_sets()
    lines = []
    for number in range(start, start + count):
        try:
            line, _ = run(number, sets)
        except RuntimeError as error:
            # A backend may refuse NaN itself, and end the training.
            print(number, f"{type(error).__name__}: {error}"[:70], flush=True)
            continue
        lines.append(line)
        rules = [rule for rule, _, _ in line["findings"]]
        print(
            f"{number} {line['data']} {line['kind']} {line['sick']} "
            f"{line['knowledge']:.2f} {rules}",
            flush=True,
        )
        keras.backend.clear_session()
    score(lines)


def score(lines):
    """Print how many were found, by the right rule, and flagged.

    Args:
        lines: List of dicts of `run`.
    """
    failed = [r for r in lines if r["knowledge"] <= _FAILED]
    learnt = [r for r in lines if r["knowledge"] >= _LEARNT]
    found = [r for r in failed if r["findings"] and r["sick"]]
    right = [r for r in found if _right(r)]
    rows = {
        "did not learn: found": _found(failed),
        "of these made sick: right rule in the first two": (
            f"{len(right)}/{len(found)}"
        ),
        "learnt, sound: flagged": _found([r for r in learnt if not r["sick"]]),
        "learnt, made sick: told of": _found([r for r in learnt if r["sick"]]),
    }
    print("\n| programs | |")
    print("|---|---|")
    for name, text in rows.items():
        print(f"| {name} | {text} |")


def _found(lines):
    return f"{sum(bool(r['findings']) for r in lines)}/{len(lines)}"


def _right(line):
    said = {rule for rule, _, _ in line["findings"][:2]}
    return bool(said & set(SICKNESSES[line["sick"]]))
