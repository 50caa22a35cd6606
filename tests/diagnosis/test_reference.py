"""Runs that know less than trivial learners get out of the same rows."""

import math

import numpy as np
import pytest

from keras_gradguard import Trace
from keras_gradguard import diagnose
from keras_gradguard.diagnosis.evidence.reference import Bounds
from keras_gradguard.diagnosis.evidence.reference import behind

from .synthetic import make_trace
from .synthetic import steady

pytestmark = pytest.mark.pure

CLASSES = {
    "rows": 200,
    "kind": "classes",
    "learner": "five neighbours",
    "score": 0.84,
    "error": 0.026,
    "chance": 0.12,
    "entropy": 2.29,
    "classes": 10,
}
NUMBERS = {
    "rows": 200,
    "kind": "numbers",
    "learner": "ridge regression",
    "score": 0.8,
    "error": 0.02,
    "absolute": 0.55,
    "absolute_error": 0.02,
}
SPARSE = "sparse_categorical_crossentropy"
MEASURED = [0, 1, 2, 4, 16, *range(64, 800, 64)]


def course(first, last, steps=800, noise=0.02):
    """A loss that falls in the first tenth and then no more."""
    at = np.arange(steps)
    loss = last + (first - last) * np.exp(-at / (steps / 30))
    return loss + noise * np.random.default_rng(0).normal(size=steps)


def run(
    loss,
    reference=CLASSES,
    follows=0.1,
    name=SPARSE,
    units=10,
    epochs=8,
    score=None,
    ratio=None,
    **meta,
):
    given = {"output_shape": [units], "target_shape": []}
    trace = make_trace(
        steady([1.0, 1.0], len(loss)),
        loss,
        ratio=None if ratio is None else np.full((len(loss), 2), ratio),
        meta={
            "outputs": [
                {
                    "layer": "dense_1",
                    "units": units,
                    "loss": name,
                    "activation": "softmax" if name == SPARSE else "linear",
                }
            ],
            "loss_name": name or "own",
            "compiled": {"loss": name},
            "model_kind": "sequential",
            "epochs_planned": epochs,
            "steps_per_epoch": 100,
            "data": given,
            "reference": reference,
            **meta,
        },
    )
    number = reference is not None and reference["kind"] == "numbers"
    for step in (at for at in MEASURED if at < len(loss)):
        trace.append_activations(
            step,
            data={
                "samples": 32,
                "output_correlation": follows,
                "output_spread": 0.3,
                "output_mean": 0.1,
                "output_std": 0.3,
                "target_mean": 0.0 if number else 4.5,
                "target_std": 1.0 if number else 2.87,
                "target_spread": 1.0 if number else 2.87,
                "target_min": -2 if number else 0,
                "target_max": 2 if number else 9,
            },
        )
    if score is not None:
        for epoch in range(len(loss) // 100):
            logs = {"accuracy": score}
            trace.append_epoch(epoch, 100 * epoch + 99, logs)
    return trace


def told(trace):
    return [f for f in diagnose(trace).findings if "reference" in f.evidence]


def test_a_run_that_knows_far_less_is_told():
    trace = run(course(2.6, 2.15))
    (finding,) = told(trace)
    assert finding.rule == "slow_convergence"
    assert finding.evidence["reference"] == 0.84
    assert (
        "Among 200 rows of the same batches five neighbours told 84 % of the "
        "classes: the inputs hold the answer. The fault lies in the network or "
        "in its training."
    ) in finding.message


def test_of_numbers_too():
    trace = run(course(1.2, 0.85), NUMBERS, 0.3, "mean_squared_error", 1)
    (finding,) = told(trace)
    assert "ridge regression explained 80 % of the variance" in finding.message
    assert diagnose(trace).healthy is False


def test_four_rows_that_come_again_are_a_table():
    table = {**CLASSES, "rows": 4, "score": 1.0, "error": 0.0}
    table["learner"] = "a table"
    trace = run(course(2.6, 2.15), table)
    (finding,) = told(trace)
    assert "The batches hold 4 different rows, and each has one class" in (
        finding.message
    )


def test_not_where_half_of_it_is_known():
    # What five neighbours tell for sure is a crossentropy of 1.17.
    assert not told(run(course(2.6, 1.6), follows=0.5))
    assert not told(run(course(1.2, 0.6), NUMBERS, 0.6, "mse", 1))


@pytest.mark.parametrize(
    ("follows", "score"), [(0.6, None), (0.1, 0.6), (0.7, 0.7)]
)
def test_not_where_outputs_or_a_score_say_otherwise(follows, score):
    # A penalty may be most of the loss.
    assert not told(run(course(2.6, 2.15), follows=follows, score=score))


def test_not_where_the_loss_gets_there_by_and_by():
    falls = 2.4 - 0.9 * np.arange(800) / 800
    assert not told(run(falls))


def test_not_before_half_of_the_plan():
    assert not told(run(course(2.6, 2.15)[:400], epochs=10))
    assert told(run(course(2.6, 2.15)[:600], epochs=8))


def test_not_in_few_steps():
    assert not told(run(course(2.6, 2.15, 90), epochs=1))


@pytest.mark.parametrize(
    "change",
    [
        {"score": 0.3},
        {"error": 0.2},
        {"rows": 0},
        {"kind": "what"},
        {"score": float("nan")},
        {"chance": 1.0},
        {"entropy": -1.0, "classes": 0},
    ],
)
def test_not_where_the_rows_tell_little(change):
    trace = run(course(2.6, 2.15), {**CLASSES, **change})
    # Of a loss that cannot be compared, it has to be half where it began.
    known = "entropy" in change
    assert bool(told(trace)) in ((False, True) if known else (False,))


def test_not_where_samples_are_weighted_or_no_plan_is_known():
    weighted = {"output_shape": [10], "target_shape": [], "weighted": True}
    assert not told(run(course(2.6, 2.15), data=weighted))
    assert not told(run(course(2.6, 2.15), epochs_planned=None))


def test_of_a_loss_of_ones_own_it_has_to_be_where_it_began():
    assert told(run(course(1.0, 0.7), NUMBERS, 0.1, None, 1))
    assert not told(run(course(1.0, 0.3), NUMBERS, 0.1, None, 1))


def test_it_is_resolved_once_it_is_learnt():
    late = np.where(np.arange(1200) < 600, 2.2, 0.2)
    trace = run(late, epochs=12)
    before = len(told(run(late[:600], epochs=12)))
    assert before <= 1
    assert not told(trace)


NOTHING = {**CLASSES, "score": 0.13, "error": 0.02}


def unrelated(trace):
    kinds = [f.evidence.get("kind") for f in diagnose(trace).findings]
    return "unrelated" in kinds


def test_outputs_that_follow_nothing_where_rows_tell_nothing():
    still = 2.3 + 0.02 * np.random.default_rng(1).normal(size=800)
    trace = run(still, NOTHING, 0.02, ratio=3e-4)
    assert unrelated(trace)
    words = str(diagnose(trace))
    assert "Nor do ridge regression, nearest neighbours" in words
    assert "out of 200 rows of the same batches" in words
    # By themselves they have not gone far enough.
    assert not unrelated(run(still, None, 0.02, ratio=3e-4))
    assert not unrelated(run(still, {**NOTHING, "rows": 90}, 0.02, ratio=3e-4))
    # Steps that are too small are another cause.
    assert not unrelated(run(still, NOTHING, 0.02, ratio=1e-5))


def test_rows_that_tell_the_targets_belong_to_them():
    still = 2.3 + 0.02 * np.random.default_rng(1).normal(size=800)
    assert unrelated(run(still, None, 0.02, ratio=3e-3))
    assert not unrelated(run(still, CLASSES, 0.02, ratio=3e-3))
    noise = {"noise": {"class": "GaussianNoise", "name": "noise"}}
    assert unrelated(run(still, CLASSES, 0.02, ratio=3e-3, noise=noise))
    # What was said before the rows were asked stays.
    later = {**CLASSES, "step": 700}
    assert unrelated(run(still, later, 0.02, ratio=3e-3))


def test_a_reason_not_to_judge_says_it():
    still = 2.3 + 0.02 * np.random.default_rng(1).normal(size=300)
    reasons = diagnose(run(still, NOTHING, 0.02)).not_judged
    assert reasons == [
        "the loss has not moved, and trivial learners get nothing out of 200 "
        "of its rows"
    ]


@pytest.mark.parametrize("right", [0.5, 0.84, 0.99])
def test_bounds_of_classes(right):
    known = {**CLASSES, "score": right + 0.078}
    trace = run(course(2.6, 2.15), known)
    bounds = Bounds.of(trace)
    loss = -(right * math.log(right) + (1 - right) * math.log((1 - right) / 9))
    assert bounds.loss == pytest.approx(1 - loss / 2.29)
    assert bounds.score == pytest.approx((right - 0.12) / 0.88)
    assert bounds.square == pytest.approx(bounds.score**2)
    most = (right + 0.156 - 0.12) / 0.88
    assert bounds.most == pytest.approx(most)


def test_bounds_of_numbers():
    bounds = Bounds.of(run(course(1, 0.9), NUMBERS, name="mse", units=1))
    assert (bounds.score, bounds.loss) == pytest.approx((0.74, 0.74))
    bounds = Bounds.of(run(course(1, 0.9), NUMBERS, name="mae", units=1))
    assert (bounds.score, bounds.loss) == pytest.approx((0.74, 0.49))
    few = {**NUMBERS, "absolute": 0.05}
    assert not Bounds.of(run(course(1, 0.9), few, name="mse", units=1)).tells


def test_a_saved_run_says_the_same(tmp_path):
    trace = run(course(2.6, 2.15))
    trace.save(tmp_path / "trace.npz")
    loaded = Trace.load(tmp_path / "trace.npz")
    assert told(loaded) == told(trace)
    assert behind(loaded).tolist() == behind(trace).tolist()
