"""What `meta` tells is read once, and what does not fit is left out."""

import numpy as np
import pytest

from keras_gradguard import Trace
from keras_gradguard.trace.facts import OptimizerFacts
from keras_gradguard.trace.facts import Output
from keras_gradguard.trace.run_info import RunInfo

pytestmark = pytest.mark.pure

META = {
    "backend": "jax",
    "optimizer": {
        "class": "AutoClip",
        "name": "SGD",
        "learning_rate": 0.5,
        "momentum": 0.9,
        "clipped": True,
    },
    "learning_rate": 0.25,
    "loss_weight": 2,
    "outputs": [{"layer": "net/out", "units": 3, "activation": "softmax"}],
    "epochs_planned": 4,
    "steps_per_epoch": 7,
    "data": {"output_shape": [None, 3], "weighted": True, "later": 1},
    "layer_info": {"net/out": {"class": "Dense"}},
    "sites": {"net/out": {"can_die": True}},
}


def test_what_is_there_is_read():
    run = RunInfo.of(META)
    assert run.backend == "jax"
    assert run.optimizer == OptimizerFacts("SGD", 0.5, 0.9, True)
    # The run's own rate, though the configuration names another one.
    assert run.learning_rate == 0.25
    assert run.loss_weight == 2
    assert run.output == Output("net/out", units=3, activation="softmax")
    assert (run.epochs_planned, run.steps_per_epoch) == (4, 7)
    assert run.data.output_width == 3
    assert run.data.weighted
    assert run.info("net/out") == {"class": "Dense"}
    assert run.site("net/out") == {"can_die": True}
    assert run.info("else") == run.site("else") == {}


def test_names_and_rates_from_older_files():
    run = RunInfo.of({"optimizer": {"class": "Adam", "learning_rate": 0.1}})
    assert (run.optimizer.name, run.learning_rate) == ("Adam", 0.1)


@pytest.mark.parametrize("wrong", [None, 5, "x", [], {}, [3], {"a": 1}, True])
@pytest.mark.parametrize("key", META)
def test_what_does_not_fit_is_left_out(key, wrong):
    trace = Trace(["net/out"], ["net/out/k"], [0], meta={**META, key: wrong})
    run = trace.run
    assert run.optimizer.learning_rate in (0.5, None)
    assert run.info("net/out") in ({"class": "Dense"}, {})
    assert run.epochs_planned in (4, 5, None)
    assert trace.epoch_of(3) is None


def test_a_loss_weight_that_is_no_number_is_not_one():
    assert RunInfo.of({}).loss_weight == 1.0
    assert RunInfo.of({"loss_weight": None}).loss_weight is None


@pytest.mark.parametrize("bad", [0, -3, float("inf")])
def test_no_plan_of_no_steps(bad):
    run = RunInfo.of({"steps_per_epoch": bad, "learning_rate": float(bad)})
    assert run.steps_per_epoch is None
    assert run.learning_rate is None


def test_what_was_read_is_kept_while_the_trace_stands_still():
    trace = Trace(["a"], ["a/k"], [0], meta=META)
    trace.append(np.arange(3), np.ones((3, 1)))
    with trace.unchanged():
        assert trace.run is trace.run
    trace.meta["backend"] = "torch"
    assert trace.run.backend == "torch"
