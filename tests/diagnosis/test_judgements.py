"""Judgements on plain numbers: what is told, and the nearest that is not."""

import dataclasses
import math

import pytest

from keras_gradguard.diagnosis.remedies.paste import written
from keras_gradguard.diagnosis.rules.output_mismatch.axes import (
    judge_configuration,
)
from keras_gradguard.diagnosis.rules.output_mismatch.pairing import (
    judge_pairing,
)
from keras_gradguard.diagnosis.rules.output_mismatch.targets import (
    judge_targets,
)
from keras_gradguard.diagnosis.rules.unscaled_data.inputs import judge_inputs
from keras_gradguard.diagnosis.rules.unscaled_data.targets import (
    judge_target_scale,
)
from keras_gradguard.diagnosis.rules.update_ratio import judge_learning_rate
from keras_gradguard.trace.facts import DataFacts
from keras_gradguard.trace.facts import OptimizerFacts
from keras_gradguard.trace.facts import Output
from keras_gradguard.trace.facts import loss_name
from keras_gradguard.trace.run_info import RunInfo

pytestmark = pytest.mark.pure


def head(activation, units, loss, from_logits=False):
    return Output("net/out", "Dense", units, activation, loss, from_logits)


def kinds(findings):
    return [finding.evidence["kind"] for finding in findings]


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        (head("softmax", 1, "binary_crossentropy"), "softmax_one_unit"),
        (
            head("softmax_over_samples", 3, "binary_crossentropy"),
            "softmax_over_samples",
        ),
        (head("softmax", 1, "mse"), "softmax_one_unit"),
        (head("softmax", 1, None), "softmax_one_unit"),
        (
            head("sigmoid", 1, "categorical_crossentropy"),
            "categorical_one_unit",
        ),
        (head("linear", 3, "CategoricalCrossentropy"), "no_probabilities"),
        (head("relu", 3, "categorical_crossentropy"), "no_probabilities"),
        (head("tanh", 1, "bce"), "no_probabilities"),
        (head("relu", 3, "categorical_crossentropy", True), "relu_logits"),
        (
            head("softmax", 3, "SparseCategoricalCrossentropy", True),
            "logits_of_probabilities",
        ),
        (head("sigmoid", 3, "categorical_crossentropy"), "sigmoid_categorical"),
        (head("softmax", 3, "binary_crossentropy"), "softmax_binary"),
        (head("linear", 1, "poisson"), "may_be_negative"),
        (
            head(
                "softmax_over_positions", 3, "sparse_categorical_crossentropy"
            ),
            "softmax_over_positions",
        ),
        (head("linear", 1, "CosineSimilarity"), "cosine_of_one"),
        (head("sigmoid", 1, "cosine_similarity"), "cosine_of_one"),
    ],
)
def test_outputs_that_do_not_fit_their_loss(output, kind):
    [finding] = judge_configuration(output)
    assert finding.rule == "output_mismatch"
    assert finding.evidence["kind"] == kind
    assert finding.layers == ["net/out"]
    assert finding.message.startswith("net/out: ")
    remedy = finding.remedies[0]
    assert remedy.arguments["layer"] == "net/out"
    # The code to paste changes what the remedy changes, and only that.
    activation, loss = (remedy.arguments[key] for key in ("activation", "loss"))
    assert activation or loss
    made = {"call": "keras.layers.Dense", "arguments": {"name": "out"}}
    run = RunInfo(outputs=(output,), layers={"net/out": {"call": made}})
    code = written(run, remedy).code
    assert ('name="out"' in code) == (activation is not None)
    assert (activation is None) or f'activation="{activation}"' in code
    assert ("loss=" in code) == (loss is not None)


@pytest.mark.parametrize(
    "output",
    [
        head("softmax", 2, "categorical_crossentropy"),
        head("softmax", 3, "sparse_categorical_crossentropy"),
        head("linear", 3, "sparse_categorical_crossentropy", True),
        head("sigmoid", 1, "binary_crossentropy"),
        head("sigmoid", 6, "binary_crossentropy"),
        head("linear", 1, "binary_crossentropy", True),
        head("linear", 1, "mse"),
        head("relu", 1, "mse"),
        head("sigmoid", 784, "mse"),
        head("softplus", 1, "poisson"),
        head("tanh", 1, "hinge"),
        head(None, 3, "categorical_crossentropy"),
        head("linear", 3, None),
        Output(),
    ],
)
def test_outputs_that_fit(output):
    assert judge_pairing(output) == []


def test_what_trains_all_the_same_says_so():
    [finding] = judge_pairing(head("sigmoid", 3, "categorical_crossentropy"))
    assert finding.evidence["trains"]
    assert finding.severity == "warning"


def targets(low, high, integer=True, columns=1, one=None, **more):
    return DataFacts(
        target_min=low,
        target_max=high,
        target_integer=integer,
        target_columns=columns,
        target_row_sum_is_one=one,
        **more,
    )


@pytest.mark.parametrize(
    ("output", "data", "kind"),
    [
        (head("sigmoid", 1, "bce"), targets(-1, 1), "signed_labels"),
        (
            head("sigmoid", 1, "bce"),
            targets(0, 9),
            "targets_outside_probabilities",
        ),
        (
            head("softmax", 3, "sparse_categorical_crossentropy"),
            targets(1, 3),
            "too_few_units",
        ),
        (
            head("softmax", 3, "sparse_categorical_crossentropy"),
            targets(0, 1, columns=3, one=True),
            "one_hot_for_sparse",
        ),
        (
            head("softmax", 3, "sparse_categorical_crossentropy"),
            targets(-2.5, 3.1, integer=False),
            "fractions_for_classes",
        ),
        (
            head("softmax", 3, "categorical_crossentropy"),
            targets(0, 2),
            "numbers_for_categorical",
        ),
        (
            head("softmax", 3, "categorical_crossentropy"),
            targets(0, 1, columns=3, one=False),
            "several_labels",
        ),
        (
            head("sigmoid", 1, "mse"),
            targets(-90, 300, integer=False),
            "targets_out_of_reach",
        ),
        (
            head("tanh", 1, "mae"),
            targets(-3, 3, integer=False),
            "targets_out_of_reach",
        ),
        (
            head("relu", 1, "mse"),
            targets(-3, 3, integer=False),
            "targets_out_of_reach",
        ),
        (head("linear", 1, "mse"), targets(0, 1, columns=4), "columns"),
        (head("linear", 8, "mse"), targets(0, 2), "columns"),
        (head("linear", 3, "mae"), targets(0, 2), "numbers_for_categorical"),
        (head("sigmoid", 10, "mse"), targets(0, 9), "numbers_for_categorical"),
    ],
)
def test_targets_that_do_not_fit(output, data, kind):
    [finding] = judge_targets(output, data)
    assert finding.rule == "output_mismatch"
    assert finding.evidence["kind"] == kind
    assert finding.remedies


@pytest.mark.parametrize(
    ("output", "data"),
    [
        (head("sigmoid", 1, "bce"), targets(0, 1)),
        (head("sigmoid", 1, "bce"), targets(0.05, 0.95, integer=False)),
        (head("softmax", 3, "sparse_categorical_crossentropy"), targets(0, 2)),
        (head("softmax", 9, "sparse_categorical_crossentropy"), targets(0, 2)),
        (
            head("softmax", 21, "sparse_categorical_crossentropy"),
            targets(0, 255),
        ),
        (
            head("softmax", 3, "sparse_categorical_crossentropy"),
            targets(-1, 2),
        ),
        (
            head("softmax", 3, "categorical_crossentropy"),
            targets(0, 1, columns=3, one=True),
        ),
        (head("sigmoid", 784, "mse"), targets(0, 1, False, 784)),
        (head("sigmoid", 1, "mse"), targets(-0.02, 1.03, integer=False)),
        (head("tanh", 1, "mse"), targets(-1, 1, integer=False)),
        (head("relu", 1, "mse"), targets(0, 500, integer=False)),
        (head("linear", 1, "mse"), targets(-1e6, 1e6, integer=False)),
        (head("linear", 1, "hinge"), targets(-1, 1)),
        (head("sigmoid", 1, "bce"), DataFacts()),
        (head("sigmoid", 1, "bce"), targets(math.nan, math.nan)),
    ],
)
def test_targets_that_fit(output, data):
    assert judge_targets(output, data) == []


def inputs(low, high, mean, std, smallest=None, largest=None):
    return DataFacts(
        input_min=low,
        input_max=high,
        input_mean=mean,
        input_std=std,
        feature_scale_min=smallest,
        feature_scale_max=largest,
    )


@pytest.mark.parametrize(
    ("data", "kind", "action"),
    [
        (inputs(0, 255, 33, 79), "pixels", "rescale_inputs"),
        (inputs(0, 1e4, 5e3, 3e3), "large", "normalize_inputs"),
        (inputs(-1e-4, 1e-4, 0, 5e-5), "small", "rescale_inputs"),
        # Bright pixels, divided by 255 twice.
        (inputs(0, 1 / 255, 2e-3, 1.2e-3), "small", "rescale_inputs"),
        (inputs(0, 90, 3, 20, 0.02, 40), "uneven", "normalize_inputs"),
        (inputs(0, 0, 0, 0), "constant", None),
    ],
)
def test_inputs_far_from_unit_scale(data, kind, action):
    [finding] = judge_inputs(data, ["net/first"])
    assert (finding.rule, finding.evidence["kind"]) == ("unscaled_data", kind)
    assert finding.remedies[0].action == action


def test_inputs_that_a_model_rescales_once_more_are_told_as_scaled_twice():
    twice = inputs(-1.01, -0.99, -1, 0.004, 0.003, 0.0042)
    (once,) = judge_inputs(twice, ["net/first"])
    assert "twice" not in once.message
    (found,) = judge_inputs(twice, ["net/first"], rescaling=["net/rescaling"])
    assert found.message.startswith("The inputs look scaled twice")
    assert found.remedies[0].arguments == {"layers": ["net/rescaling"]}


@pytest.mark.parametrize(
    "data",
    [
        inputs(0, 1, 0.13, 0.31, 0.01, 0.5),
        inputs(-12, 12, 1, 7, 2, 9),
        inputs(0, 16, 5, 6, 0.03, 6.5),
        inputs(0.1, 8, 3.5, 2, 0.4, 1.8),
        inputs(-2, 2, 0, 0.047, 0.047, 0.048),
        # Rows of 100,000 words whose squares add up to 1.
        inputs(0, 0.8, 6e-5, 3.2e-3),
        DataFacts(),
    ],
)
def test_mild_scales_are_left_alone(data):
    assert judge_inputs(data) == []


def test_large_targets_matter_where_the_step_grows_with_them():
    data = DataFacts(target_mean=0.0, target_std=200.0)
    output = head("linear", 1, "mse")
    sgd = OptimizerFacts("SGD", 0.01, 0.9)
    [finding] = judge_target_scale(output, data, sgd)
    assert finding.evidence["first_step_size"] == pytest.approx(40)
    assert [remedy.action for remedy in finding.remedies] == [
        "scale_targets",
        "set_learning_rate",
        "clip",
    ]
    for harmless in (
        dataclasses.replace(sgd, clipped=True),
        OptimizerFacts("SGD", 1e-4),
        OptimizerFacts("Adam", 1e-3),
        OptimizerFacts("SGD", None),
        None,
    ):
        assert judge_target_scale(output, data, harmless) == []
    scaled = dataclasses.replace(output, scale=200.0)
    assert judge_target_scale(scaled, data, sgd) == []
    assert judge_target_scale(
        output, DataFacts(target_mean=2e5, target_std=1e5), None
    )


@pytest.mark.parametrize(
    ("optimizer", "told"),
    [
        (OptimizerFacts("Adam", 1.0), True),
        (OptimizerFacts("Adam", 0.0), True),
        (OptimizerFacts("SGD", 1.0, 0.99), True),
        (OptimizerFacts("Adam", 0.1), False),
        (OptimizerFacts("Adam", 1e-5), False),
        (OptimizerFacts("Adagrad", 1.0), False),
        (OptimizerFacts("Adadelta", 1.0), False),
        (OptimizerFacts("SGD", 1.0, 0.9), False),
        (OptimizerFacts("Adam", None), False),
        (OptimizerFacts("MyOwn", 50.0), False),
    ],
)
def test_learning_rates(optimizer, told):
    found = judge_learning_rate(optimizer)
    assert [f.rule for f in found] == ["update_ratio"] * told


def test_names_of_losses():
    names = ["mse", "MeanSquaredError", "mean_squared_error", None]
    assert [loss_name(name) for name in names] == [
        "mean_squared_error",
        "mean_squared_error",
        "mean_squared_error",
        None,
    ]
    assert loss_name("BinaryCrossentropy") == "binary_crossentropy"
    assert loss_name("KLDivergence") == "kl_divergence"
    assert loss_name("LogCosh") == "log_cosh"
