"""What the `meta` of a trace tells of the model, its optimizer and its data.

It may come from a file, so nothing in it is taken for granted.
"""

import dataclasses

from keras_gradguard.trace.run_info import OptimizerFacts
from keras_gradguard.trace.run_info import Output


def data_of(trace):
    """Return what is known of the data's shapes and dtypes, a dict."""
    facts = trace.meta.get("data")
    return facts if isinstance(facts, dict) else {}


def output_width(trace):
    """Return the length of the last axis of the outputs, None if unknown."""
    shape = data_of(trace).get("output_shape")
    width = shape[-1] if isinstance(shape, list | tuple) and shape else None
    return width if isinstance(width, int) and width >= 1 else None


def output_of(trace):
    """Return the `Output` of a model with one output, or None."""
    outputs = trace.meta.get("outputs")
    if not isinstance(outputs, list) or len(outputs) != 1:
        return None
    fields = {f.name for f in dataclasses.fields(Output)}
    known = outputs[0] if isinstance(outputs[0], dict) else {}
    known = {k: v for k, v in known.items() if k in fields and v is not None}
    return Output(**known)


def optimizer_of(trace):
    """Return the `OptimizerFacts` of a run."""
    described = trace.meta.get("optimizer")
    described = described if isinstance(described, dict) else {}
    rate = described.get("learning_rate")
    momentum = described.get("momentum")
    return OptimizerFacts(
        name=described.get("name"),
        learning_rate=rate if isinstance(rate, int | float) else None,
        momentum=momentum if isinstance(momentum, int | float) else 0.0,
        clipped=bool(described.get("clipped")),
    )
