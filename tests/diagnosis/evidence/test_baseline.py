"""The loss of a constant, against constants tried one by one."""

import keras
import numpy as np
import pytest

from keras_gradguard import Trace
from keras_gradguard.diagnosis.evidence.baseline import guess_of
from keras_gradguard.diagnosis.evidence.frequencies import constant_loss
from keras_gradguard.diagnosis.evidence.frequencies import most_entropy

# A twin in NumPy is judged, by the losses of Keras.
pytestmark = pytest.mark.once

RANDOM = np.random.default_rng(0)
NUMBERS = RANDOM.gamma(2.0, 3.0, (12, 50, 1))
BITS = (RANDOM.random((12, 50, 1)) < 0.2).astype(float)
CLASSES = np.eye(4)[RANDOM.choice(4, (12, 50), p=[0.4, 0.3, 0.2, 0.1])]


def trace_of(batches, loss, width):
    """Trace that has seen the targets of batches (K, rows, columns)."""
    trace = Trace(
        ["out"],
        ["out/kernel"],
        [0],
        meta={
            "outputs": [{"loss": loss}],
            "data": {"output_shape": [width]},
        },
    )
    for step, targets in enumerate(batches):
        seen = {"target_mean": targets.mean(), "target_std": targets.std()}
        trace.append_activations(step, data=seen)
    return trace


def best_constant(loss, targets, candidates):
    """Loss of the best of some constant predictions, by Keras, in float64."""
    targets = targets.reshape(-1, targets.shape[-1])
    return min(
        float(np.mean(loss(targets, np.broadcast_to(c, targets.shape))))
        for c in candidates
    )


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("mse", lambda y, p: (y - p) ** 2),
        ("MeanAbsoluteError", lambda y, p: abs(y - p)),
        ("huber", lambda y, p: np.where(
            abs(y - p) <= 1, (y - p) ** 2 / 2, abs(y - p) - 0.5
        )),
        ("log_cosh", lambda y, p: np.log(np.cosh(y - p))),
    ],
)  # fmt: skip
def test_of_numbers(name, reference):
    bound = guess_of(trace_of(NUMBERS, name, 1), 12)[-1]
    candidates = np.linspace(NUMBERS.min(), NUMBERS.max(), 4000)
    best = best_constant(reference, NUMBERS, candidates)
    assert best <= bound * (1 + 1e-5)
    if name == "mse":
        assert bound == pytest.approx(best, rel=1e-5)
        assert bound == pytest.approx(NUMBERS.var(), rel=1e-5)


def test_of_bits():
    bound = guess_of(trace_of(BITS, "BinaryCrossentropy", 1), 12)[-1]

    def entropy(y, p):
        return -y * np.log(p) - (1 - y) * np.log(1 - p)

    best = best_constant(entropy, BITS, np.linspace(1e-3, 1 - 1e-3, 4000))
    assert bound == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("kind", ["categorical", "sparse_categorical"])
def test_of_classes(kind):
    bound = guess_of(trace_of(CLASSES, f"{kind}_crossentropy", 4), 12)
    np.testing.assert_allclose(bound, np.log(4))
    uniform = keras.losses.categorical_crossentropy(
        CLASSES[0], np.full((50, 4), 0.25)
    )
    uniform = keras.ops.convert_to_numpy(uniform)
    np.testing.assert_allclose(uniform, np.log(4), rtol=1e-6)


def test_it_knows_what_was_seen_so_far():
    trace = trace_of(NUMBERS, "mse", 1)
    bounds = guess_of(trace, 12)
    for count in (1, 5, 12):
        expected = NUMBERS[:count].var()
        assert bounds[count - 1] == pytest.approx(expected, rel=1e-5)


def test_a_weight_of_the_loss_weighs_the_constant():
    trace = trace_of(NUMBERS, "mse", 1)
    plain = guess_of(trace, 12)
    trace.meta["loss_weight"] = 1e4
    np.testing.assert_allclose(guess_of(trace, 12), 1e4 * plain)


def test_where_it_cannot_be_told():
    assert np.isnan(guess_of(trace_of(NUMBERS, "poisson", 1), 12)).all()
    assert np.isnan(guess_of(trace_of(NUMBERS, None, 1), 12)).all()
    assert np.isnan(
        guess_of(trace_of(NUMBERS, "binary_crossentropy", 1), 12)[-1]
    )
    for weighted in (
        {"loss_weight": None},
        {"loss_weight": "much"},
        {"data": {"weighted": True}},
        {"outputs": [{"loss": "mse"}, {"loss": "mse"}]},
    ):
        trace = trace_of(NUMBERS, "mse", 1)
        trace.meta |= weighted
        assert np.isnan(guess_of(trace, 12)).all()
    assert len(guess_of(Trace(["a"], ["a/k"], [0]), 0)) == 0


def numbered(shares, shape=(), low=0):
    """Trace of twelve batches of class numbers of such frequencies."""
    drawn = np.random.default_rng(1).choice(len(shares), (12, 50), p=shares)
    trace = Trace(
        ["out"],
        ["out/kernel"],
        [0],
        meta={
            "outputs": [{"loss": "sparse_categorical_crossentropy"}],
            "data": {
                "output_shape": [len(shares)],
                "target_shape": list(shape),
            },
        },
    )
    for step, targets in enumerate(drawn + low):
        seen = {f"target_{p}": getattr(targets, p)() for p in _PARTS}
        trace.append_activations(step, data={**seen, "samples": 50})
    known = np.bincount(drawn.ravel(), minlength=len(shares)) / drawn.size
    return trace, -(known * np.log(np.maximum(known, 1e-12))).sum()


_PARTS = ("mean", "std", "min", "max")


@pytest.mark.parametrize(
    "shares",
    [
        (0.84, 0.09, 0.07),
        (0.06, 0.9, 0.04),
        (0.3, 0.4, 0.3),
        (0.97, *[0.01] * 3),
    ],
)
def test_of_classes_of_which_one_is_frequent(shares):
    trace, entropy = numbered(shares)
    bound = constant_loss(trace, 12)[-1]
    error = 1 / np.sqrt(600)
    assert entropy <= bound <= np.log(len(shares))
    if len(shares) == 3:
        least = min(entropy + error, np.log(3))
        assert bound == pytest.approx(least, rel=1e-4)
    assert (constant_loss(trace, 12) >= entropy - 0.05).all()


def test_frequencies_of_masked_or_numbered_otherwise_tell_nothing():
    shares = (0.9, 0.05, 0.05)
    for trace, _ in (numbered(shares, (6,)), numbered(shares, low=-1)):
        assert constant_loss(trace, 12)[-1] == pytest.approx(np.log(3))


@pytest.mark.parametrize("classes", [3, 5, 40])
def test_the_bound_holds_for_any_frequencies(classes):
    random = np.random.default_rng(classes)
    shares = np.concatenate(
        [
            random.dirichlet(np.full(classes, alpha), 50)
            for alpha in (0.02, 0.3, 5.0)
        ]
    )
    place = np.arange(classes)
    bound = most_entropy(classes, shares @ place, shares @ place**2)
    entropy = -(shares * np.log(np.maximum(shares, 1e-300))).sum(1)
    assert (bound >= entropy - 1e-9).all()
    assert (bound <= np.log(classes) + 1e-9).all()
