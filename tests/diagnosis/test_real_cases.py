"""The rules on networks that are really trained, sick and healed."""

import keras
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("recorded with plain JAX", allow_module_level=True)
pytest.importorskip("sklearn")

from keras_gradguard import diagnose
from tests.diagnosis import rule_cases
from tests.diagnosis import tape

pytestmark = pytest.mark.optimized


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["circles_sick", "moons_sick"])
def test_vanishing_is_found(name, seed):
    keras.utils.set_random_seed(seed)
    trace = tape.record(rule_cases.SICK[name][0](seed, epochs=15))
    (finding,) = diagnose(trace).findings
    assert finding.rule == "vanishing_gradient"
    assert finding.first_step == 0
    assert finding.evidence["window"]["last_step"] < 160
    paths = trace.layers.tolist()
    if name == "circles_sick":
        assert paths.index(finding.layers[0]) in (2, 3, 4)
        assert paths[0] not in finding.layers[:3]
        assert paths[-1] not in finding.layers
    else:
        assert finding.severity == "critical"
        assert finding.layers[0] == paths[0]


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_unscaled_targets_explode(seed):
    keras.utils.set_random_seed(seed)
    trace = tape.record(rule_cases.regression_sick(seed))
    rules = [finding.rule for finding in diagnose(trace).findings]
    assert rules == ["exploding_gradient", "nonfinite_gradient"]
    assert diagnose(tape.record(rule_cases.regression_healed(seed))).healthy


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "name", ["circles_healed", "moons_relu", "moons_two_sigmoid"]
)
def test_healed_twins_are_silent(name, seed):
    keras.utils.set_random_seed(seed)
    case = rule_cases.HEALTHY[name](seed, epochs=25)
    assert_silent(diagnose(tape.record(case)))


def assert_silent(report):
    """Nothing is found; a run is healthy unless its loss has hardly moved."""
    assert report.findings == []
    stands = report.not_judged == ["the loss has not moved"]
    assert report.healthy is (None if stands else True)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(rule_cases.HEALTHY))
def test_healthy_networks_are_silent(name):
    assert_silent(diagnose(tape.record(rule_cases.make(name, 7))))


@pytest.mark.parametrize("name", ["plain50", "plain50_tanh"])
def test_fifty_plain_layers(name):
    (finding,) = diagnose(tape.record(rule_cases.make(name, 7))).findings
    assert finding.rule == "vanishing_gradient"
    assert finding.severity == "critical"


def test_forgetting_over_time_does_not_show_in_weight_gradients():
    # The honest limit that VanishingGradient's notes tell.
    assert diagnose(tape.record(rule_cases.make("rnn_sick", 7))).healthy
