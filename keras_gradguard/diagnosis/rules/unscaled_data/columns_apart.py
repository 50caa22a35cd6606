"""Columns of a table that lie far apart and hardly vary.

The judgement takes a `Trace` and what is known of its data, and returns a list
of `Finding`.
"""

from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.rules.unscaled_data.inputs import is_table
from keras_gradguard.diagnosis.rules.unscaled_data.thresholds import APART
from keras_gradguard.findings.build import before_a_run
from keras_gradguard.trace.facts import known


def columns_apart(trace, facts):
    """Judge whether the columns of a table differ far more than its rows.

    So it is where each row was standardised in place of each column: what
    comes in then is nearly the same for every row.

    Args:
        trace: `Trace` of the run.
        facts: `DataFacts`. What is known of inputs and targets.
    """
    data = trace.run.data
    layer = data.input_layer
    if not len(trace.layers) or layer != str(trace.layers[0]):
        return []
    if not is_table(data.input_shape) or data.input_shape[0] < APART["columns"]:
        return []
    if not known(facts.feature_scale_max, facts.input_std):
        return []
    varies, between = facts.feature_scale_max, facts.input_std
    if not 0 < varies < APART["varies"] * between:
        return []
    return [
        before_a_run(
            rule="unscaled_data",
            severity="warning",
            layers=[str(layer)],
            evidence={
                "kind": "columns",
                "of": "inputs",
                "feature_scale_max": varies,
                "input_std": between,
                "threshold": APART["varies"],
            },
            message=(
                f"The columns of the inputs lie {number(between)} apart, and "
                f"none of them varies by more than {number(varies)}. So it is "
                "where each row is standardised in place of each column. All "
                "samples look nearly the same to the network: what tells them "
                "apart is small against what they share."
            ),
            remedies=[
                changes.normalize_inputs(
                    "Each column then has mean 0 and standard deviation 1."
                )
            ],
        )
    ]
