"""Each rule on made-up traces: fires, the nearest case that must not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_gradguard import Trace
from keras_gradguard import diagnose
from tests.diagnosis.synthetic import make_trace
from tests.diagnosis.synthetic import steady

pytestmark = pytest.mark.pure

SICK = [0.02, 0.008, 0.003, 0.001, 0.001, 0.009, 0.07]
FLAT = np.full(200, 0.693)
FALLING = np.linspace(0.7, 0.1, 200)


def ids(trace, rules="default"):
    return [finding.rule for finding in diagnose(trace, rules).findings]


def test_vanishing_names_the_middle_layers_with_numbers():
    report = diagnose(make_trace(steady(SICK), FLAT))
    (finding,) = report.findings
    assert finding.rule == "vanishing_gradient"
    assert finding.severity == "warning"
    assert set(finding.layers) == {"dense_3", "dense_4"}
    assert finding.first_step == 0
    assert finding.last_step == 199
    assert finding.evidence["threshold"] == 1 / 25
    assert finding.evidence["window"]["records"] == 100
    assert finding.evidence["grad_norm"]["dense_3"] == pytest.approx(
        0.001, rel=0.1
    )
    assert "0.019, 0.008, 0.003" in finding.message
    assert "0.693 at the start" in finding.message
    assert any("he_relu" in remedy.code for remedy in finding.remedies)


def test_vanishing_to_zero_is_critical():
    grads = steady(np.geomspace(1e-50, 0.1, 20))
    (finding,) = diagnose(make_trace(grads, FLAT)).findings
    assert finding.severity == "critical"
    assert finding.layers[0] == "dense_0"
    assert "gets no gradient at all, unlike dense_19." in finding.message


@pytest.mark.parametrize(
    ("grads", "loss"),
    [
        (steady(SICK), FALLING),
        (steady(np.array(SICK) ** 0.5), FLAT),
        (steady(SICK[::-1] * np.array([1, 1, 9, 9, 9, 1, 1])), FALLING),
        (steady(SICK, 60), FLAT[:60]),
        (steady([0.001, 0.07], 200), FLAT),
    ],
    ids=["learns", "mild", "learns-reversed", "too-short", "two-layers"],
)
def test_vanishing_is_silent(grads, loss):
    assert ids(make_trace(grads, loss)) == []


def test_vanishing_begins_where_it_begins():
    grads = np.concatenate([steady(np.ones(7), 150), steady(SICK, 150)])
    loss = np.full(300, 0.693)
    (finding,) = diagnose(make_trace(grads, loss)).findings
    assert finding.first_step == 150
    with_epochs = make_trace(grads, epoch_loss=np.full(30, 0.693))
    assert ids(with_epochs) == []


def test_one_odd_stretch_is_no_vanishing():
    grads = steady(np.ones(7), 300)
    grads[100:150] = steady(SICK, 50)
    assert ids(make_trace(grads, np.full(300, 0.693))) == []


def test_epoch_losses_serve_where_batches_were_not_recorded():
    grads = steady(SICK, 400)
    stuck = make_trace(grads, epoch_loss=np.full(20, 0.693))
    assert ids(stuck) == ["vanishing_gradient"]
    learns = make_trace(grads, epoch_loss=np.linspace(0.7, 0.01, 20))
    assert ids(learns) == []


@pytest.mark.filterwarnings("error")
def test_without_any_loss_only_the_extreme_is_told():
    assert ids(make_trace(steady(SICK, 400))) == []
    extreme = steady(np.geomspace(1e-7, 1, 8), 400)
    assert ids(make_trace(extreme)) == ["vanishing_gradient"]


def test_what_chooses_in_an_attention_layer_is_not_compared():
    profile = [0.5, 1e-5, 1e-5, 0.4, 0.5]
    names = ["dense", "query", "key", "value", "out"]
    info = {
        f"dense_{i}": {"class": "EinsumDense", "name": name}
        for i, name in enumerate(names)
    }
    trace = make_trace(steady(profile), FLAT, meta={"layer_info": info})
    assert diagnose(trace).findings == []
    info["dense_3"]["name"], info["dense_1"]["name"] = "query", "value"
    trace = make_trace(steady(profile), FLAT, meta={"layer_info": info})
    (finding,) = diagnose(trace).findings
    assert finding.layers == ["dense_1"]


def test_layers_without_kernels_and_normalizations_are_not_compared():
    profile = [0.5, 0.001, 0.6, 0.0005, 0.7]
    info = {
        f"dense_{i}": {"class": "Dense", "shapes": {"kernel": [4, 4]}}
        for i in range(5)
    }
    info["dense_1"] = {"class": "BatchNormalization", "shapes": {"gamma": [4]}}
    info["dense_3"] = {"class": "Embedding", "shapes": {"embeddings": [9, 4]}}
    trace = make_trace(steady(profile), FLAT, meta={"layer_info": info})
    assert ids(trace) == []
    assert ids(make_trace(steady(profile), FLAT)) == ["vanishing_gradient"]


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_the_scale_of_the_loss_changes_no_verdict(factor):
    sick = make_trace(steady(SICK) * factor, FLAT * factor)
    assert ids(sick) == ["vanishing_gradient"]
    fine = make_trace(steady(np.ones(7)) * factor, FALLING * factor)
    assert ids(fine) == []


def test_explosion_to_nan_tells_growth_and_first_layer():
    grads = np.ones((40, 3)) * (4.0 ** np.arange(40))[:, None]
    grads[8:] = np.nan
    loss = 2.0 ** np.arange(40)
    loss[8:] = np.nan
    exploding, gone = diagnose(make_trace(grads, loss)).findings
    assert (exploding.rule, gone.rule) == (
        "exploding_gradient",
        "nonfinite_gradient",
    )
    assert exploding.first_step == 0
    assert exploding.evidence["growth"] == pytest.approx(4.0**7)
    assert gone.first_step == 8
    assert gone.evidence["loss_nonfinite"] is True
    assert any("scale" in remedy.title for remedy in exploding.remedies)


def test_nan_out_of_the_blue_is_no_explosion():
    grads = steady(np.ones(4))
    grads[77] = np.nan
    loss = FALLING.copy()
    loss[77] = np.nan
    (finding,) = diagnose(make_trace(grads, loss)).findings
    assert finding.rule == "nonfinite_gradient"
    assert finding.first_step == 77
    assert "NaN" in finding.remedies[0].title


def test_a_finite_loss_whose_gradient_is_not_has_no_slope():
    grads = steady(np.ones(5))
    grads[50, :3] = np.nan
    (finding,) = diagnose(make_trace(grads, FALLING)).findings
    assert finding.layers == ["dense_2", "dense_1", "dense_0"]
    # Which gradients happen to be finite tells of no origin.
    assert "began" not in finding.message
    assert "its slope is not" in finding.message
    assert finding.evidence["origin"] == "slope"
    assert "where" in finding.remedies[0].code
    assert finding.evidence["loss_nonfinite"] is False


def test_nonfinite_weights_are_told():
    trace = Trace(["a", "b"], ["a/k", "b/k"], [0, 1], has_gradient=[1, 1])
    trace.append(
        range(5),
        np.where(np.arange(5) < 3, 1, np.nan)[:, None] * np.ones((5, 2)),
    )
    trace.append_updates([0, 3], [[1.0, 1.0], [1.0, np.nan]])
    (finding,) = diagnose(trace).findings
    assert finding.layers[0] == "b"
    assert "the weights of b were not finite before that" in finding.message


def test_loss_scale_calibration_is_normal():
    grads = steady(np.ones(4))
    grads[:16] = np.inf
    skipped = np.arange(200) < 16
    assert ids(make_trace(grads, FALLING, skipped=skipped)) == []
    # Every 2000 steps or so the scale doubles and one update is lost.
    grads = steady(np.ones(4))
    grads[::20] = np.inf
    skipped = np.arange(200) % 20 == 0
    assert ids(make_trace(grads, FALLING, skipped=skipped)) == []


def test_skipping_without_end_is_a_finding():
    grads = steady(np.ones(4))
    grads[40:] = np.inf
    skipped = np.arange(200) >= 40
    (finding,) = diagnose(make_trace(grads, FLAT, skipped=skipped)).findings
    assert finding.rule == "nonfinite_gradient"
    assert finding.evidence["skipped"] is True
    assert finding.first_step == 40


def test_divergence_without_nan_is_told():
    growth = np.concatenate([np.ones(60), np.full(140, 50.0)])
    grads = steady(np.ones(4)) * growth[:, None]
    (finding,) = diagnose(make_trace(grads, growth)).findings
    assert finding.rule == "exploding_gradient"
    assert finding.first_step == 60
    assert "The loss rose" in finding.message


def test_a_spike_or_a_growing_gradient_of_a_run_that_learns_is_none():
    spike = np.where(np.arange(200) == 100, 1e4, 1.0)
    grads = steady(np.ones(4)) * spike[:, None]
    assert ids(make_trace(grads, spike)) == []
    growth = np.geomspace(1e-3, 1, 200)
    assert ids(make_trace(steady(np.ones(4)) * growth[:, None], FALLING)) == []


def test_gradient_that_grows_towards_the_input():
    profile = np.geomspace(1e6, 1, 10)
    (finding,) = diagnose(make_trace(steady(profile), FLAT)).findings
    assert finding.rule == "exploding_gradient"
    assert finding.layers[:2] == ["dense_0", "dense_1"]
    # Healthy deep tanh nets reach 140 at their end.
    profile = np.geomspace(140, 1, 10)
    assert ids(make_trace(steady(profile), FLAT)) == []


def test_frozen_branch_with_a_gradient_of_zero():
    grads = steady(np.ones(4))
    grads[:, 2] = 0.0
    (finding,) = diagnose(make_trace(grads, FALLING)).findings
    assert finding.rule == "frozen_layer"
    assert finding.layers == ["dense_2"]
    # A zero-initialised branch wakes up after a few steps.
    grads = steady(np.ones(4))
    grads[:60, 2] = 0.0
    assert ids(make_trace(grads, FALLING)) == []


def test_frozen_layer_that_gets_a_gradient_but_no_update():
    ratio = np.full((200, 4), 1e-3)
    ratio[:, 1] = 0.0
    trace = make_trace(steady(np.ones(4)), FALLING, ratio=ratio)
    (finding,) = diagnose(trace).findings
    assert finding.rule == "frozen_layer"
    assert finding.layers == ["dense_1"]
    assert finding.first_step == 0


def test_learning_rate_of_zero_is_told_of_the_whole_model():
    ratio = np.zeros((200, 4))
    trace = make_trace(steady(np.ones(4)), FLAT, ratio=ratio)
    (finding,) = diagnose(trace).findings
    assert finding.rule == "frozen_layer"
    assert finding.layers == []
    assert finding.severity == "critical"
    # A schedule may start at zero, and end there.
    ratio = np.full((200, 4), 1e-3)
    ratio[:20] = 0.0
    ratio[80:] = 0.0
    assert ids(make_trace(steady(np.ones(4)), FALLING, ratio=ratio)) == []


@pytest.mark.parametrize(("size", "side"), [(0.4, "Lower"), (1e-7, "Raise")])
def test_update_ratio_far_off(size, side):
    ratio = steady(np.full(4, size))
    meta = {"optimizer": {"class": "SGD", "learning_rate": 0.01}}
    trace = make_trace(steady(np.ones(4)), FLAT, ratio=ratio, meta=meta)
    (finding,) = diagnose(trace).findings
    assert finding.rule == "update_ratio"
    assert finding.remedies[0].title.startswith(side)
    # Tenfold at most, and what nobody asked to change stays.
    rate = {"Lower": "0.001", "Raise": "0.1"}[side]
    code = f"model.optimizer.learning_rate = {rate}"
    assert finding.remedies[0].code == code
    learns = make_trace(steady(np.ones(4)), FALLING, ratio=ratio)
    assert ids(learns) == []
    usual = steady(np.full(4, 1e-3))
    assert ids(make_trace(steady(np.ones(4)), FLAT, ratio=usual)) == []


@pytest.mark.parametrize("total", [0, 1, 2, 9, 10, 11])
def test_short_traces_are_silent(total):
    grads = steady(SICK, total)
    assert ids(make_trace(grads, FLAT[:total])) == []


def test_frozen_variables_are_no_finding():
    grads = steady(np.ones(5))
    grads[:, :3] = np.nan
    mask = np.arange(5) >= 3
    assert ids(make_trace(grads, FALLING, has_gradient=mask)) == []


values = st.sampled_from(
    [0.0, 1e-45, 1e-30, 1e-3, 1.0, 1e20, 3e38, np.inf, np.nan]
)


@pytest.mark.filterwarnings("error")
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_trace_makes_a_rule_raise(data):
    total = data.draw(st.integers(0, 130))
    count = data.draw(st.integers(1, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    palette = np.array(data.draw(st.lists(values, min_size=1, max_size=4)))

    def series(*shape):
        return rng.choice(palette, shape)

    maybe = st.booleans()
    trace = make_trace(
        series(total, count),
        series(total) if data.draw(maybe) else None,
        ratio=series(total, count) if data.draw(maybe) else None,
        skipped=rng.random(total) < 0.5 if data.draw(maybe) else None,
        epoch_loss=series(3) if data.draw(maybe) and total >= 3 else None,
        has_gradient=None if data.draw(maybe) else rng.random(count) < 0.8,
    )
    report = diagnose(trace)
    for finding in report.findings:
        assert finding.first_step <= finding.last_step
        assert finding.message
        assert set(finding.layers) <= set(trace.layers)
    str(report)
    report.to_dict()


@pytest.mark.filterwarnings("error")
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_is_found_stays_found(data):
    seed = data.draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    parts = [
        steady(rng.choice([1, 1e-2, 1e-6, 1e3, 0.0], 5), 60, seed=seed + i)
        for i in range(5)
    ]
    grads = np.concatenate(parts)
    if data.draw(st.booleans()):
        grads[data.draw(st.integers(0, 299)) :, rng.integers(5)] = np.nan
    loss = np.repeat(rng.choice([0.69, 0.7, 0.01, 50.0], 5), 60)
    ratio = np.concatenate(
        [np.tile(rng.choice([0, 1e-9, 1e-3, 0.5], 5), (60, 1)) for _ in "12345"]
    )
    whole = {
        f.key for f in diagnose(make_trace(grads, loss, ratio=ratio)).findings
    }
    for stop in (20, 60, 110, 155, 200, 260):
        part = make_trace(grads[:stop], loss[:stop], ratio=ratio[:stop])
        assert {f.key for f in diagnose(part).findings} <= whole


def test_a_thinned_trace_keeps_what_was_found():
    trace = make_trace(steady(SICK), FLAT, capacity_bytes=1)
    found = diagnose(trace).findings
    trace.remember(found)
    for start in range(200, 40_000, 100):
        steps = np.arange(start, start + 100)
        trace.append(steps, np.ones((100, 7)), extra={"loss": np.ones(100)})
    assert trace.thinned
    assert [f.key for f in diagnose(trace).findings] == [f.key for f in found]
    assert 0 in trace.steps
    assert found[0].last_step in trace.steps


def test_a_runaway_that_recovers_is_exploding():
    trace = Trace(["a", "b"], ["a/kernel", "b/kernel"], [0, 1])
    norms = np.ones((40, 2))
    norms[7], norms[8] = 1e5, 1e11
    trace.append(np.arange(40), norms)
    finding = diagnose(trace).findings[0]
    assert (finding.rule, finding.first_step) == ("exploding_gradient", 6)


def test_one_corrupted_batch_is_no_runaway():
    trace = Trace(["a", "b"], ["a/kernel", "b/kernel"], [0, 1])
    norms = np.ones((40, 2))
    norms[7] = 1e9
    trace.append(np.arange(40), norms)
    assert diagnose(trace).findings == []


def thrown_back(after=60, norm=80.0, back=None):
    """A run that learns from 1.1 to 0.4, and a burst at step 200.

    Args:
        after: Int. Records since.
        norm: Float. Gradient norm at the burst, beside 0.5 before.
        back: Float. Loss to which it falls within 30 steps, None if it stays
            at 1.08.
    """
    rng = np.random.default_rng(0)
    falls = np.linspace(1.1, 0.4, 200)
    stays = np.full(after, 1.08)
    if back is not None:
        stays = np.maximum(back, 1.08 - (1.08 - back) * np.arange(after) / 30)
    loss = np.append(falls, stays) * np.exp(0.05 * rng.normal(size=200 + after))
    grads = steady([0.3, 0.4], 200 + after)
    loss[200], grads[200] = 7.0, [0.8 * norm, 0.6 * norm]
    return make_trace(grads, loss)


def test_what_one_burst_took_away_for_good_is_exploding():
    trace = thrown_back()
    finding = diagnose(trace).findings[0]
    assert (finding.rule, finding.severity) == (
        "exploding_gradient",
        "critical",
    )
    assert (finding.first_step, finding.evidence["kind"]) == (200, "lost")
    assert finding.layers == ["dense_0", "dense_1"]
    usual = np.median(np.hypot(*steady([0.3, 0.4], 260)[168:200].T))
    assert finding.evidence["growth"] == pytest.approx(80.0 / usual, rel=1e-3)
    # No record that was not needed.
    assert finding.evidence["window"]["last_step"] == 241


@pytest.mark.parametrize(
    "how",
    [
        {"back": 0.4},  # it recovers
        {"back": 0.7, "after": 100},  # half of it, and stays there
        {"after": 10},  # too late to say
        {"norm": 20.0},  # the gradient is no burst
    ],
)
def test_a_burst_that_took_nothing_away_is_not_exploding(how):
    assert "exploding_gradient" not in ids(thrown_back(**how))


@pytest.mark.parametrize(
    ("moved", "words"),
    [(1.1, "110 % of their size"), (40.0, "40 times their size"), (0.02, "")],
)
def test_nan_after_a_step_that_overturned_the_weights_says_so(moved, words):
    grads = [[17.0, 6.0], [77.0, 94.0], [np.nan, np.nan], [np.nan, np.nan]]
    ratio = [[0.08, 0.09], [moved, moved], [np.nan, np.nan], [np.nan, np.nan]]
    trace = make_trace(grads, [3.1, 12.2, np.nan, np.nan], ratio=ratio)
    (finding,) = [
        f for f in diagnose(trace).ranked if f.rule == "nonfinite_gradient"
    ]
    assert ("The step before" in finding.message) == bool(words)
    assert words in finding.message
    rates = ["Lower the learning rate" in r.title for r in finding.remedies]
    assert any(rates) == bool(words)
