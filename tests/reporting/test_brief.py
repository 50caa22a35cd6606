"""The lines of a finding: their words and their numbers."""

import numpy as np
import pytest

from keras_gradguard import Finding
from keras_gradguard import Trace
from keras_gradguard.reporting.brief import depth_profile
from keras_gradguard.reporting.brief import first_sentence
from keras_gradguard.reporting.brief import loss_so_far
from keras_gradguard.reporting.brief import named_run
from keras_gradguard.reporting.lives import counted
from tests.diagnosis.synthetic import make_trace
from tests.diagnosis.synthetic import steady

pytestmark = pytest.mark.pure

ALL = [f"net/h{i}" for i in range(10)]


@pytest.mark.parametrize(
    ("guilty", "text"),
    [
        ([], "the whole model"),
        (["net/h3"], "net/h3"),
        (["net/h4", "net/h3"], "net/h3 and net/h4 of 10 layers"),
        (ALL[4:0:-1], "net/h1 to net/h4 of 10 layers"),
        (ALL, "all 10 layers"),
        (ALL[::2], "net/h0, net/h2, net/h4 and 2 more of 10 layers"),
        (["other"], "other"),
    ],
)
def test_layers_in_words(guilty, text):
    assert named_run(guilty, ALL) == text


def test_first_sentence():
    text = "The norm is 1.0e-6 in net/h1, 0.1 there. It stays. So."
    assert first_sentence(text) == "The norm is 1.0e-6 in net/h1, 0.1 there."
    assert first_sentence("Alone") == "Alone"


@pytest.mark.parametrize("count", [2, 20, 32, 33, 500])
def test_the_loss_is_the_median_of_equal_parts(count):
    loss = np.exp(-np.arange(count) / count * 3)
    trace = make_trace(steady(np.ones(2), count), loss)
    shown, text = loss_so_far(trace)
    if count <= 32:
        expected = loss
    else:
        edges = np.arange(33) * count // 32
        expected = [
            np.median(loss[a:b])
            for a, b in np.lib.stride_tricks.sliding_window_view(edges, 2)
        ]
    np.testing.assert_allclose(shown, expected, rtol=1e-6)
    few = max(1, len(shown) // 8)
    first, last = np.median(shown[:few]), np.median(shown[-few:])
    assert text == f"The loss fell from {first:.3g} to {last:.3g}."


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        ([0.7, 0.7], "The loss has hardly moved: 0.7."),
        ([0.697, 0.692], "The loss has hardly moved: 0.697, now 0.692."),
        ([1.0, 3.0], "The loss rose from 1 to 3."),
        ([1.0, 0.9, np.nan], "The loss went from 1 to nan."),
        ([np.nan, np.nan], "The loss is not finite."),
    ],
)
def test_the_loss_in_words(loss, text):
    trace = make_trace(np.ones((len(loss), 2)), loss)
    assert loss_so_far(trace)[1] == text


def test_no_loss():
    assert loss_so_far(None)[1] == ""
    assert loss_so_far(Trace([], [], []))[1] == ""


def window(rule, first, last):
    evidence = {"window": {"first_step": first, "last_step": last}}
    return Finding(rule, "warning", [], 0, 199, None, evidence, "m")


def test_the_bars_of_a_finding_are_medians_over_its_window():
    ratio = np.random.default_rng(0).uniform(size=(200, 3))
    trace = make_trace(steady(np.ones(3)), ratio=ratio)
    values, what = depth_profile(window("update_ratio", 50, 99), trace)
    assert what == "updates over weights"
    np.testing.assert_allclose(
        values, np.median(ratio[50:100], axis=0), rtol=1e-5
    )
    values, what = depth_profile(window("exploding_gradient", 50, 99), trace)
    assert what == "gradient norms"
    norms = trace.get("grad_norm")[50:100].astype(float)
    np.testing.assert_allclose(values, np.median(norms, axis=0), rtol=1e-6)


def test_no_bars_where_nothing_is_finite():
    norms = steady(np.ones(3))
    norms[50:] = np.nan
    profile, what = depth_profile(
        window("nonfinite_gradient", 50, 199), make_trace(norms)
    )
    assert len(profile) == 0
    assert what == ""


def test_dead_units_are_shown_as_shares_of_the_layers_that_can_die():
    trace = Trace(["a", "b", "c"], ["a/k", "b/k", "c/k"], [0, 1, 2])
    steps = np.arange(200)
    trace.append(steps, np.ones((200, 3)))
    dead = np.random.default_rng(0).uniform(size=(200, 3))
    dead[:, 1] = np.nan
    for step in steps:
        trace.append_activations(
            step, ["a", "b", "c"], {"dead_fraction": dead[step]}
        )
    values, what = depth_profile(window("dead_relu", 50, 99), trace)
    assert what == "share of dead units"
    np.testing.assert_allclose(
        values, np.median(dead[50:100][:, [0, 2]], axis=0), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "net/a, net/ab, net/a.b and net/c(1): the gradient is zero.",
            "4 layers: the gradient is zero.",
        ),
        (
            "Validation is not: net/a, net/ab and 1055 more layers lag.",
            "Validation is not: 1,057 layers lag.",
        ),
        ("net/a and net/ab get nothing.", None),
        ("net/a gets less gradient than net/c(1).", None),
        ("net/a/x, net/a/y and net/a/z get nothing.", None),
    ],
)
def test_layers_that_stand_beside_a_text_are_counted_in_it(text, shown):
    layers = ["net/a", "net/ab", "net/a.b", "net/c(1)"]
    assert counted(text, layers) == (shown or text)
    assert counted(text, layers[:1]) == text


def test_a_loss_that_goes_up_and_down_has_not_fallen():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=400)
    loss = 6 + 4 * noise - 0.4 * np.arange(400) / 400
    text = loss_so_far(make_trace(steady(np.ones(2), 400), loss))[1]
    assert text.startswith("The loss moved no more than its noise: ")
    loss = 6 + noise - 3 * np.arange(400) / 400
    text = loss_so_far(make_trace(steady(np.ones(2), 400), loss))[1]
    assert text.startswith("The loss fell from ")
