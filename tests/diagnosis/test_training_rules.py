"""Rules on activations, data and the course of the loss, on made-up traces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_gradguard import Trace
from keras_gradguard import diagnose
from keras_gradguard.trace import ACTIVATION_SERIES
from keras_gradguard.trace import DATA_SERIES

pytestmark = pytest.mark.pure

SITES = ("dense_0", "dense_1", "dense_2")
FLAT = np.full(400, 0.7)
FALLING = np.geomspace(0.7, 0.05, 400)
GRADS = np.ones((400, 3))


def run(
    loss=FLAT,
    grads=GRADS,
    *,
    ratio=1e-3,
    activations=None,
    data=None,
    weights=None,
    epochs=4,
    logs=None,
    **meta,
):
    """Build the trace of a classifier of three dense layers of width 16.

    Args:
        loss: (T,) loss of each batch.
        grads: (T, 3) gradient norms.
        ratio: Update ratio, a number or (T,).
        activations: Dict of name to (K, 3) or a number.
        data: Dict of name to (K,) or a number.
        weights: Weight norms at the start, of the three kernels.
        epochs: Epochs planned.
        logs: Dict of name to (epochs,).
        **meta: More of `Trace.meta`.
    """
    total = len(loss)
    weights = np.array([4.0, 4.0, 4.0] if weights is None else weights)
    info = {
        site: {
            "class": "Dense",
            "activation": "relu",
            "shapes": {"kernel": [16, 16]},
        }
        for site in SITES
    }
    sites = {
        "dense_0": {"activation": "relu", "can_die": True, "saturates": False},
        "dense_1": {"activation": "tanh", "can_die": False, "saturates": True},
        "dense_2": {"activation": "softmax", "can_die": False},
    }
    output = {
        "layer": "dense_2",
        "kind": "Dense",
        "units": 16,
        "activation": "softmax",
        "loss": "categorical_crossentropy",
    }
    trace = Trace(
        SITES,
        [f"{site}/kernel" for site in SITES],
        range(3),
        sizes=[256] * 3,
        has_gradient=np.ones(3, bool),
        meta={
            "layer_info": info,
            "sites": sites,
            "outputs": [output],
            "epochs_planned": epochs,
            "steps_per_epoch": 100,
            "data": {"target_shape": [16], "output_shape": [16]},
            **meta,
        },
    )
    steps = np.arange(total)
    trace.append(steps, grads, extra={"loss": np.asarray(loss)})
    change = np.broadcast_to(ratio, (total,))
    for step in [0, 1, 2, 4, 16, *range(64, total, 64)]:
        if step >= total:
            break
        trace.append_updates([step], [weights], [weights * change[step]])
        at = len(trace.activation_steps)
        usual = {
            "mean": 0.2,
            "std": 0.5,
            "dead_fraction": 0.2,
            "saturated_fraction": 0.1,
            "inactive_fraction": 0.2,
        }
        batch = {
            "samples": 32,
            "input_mean": 0.0,
            "input_std": 1.0,
            "target_mean": 1 / 16,
            "target_std": 0.24,
            "target_min": 0.0,
            "target_max": 1.0,
            "target_fraction": 0.0,
            "target_row_sum": 0.0,
            "output_mean": 1 / 16,
            "output_spread": 0.05,
            "output_correlation": 0.05,
        }
        trace.append_activations(
            step,
            SITES,
            {
                k: np.broadcast_to(np.asarray(v)[at] if np.ndim(v) else v, 3)
                for k, v in {**usual, **(activations or {})}.items()
            },
            {
                k: float(np.asarray(v)[at] if np.ndim(v) else v)
                for k, v in {**batch, **(data or {})}.items()
            },
        )
    for epoch in range(total // 100):
        shown = {k: v[epoch] for k, v in (logs or {}).items()}
        trace.append_epoch(epoch, 100 * epoch + 99, shown)
    return trace


def ids(trace):
    return [finding.rule for finding in diagnose(trace).ranked]


LEARNT = {"output_correlation": 0.9, "output_spread": 0.2}
DEAD = {"dead_fraction": [[1.0, np.nan, np.nan]] * 13}
MOST = {"dead_fraction": [[0.8, 0.8, np.nan]] * 13}
MOST |= {"inactive_fraction": MOST["dead_fraction"]}
RELU = {"activation": "relu", "can_die": True, "saturates": False}
TWO_RELUS = {"dense_0": RELU, "dense_1": RELU, "dense_2": {"can_die": False}}
FLAT_ENDS = {"saturated_fraction": [[np.nan, 0.95, np.nan]] * 13}
SHORT = {"epochs": 40}


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e4])
def test_a_layer_of_dead_units(factor):
    trace = run(FLAT * factor, GRADS * factor, activations=DEAD)
    finding = diagnose(trace).ranked[0]
    assert finding.rule == "dead_relu"
    assert finding.severity == "critical"
    assert finding.layers == ["dense_0"]
    # Two batches of 32 are wanted before a unit counts as dead; it was so in
    # the first of them.
    assert finding.first_step == 0
    assert finding.evidence["window"]["last_step"] <= 8
    assert "leaky" in finding.remedies[0].code
    # Of two layers most units do.
    trace = run(FLAT * factor, activations=MOST, sites=TWO_RELUS, **SHORT)
    assert ids(trace) == ["dead_relu"]


def test_relus_that_no_signal_reaches_are_cut_off_and_not_dead():
    # What goes into the second layer is multiplied by 0.
    grads = np.tile([0.0, 0.0, 0.1], (len(FLAT), 1))
    closed = {"dead_fraction": [[0.2, 1.0, np.nan]] * 13}
    closed |= {"inactive_fraction": closed["dead_fraction"]}
    nothing = {"input_std": [[0.5, 0.0, np.nan]] * 13}
    how = {"sites": TWO_RELUS}
    report = diagnose(
        run(FLAT, grads, activations={**closed, **nothing}, **how)
    )
    assert report.ranked[0].evidence["kind"] == "cut_off"
    assert report.ranked[0].layers == ["dense_0", "dense_1"]
    assert report.ranked[1].rule == "dead_relu"
    # A signal comes, and all of it lies below 0.
    below = {"input_std": [[0.5, 0.7, np.nan]] * 13}
    lost = run(FLAT, grads, activations={**closed, **below}, **how)
    assert ids(lost)[0] == "dead_relu"


@pytest.mark.parametrize(("row", "first"), [(1, 0), (3, 0), (4, 16), (6, 128)])
def test_units_that_die_within_four_steps_were_about_to_at_the_start(
    row, first
):
    steps = [0, 1, 2, 4, 16, 64, 128]
    dead = [[1.0 if at >= row else 0.4, np.nan, np.nan] for at in range(13)]
    activations = {"dead_fraction": dead, "inactive_fraction": dead}
    report = diagnose(run(activations=activations))
    (finding,) = [f for f in report.findings if f.rule == "dead_relu"]
    assert finding.first_step == first
    assert finding.evidence["window"]["first_step"] == steps[row]


def test_of_dead_and_saturated_layers_the_first_to_be_so_leads():
    later = [[1.0 if at > 3 else 0.1, np.nan, np.nan] for at in range(13)]
    flat = {"saturated_fraction": [[np.nan, 1.0, np.nan]] * 13}
    report = diagnose(run(activations={"dead_fraction": later, **flat}))
    told = [(f.rule, f.cause) for f in report.ranked]
    assert told[0] == ("saturated_activation", None)
    assert told[1] == ("dead_relu", "saturated_activation")
    assert ids(run(activations={**DEAD, **flat}))[0] == "dead_relu"


def test_dead_units_of_healthy_layers_are_no_finding():
    assert ids(run(FALLING, activations=MOST, data=LEARNT)) == []
    # A narrow net with one such layer only learns late.
    assert ids(run(FLAT, activations=MOST, **SHORT)) == []
    half = {"dead_fraction": [[0.6, np.nan, np.nan]] * 13}
    assert ids(run(activations=half, **SHORT)) == []
    # One sample leaves most units at zero.
    alone = {"inactive_fraction": [[0.9, np.nan, np.nan]] * 13}
    assert ids(run(activations=alone, data={"samples": 1}, **SHORT)) == []


def test_a_dead_layer_that_the_run_passes_by_is_a_warning():
    (finding,) = diagnose(run(FALLING, activations=DEAD, data=LEARNT)).findings
    assert finding.severity == "warning"


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_saturation_counts_where_nothing_is_learnt(factor):
    trace = run(FLAT * factor, activations=FLAT_ENDS, **SHORT)
    (finding,) = diagnose(trace).findings
    assert finding.rule == "saturated_activation"
    assert finding.layers == ["dense_1"]
    assert "flat ends of tanh" in finding.message
    assert ids(run(FALLING, activations=FLAT_ENDS, data=LEARNT)) == []
    assert ids(run(activations=FLAT_ENDS, data=LEARNT, **SHORT)) == []


def test_softmax_over_one_unit_is_told_at_once():
    output = {"units": 1, "activation": "softmax", "layer": "dense_2"}
    output |= {"loss": "binary_crossentropy"}
    (finding,) = diagnose(
        run(FALLING[:20], GRADS[:20], outputs=[output])
    ).findings
    assert finding.rule == "output_mismatch"
    assert finding.first_step == 0
    # The loss falls all the same, which is the trap.
    assert ids(run(FALLING, outputs=[output])) == ["output_mismatch"]


def test_an_odd_output_that_learns_is_left_alone():
    output = {"units": 16, "activation": "relu", "layer": "dense_2"}
    output |= {"loss": "categorical_crossentropy"}
    assert ids(run(outputs=[output], **SHORT)) == ["output_mismatch"]
    assert ids(run(FALLING, outputs=[output], data=LEARNT)) == []


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_large_inputs_where_nothing_is_learnt(factor):
    large = {"input_mean": 5000.0, "input_std": 3000.0}
    loss = FLAT * factor
    found = diagnose(run(loss, data=large, **SHORT)).findings
    assert [finding.rule for finding in found] == ["unscaled_data"]
    assert ids(run(FALLING, data={**large, **LEARNT})) == []


@pytest.mark.parametrize(
    ("weights", "kind"),
    [([0, 0, 4], "constant"), ([0.05] * 3, "narrow"), ([400, 4, 4], "wide")],
)
def test_weights_that_no_training_should_start_from(weights, kind):
    weights = np.array(weights, float)
    (finding,) = diagnose(run(weights=weights, **SHORT)).findings
    assert finding.rule == "poor_initialization"
    assert finding.evidence["kind"] == kind
    assert finding.layers[0] == "dense_0"
    assert ids(run(FALLING, weights=weights, data=LEARNT)) == []


def test_usual_weights_are_no_finding():
    assert ids(run(weights=[2.5, 5.6, 4.0], **SHORT)) == []


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e4])
def test_steps_that_throw_the_loss(factor):
    loss = np.concatenate([[0.7], np.full(399, 3.0)]) * factor
    ratio = np.where(np.arange(400) < 8, 0.3, 0.02)
    found = diagnose(run(loss, ratio=ratio, **SHORT)).ranked
    # The steps, and what they did to the loss.
    assert [f.rule for f in found] == ["update_ratio", "oscillating_loss"]
    assert found[0].evidence["kind"] == "first_steps"
    # A start that is soon made good is none.
    loss = np.concatenate([[0.7], np.full(20, 3.0), FALLING[21:]]) * factor
    assert ids(run(loss, ratio=ratio, data=LEARNT)) == []


def test_a_loss_that_swings_from_epoch_to_epoch():
    epochs = np.where(np.arange(40) % 2, 0.8, 0.6)
    loss = np.repeat(epochs, 20)
    grads = np.ones((800, 3))
    meta = {"steps_per_epoch": 20, "epochs": 400}
    assert ids(run(loss, grads, **meta)) == ["oscillating_loss"]
    assert ids(run(loss, grads, data=LEARNT, **meta)) == []
    noise = np.random.default_rng(0).normal(0.7, 0.1, 800)
    assert ids(run(noise, grads, **meta)) == []


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e4])
def test_a_loss_that_stays_where_it_began(factor):
    loss = np.full(1000, 0.7) * factor
    grads = np.ones((1000, 3))
    short = {"epochs": 10, "ratio": 2e-4}
    (finding,) = diagnose(run(loss, grads, **short)).findings
    assert finding.rule == "loss_plateau"
    assert 500 <= finding.evidence["window"]["last_step"] < 600
    # Deep tanh nets take a quarter of the time before they start.
    assert ids(run(loss[:400], grads[:400], **short)) == []
    slow = 0.7 * factor * (1 - np.linspace(0, 0.02, 1000))
    assert ids(run(slow, grads, **short)) == ["slow_convergence"]


def test_outputs_that_are_the_same_for_every_input_are_told_soon():
    same = {"output_spread": 1e-9, "output_correlation": 0.0}
    (finding,) = diagnose(run(data=same, epochs=20)).findings
    assert finding.rule == "loss_plateau"
    assert finding.evidence["window"]["last_step"] <= 128


def test_steps_too_small_for_the_planned_time():
    (finding,) = diagnose(run(ratio=1e-5, epochs=10)).findings
    assert finding.rule == "update_ratio"
    assert finding.evidence["reach"] == pytest.approx(0.01)
    assert finding.evidence["window"]["last_step"] <= 64
    assert "Raise the learning rate" in finding.remedies[0].title
    assert ids(run(ratio=1e-5, data=LEARNT, epochs=10)) == []
    warm_up = np.minimum(1e-3, 1e-6 * 1.2 ** np.arange(400.0))
    assert ids(run(ratio=warm_up, epochs=10)) == []


def test_momentum_is_no_warm_up():
    grown = 1e-5 * (1 - 0.9 ** np.arange(1, 401))
    (finding,) = diagnose(run(ratio=grown, epochs=10)).findings
    assert finding.rule == "update_ratio"
    assert finding.evidence["window"]["last_step"] <= 64


def test_a_loss_that_falls_no_lower_than_a_constant_is_not_learnt():
    """Targets of variance 0.06 and a loss that comes down from a million."""
    regression = {"loss": "mse", "activation": "linear", "layer": "dense_2"}
    large = {"input_mean": 5e4, "input_std": 3e4, "output_spread": 0.1}
    loss = np.concatenate([np.geomspace(1e6, 1.0, 100), np.ones(300)])
    trace = run(loss, data=large, outputs=[regression], **SHORT)
    assert ids(trace) == ["unscaled_data"]
    # Falling still, it is far off after a hundred steps.
    loss = np.geomspace(1e6, 10, 400)
    trace = run(loss, data=large, outputs=[regression], **SHORT)
    assert ids(trace) == ["unscaled_data"]
    # What follows its targets learns, whatever a regularizer adds to the loss.
    follows = {**large, "output_correlation": 0.7}
    assert ids(run(loss, data=follows, outputs=[regression], **SHORT)) == []
    # So does what lies below a constant, as far as the rule can tell.
    loss = np.concatenate([np.geomspace(1e6, 0.03, 100), np.full(300, 0.03)])
    assert ids(run(loss, data=large, outputs=[regression], **SHORT)) == []
    # Weights of the user's own make losses incomparable.
    loss = np.concatenate([np.geomspace(1e6, 1.0, 100), np.ones(300)])
    for weighted in (
        {"loss_weight": 100.0},
        {"data": {"weighted": True, "output_shape": [16]}},
    ):
        trace = run(loss, outputs=[regression], **SHORT)
        trace.meta |= weighted
        assert ids(trace) == []


def test_a_mismatch_that_stalls_half_way_is_told():
    output = {"units": 16, "activation": "relu", "layer": "dense_2"}
    output |= {"loss": "categorical_crossentropy"}
    loss = np.concatenate([np.geomspace(9.0, 1.5, 150), np.full(250, 1.5)])
    some = {"output_correlation": 0.5}
    trace = run(loss, data=some, outputs=[output], **SHORT)
    assert ids(trace) == ["output_mismatch"]
    assert ids(run(loss[:150], GRADS[:150], data=some, outputs=[output])) == []


def test_a_score_shows_that_a_run_learns():
    logs = {"accuracy": [0.8, 0.9, 0.9, 0.9]}
    late = run(activations=FLAT_ENDS, logs=logs, **SHORT)
    assert ids(late) == ["saturated_activation"]  # before any epoch was over
    grads = np.ones((800, 3))
    trace = run(np.full(800, 0.7), grads, epochs=8, logs={"auc": [0.97] * 8})
    assert ids(trace) == []


def test_a_root_cause_is_told_once():
    grads = GRADS * np.array([1e-6, 1e-5, 1.0])
    trace = run(FLAT, grads, activations=DEAD, weights=[0.05] * 3, **SHORT)
    report = diagnose(trace)
    assert report.ranked[0].rule == "poor_initialization"
    assert [f.rule for f in report.ranked[1:]] == [
        "dead_relu",
        "vanishing_gradient",
    ]
    assert {f.cause for f in report.ranked[1:]} == {"poor_initialization"}
    assert report.ranked[0].cause is None
    steps = [finding.first_step for finding in report.findings]
    assert steps == sorted(steps)
    text = str(report)
    assert "follows from poor_initialization" in text
    assert text.index("poor_init") < text.index("dead_relu")
    back = type(report.findings[0]).from_dict(report.ranked[1].to_dict())
    assert back.cause == "poor_initialization"
    assert report.to_dict()["findings"][0]["cause"] is None


def test_a_signal_that_overflows_at_the_first_step():
    grads = np.full((50, 3), np.nan)
    blown = {"std": [[10.0, 1e20, np.inf]] * 13}
    loss = np.full(50, np.nan)
    report = diagnose(run(loss, grads, activations=blown))
    assert report.ranked[0].rule == "exploding_gradient"
    assert report.ranked[0].layers[0] == "dense_1"
    assert report.ranked[1].rule == "nonfinite_gradient"
    assert report.ranked[1].cause == "exploding_gradient"


def test_nan_that_nothing_large_came_before_is_no_growth():
    grads = np.tile([1.0, np.nan, 1.0], (50, 1))
    gone = {
        "std": [[0.5, np.nan, np.nan]] * 13,
        "mean": [[0.2, np.nan, np.nan]] * 13,
    }
    found = diagnose(run(np.full(50, np.nan), grads, activations=gone)).ranked
    assert [f.rule for f in found] == ["nonfinite_gradient"]
    assert found[0].layers == ["dense_1"]


def test_a_runaway_late_in_the_run():
    grads = np.ones((800, 3))
    grads[600:602] = [[1e4] * 3, [1e9] * 3]
    trace = run(np.geomspace(0.7, 0.1, 800), grads, epochs=8, data=LEARNT)
    (finding,) = diagnose(trace).findings
    assert finding.rule == "exploding_gradient"
    assert finding.first_step == 599
    few = {**LEARNT, "samples": 1}
    loss = np.geomspace(0.7, 0.1, 800)
    assert ids(run(loss, grads, epochs=8, data=few)) == []


def test_live_equals_saved_and_grows_steadily(tmp_path):
    whole = run(activations=DEAD, weights=[0.05] * 3, epochs=4)
    whole.save(tmp_path / "trace.npz")
    again = diagnose(Trace.load(tmp_path / "trace.npz")).to_dict()
    assert again["findings"] == diagnose(whole).to_dict()["findings"]
    for length in (60, 130, 260):
        part = run(
            FLAT[:length], GRADS[:length], activations=DEAD, weights=[0.05] * 3
        )
        for finding in diagnose(part).findings:
            keys = [f.key for f in diagnose(whole).findings]
            assert finding.key in keys


ODD = st.sampled_from(
    [0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, np.inf, -np.inf, np.nan]
)


@pytest.mark.filterwarnings("error")
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_trace_makes_a_rule_raise(data):
    total = data.draw(st.sampled_from([0, 1, 2, 9, 60, 150]))
    layers = data.draw(st.sampled_from([1, 2, 4]))
    names = [f"layer_{i}" for i in range(layers)]
    meta = data.draw(
        st.sampled_from(
            [
                {},
                {"outputs": [], "data": None, "sites": 3},
                {"outputs": [{"units": None, "loss": "mse"}], "data": {}},
                {
                    "outputs": [{"units": 1, "loss": "mse"}],
                    "data": {"target_shape": [1], "output_shape": [1]},
                    "epochs_planned": 3,
                    "steps_per_epoch": 50,
                    "optimizer": {"name": "SGD", "learning_rate": 0.1},
                    "sites": {
                        n: {"can_die": True, "saturates": True} for n in names
                    },
                    "layer_info": {
                        n: {"class": "Dense", "shapes": {"kernel": [3, 3]}}
                        for n in names
                    },
                },
                {"epochs_planned": float("nan"), "steps_per_epoch": -1},
            ]
        )
    )
    if meta.get("epochs_planned") == 3 and data.draw(st.booleans()):
        numbers = ("score", "error", "chance", "entropy", "absolute")
        known = {name: data.draw(ODD) for name in numbers}
        known["rows"] = data.draw(st.sampled_from([0, 2, 300]))
        known["kind"] = data.draw(st.sampled_from(["classes", "numbers"]))
        meta = {**meta, "reference": known}
    variables = [f"{name}/kernel" for name in names]
    trace = Trace(names, variables, range(layers), meta=meta)
    if total:
        value = data.draw(ODD)
        grads = np.full((total, layers), value)
        grads[total // 2 :] = data.draw(ODD)
        loss = np.full(total, data.draw(ODD))
        loss[total // 3 :] = data.draw(ODD)
        extra = {"loss": loss} if data.draw(st.booleans()) else None
        with np.errstate(all="ignore"):
            trace.append(np.arange(total), grads, extra=extra)
    for step in range(0, total + 20, 7):
        sites = names if data.draw(st.booleans()) or len(trace.sites) else None
        given_names = data.draw(st.sets(st.sampled_from(ACTIVATION_SERIES)))
        seen = {k: np.full(layers, data.draw(ODD)) for k in given_names}
        some = data.draw(st.sets(st.sampled_from(DATA_SERIES)))
        with np.errstate(all="ignore"):
            trace.append_activations(
                step,
                sites,
                seen if sites else None,
                {k: data.draw(ODD) for k in some},
            )
            trace.append_updates(
                [step],
                np.full((1, layers), data.draw(ODD)),
                np.full((1, layers), data.draw(ODD)),
            )
    for epoch in range(data.draw(st.integers(0, 3))):
        logs = {"loss": data.draw(ODD), "accuracy": data.draw(ODD)}
        trace.append_epoch(epoch, 50 * epoch + 49, logs)
    report = diagnose(trace)
    assert str(report)
    report.to_dict()


def test_parts_of_short_epochs_differ_by_the_batches_in_them():
    """Epochs of 12 batches that are alike, each in an order of its own."""
    rng = np.random.default_rng(3)
    batches = 0.5 * (1 + 0.4 * rng.normal(size=12))
    loss = np.concatenate([rng.permutation(batches) for _ in range(60)])
    grads = np.ones((720, 3))
    meta = {"steps_per_epoch": 12, "epochs": 60}
    assert "oscillating_loss" not in ids(run(loss, grads, **meta))
    # Epochs that differ are told all the same.
    swing = np.repeat(np.where(np.arange(60) % 2, 1.5, 0.7), 12)
    assert "oscillating_loss" in ids(run(loss * swing, grads, **meta))


MOVED = {"ratio": 2e-3, "epochs": 4}
STILL = {"output_spread": 1e-4}


def test_outputs_that_have_nothing_to_do_with_the_targets():
    (finding,) = diagnose(run(**MOVED)).ranked
    assert finding.evidence["kind"] == "unrelated"
    assert "nothing to do with the targets" in finding.message
    assert "moved by" in finding.message
    # Small steps, outputs that are all alike, or a run that learns late.
    assert "output_mismatch" not in ids(run(ratio=2e-4, epochs=4))
    assert "output_mismatch" not in ids(run(data=STILL, **MOVED))
    late = np.repeat([0.05, 0.4], [7, 4])
    data = {"output_correlation": late}
    assert ids(run(FALLING, data=data, **MOVED)) == []


@pytest.mark.parametrize(("units", "told"), [(1, True), (16, False)])
def test_of_many_numbers_a_correlation_says_little(units, told):
    output = {"loss": "mse", "activation": "linear", "layer": "dense_2"}
    trace = run(
        np.full(400, 0.06),
        data={"output_spread": 0.1},
        outputs=[{**output, "units": units}],
        **MOVED,
    )
    kinds = [f.evidence.get("kind") for f in diagnose(trace).findings]
    assert ("unrelated" in kinds) == told


def noisy(loss, follows):
    """Numbers of which a quarter can be told, and outputs that start far."""
    step = np.array([0, 1, 2, 4, 16, *range(64, len(loss), 64)])
    output = {"loss": "mse", "activation": "linear", "layer": "dense_2"}
    return run(
        loss,
        np.ones((len(loss), 3)),
        ratio=2e-3,
        epochs=12,
        outputs=[{**output, "units": 1}],
        data={
            "target_mean": 0.8,
            "target_std": 0.12,
            "target_min": 0.4,
            "target_max": 1.2,
            "output_mean": 0.8,
            "output_spread": 0.12 * (0.6 + 3 * np.exp(-step / 200)),
            "output_correlation": np.interp(step, [0, 500, 1200], follows),
        },
    )


def test_outputs_that_are_not_down_to_the_targets_yet():
    """Noisy targets, and outputs that spread four times as much at first."""
    steps = np.arange(1200)
    falls = 0.0144 * (0.75 + 9 * np.exp(-steps / 220))
    report = diagnose(noisy(falls, [0.05, 0.1, 0.5]))
    assert "output_mismatch" not in [f.rule for f in report.ranked]
    # Nor is it while they come down.
    half = diagnose(noisy(falls[:500], [0.05, 0.1, 0.5]))
    assert "output_mismatch" not in [f.rule for f in half.ranked]
    # Once they are down, outputs that follow nothing are told.
    ends = 0.0144 * (1 + 9 * np.exp(-steps / 100))
    (finding,) = diagnose(noisy(ends, [0.05, 0.05, 0.05])).ranked[:1]
    assert finding.evidence["kind"] == "unrelated"


def test_outputs_that_have_come_to_follow_resolve_it():
    """A plateau at a constant's loss, and then what the noise lets be told."""
    loss = np.interp(
        np.arange(1200), [0, 600, 800, 1200], [1.02, 1.0, 0.75, 0.7]
    )
    report = diagnose(noisy(0.0144 * loss, [0.02, 0.05, 0.6]))
    kinds = [f.evidence.get("kind") for f in report.findings]
    assert "unrelated" not in kinds


def test_inputs_that_are_all_one_number():
    """As of pixels that were divided as whole numbers."""
    zeros = {f"input_{name}": 0.0 for name in ("mean", "std", "min", "max")}
    zeros |= {"output_spread": 0.0, "output_correlation": np.nan}
    (finding,) = diagnose(run(data=zeros, **SHORT)).ranked
    assert finding.evidence["kind"] == "constant"
    assert "All inputs are 0." in finding.message
    assert "x // 255" in finding.message


@pytest.mark.parametrize("far", [1.0, 30.0])
def test_targets_so_tiny_that_the_loss_falls_for_nothing(far):
    """Outputs come down to them, by a loss a thousand times lower."""
    tiny = {"target_std": 1e-3, "target_mean": 1e-4, "output_spread": 0.03}
    loss = np.geomspace(0.2, 1e-6 * far, 400)
    output = {"loss": "mse", "activation": "linear", "layer": "dense_2"}
    found = ids(run(loss, data=tiny, outputs=[output], **SHORT))
    assert found == ["unscaled_data"]
    follows = {**tiny, "output_spread": 1e-3, "output_correlation": 0.95}
    loss = np.geomspace(0.2, 1e-8, 400)
    assert ids(run(loss, data=follows, outputs=[output], **SHORT)) == []


def test_normalization_over_a_batch_of_one_row():
    norm = {"class": "BatchNormalization", "shapes": {"gamma": [16]}}
    dense = {"class": "Dense", "shapes": {"kernel": [16, 16]}}
    info = {"dense_0": dense, "dense_1": norm, "dense_2": dense}
    grads = np.ones((400, 3)) * [0, 0, 1]
    one = {"samples": 1}
    finding = diagnose(run(grads=grads, data=one, layer_info=info)).ranked[0]
    assert finding.evidence["kind"] == "one_row"
    assert finding.layers == ["dense_1"]
    assert "batch_size=32" in finding.remedies[0].code
    # A convolution in front has more values than rows.
    alive = np.ones((400, 3))
    assert "frozen_layer" not in ids(
        run(FALLING, alive, data={**LEARNT, **one}, layer_info=info)
    )
    plain = diagnose(run(grads=grads, layer_info=info)).findings
    assert "one_row" not in [f.evidence.get("kind") for f in plain]


DROPOUT = {"class": "Dropout", "name": "drop", "rate": 0.95}


def test_dropout_that_leaves_next_to_nothing_is_named():
    """Units that seem dead follow from it."""
    (finding, *rest) = diagnose(
        run(activations=DEAD, noise={"net/drop": DROPOUT}, epochs=10)
    ).ranked
    assert finding.evidence["kind"] == "dropout"
    assert finding.message.startswith("net/drop: dropout throws away 95 %")
    assert "Dropout(0.3, name=" in finding.remedies[0].code
    assert {f.cause for f in rest} <= {"update_ratio"}
    usual = {"net/drop": {**DROPOUT, "rate": 0.5}}
    assert "update_ratio" not in ids(run(noise=usual, **SHORT))
    learns = {"data": LEARNT, "noise": {"net/drop": DROPOUT}}
    assert ids(run(FALLING, **learns, **SHORT)) == []


def test_frozen_layers_that_give_the_same_for_every_input():
    dense = {"class": "Dense", "shapes": {"kernel": [16, 16]}}
    frozen = {**dense, "trainable": False}
    info = {"base": frozen, "dense_0": dense, "dense_1": dense}
    same = {"input_mean": 0.48, "input_std": 0.1, "feature_scale_max": 1e-4}
    same |= {"feature_scale_min": 1e-6, "input_min": 0.1, "input_max": 0.9}
    places = {"input_layer": "dense_0", "target_shape": [16]}
    trace = run(data=same, layer_info=info, **SHORT)
    trace.meta["data"] = {**places, "output_shape": [16]}
    finding = diagnose(trace).ranked[0]
    assert finding.evidence["kind"] == "features"
    assert finding.layers == ["base"]
    assert "model.trainable = True" in finding.remedies[0].code
    trace = run(data=same, layer_info={**info, "base": dense}, **SHORT)
    trace.meta["data"] = {**places, "output_shape": [16]}
    assert diagnose(trace).ranked[0].evidence["kind"] == "offset"


def test_the_rate_of_each_side_of_a_gan_is_judged():
    fine, wild = {"name": "Adam"}, {"name": "Adam"}
    fine["learning_rate"], wild["learning_rate"] = 1e-4, 1.0
    sides = {"d_optimizer": wild, "g_optimizer": fine}
    (finding,) = diagnose(run(FALLING, others=sides)).findings
    assert finding.message.startswith("d_optimizer: The learning rate is 1:")
    assert finding.remedies[0].code == "model.d_optimizer.learning_rate = 0.001"
    assert ids(run(FALLING, others={"g_optimizer": fine})) == []


def test_noise_is_asked_for_where_nothing_comes_through():
    noisy = {"class": "GaussianNoise", "name": "noise", "rate": None}
    light = {"class": "Dropout", "name": "drop", "rate": 0.3}
    places = {"net/noise": noisy, "net/drop": light}
    (finding,) = diagnose(run(noise=places, **MOVED)).ranked
    assert "Does the noise of net/noise drown them?" in finding.message
    assert finding.remedies[0].arguments == {"layers": ["net/noise"]}
    (finding,) = diagnose(run(noise={"net/drop": light}, **MOVED)).ranked
    assert finding.remedies[0].title == "Look at rows of x beside those of y"
