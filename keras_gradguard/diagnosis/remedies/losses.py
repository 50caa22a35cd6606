"""Which of Keras's losses fits outputs and targets."""

from keras_gradguard.diagnosis.remedies.code import use_loss
from keras_gradguard.findings.remedy import Remedy
from keras_gradguard.trace.facts import columns_of
from keras_gradguard.trace.facts import known


def usual_loss(run, facts=None):
    """Return the code that trains by the loss that is usual for the output.

    Args:
        run: `RunInfo` of the run or the model.
        facts: `DataFacts`, or None if nothing is known of the targets.
    """
    output = run.output
    kind = None if output is None else output.activation
    if kind == "sigmoid":
        return use_loss(run, "binary_crossentropy")
    classes = classes_of(output, facts)
    if kind == "softmax":
        return use_loss(run, classes or "sparse_categorical_crossentropy")
    # Outputs of any size are numbers, or logits where classes are wanted.
    if classes is None or not are_classes(facts):
        return use_loss(run, "mean_squared_error")
    return use_loss(run, classes, logits=True)


def classes_of(output, facts):
    """Return the loss for targets of several classes, None if there are none.

    Args:
        output: `Output`, or None.
        facts: `DataFacts`, or None.
    """
    if output is None or facts is None:
        return None
    width, columns = columns_of(output, facts)
    if not known(width, columns) or not width > 1:
        return None
    if columns == 1:
        return "sparse_categorical_crossentropy"
    return "categorical_crossentropy" if columns == width else None


def are_classes(facts):
    """Return whether targets are surely the numbers or columns of classes.

    Args:
        facts: `DataFacts`; `classes_of` knows a loss for them.
    """
    if not facts.target_integer or not known(facts.target_min):
        return False
    one_hot = facts.target_columns > 1
    return bool(
        facts.target_row_sum_is_one if one_hot else facts.target_min >= 0
    )


def for_own_step(run, layers, facts):
    """Return what to put in the place of a train step of the user's own.

    What it computes is known to nobody else, so Keras's own shows whether the
    layers are sound.

    Args:
        run: `RunInfo` of the run.
        layers: List of str. Layers whose gradient was not finite.
        facts: `DataFacts`, or None if nothing is known of the data.
    """
    if run.own_code.get("step") is not True or not set(run.layers) <= set(
        layers
    ):
        return []
    return [
        Remedy(
            "Train by Keras's own step until yours is safe",
            "If it learns so, the loss in your `train_step` is to blame: it "
            "divides by 0, or takes the logarithm or root of what it must not.",
            usual_loss(run, facts),
        )
    ]
