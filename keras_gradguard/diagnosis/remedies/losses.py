"""Which of Keras's losses fits outputs and targets."""

from keras_gradguard.diagnosis.remedies.code import use_loss
from keras_gradguard.findings.remedy import Remedy
from keras_gradguard.trace.facts import columns_of
from keras_gradguard.trace.facts import known


def by_usual_loss(run, title, why, facts=None):
    """Return the change to the loss that is usual for the output.

    A loss that `compile` was given can be exchanged from outside, one in the
    model's own methods only by who wrote it.

    Args:
        run: `RunInfo` of the run or the model.
        title: Str. What is done, in words.
        why: Str. The reason.
        facts: `DataFacts`, or None if nothing is known of the targets.
    """
    loss, logits = usual_loss(run.output, facts)
    compiled = (
        run.own_loss == "function" and run.own_code.get("step") is not True
    )
    if not compiled or run.output is None or len(run.outputs) != 1:
        return Remedy(title, why, use_loss(run, loss, logits))
    return Remedy(
        title,
        why,
        action="change_output",
        arguments={
            "layer": run.output.layer,
            "loss": loss,
            "from_logits": logits,
        },
    )


def usual_loss(output, facts=None):
    """Return the loss that is usual for an output, and its `from_logits`.

    Args:
        output: `Output`, or None.
        facts: `DataFacts`, or None if nothing is known of the targets.
    """
    kind = None if output is None else output.activation
    if kind == "sigmoid":
        return "binary_crossentropy", None
    classes = classes_of(output, facts)
    if kind == "softmax":
        return classes or "sparse_categorical_crossentropy", None
    # Outputs of any size are numbers, or logits where classes are wanted.
    if classes is None or not are_classes(facts):
        return "mean_squared_error", None
    return classes, True


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


def turn_back(run, facts):
    """Return what to do about a train step that turns a loss's sign, or [].

    Args:
        run: `RunInfo` of the run.
        facts: `DataFacts`, or None if nothing is known of the data.
    """
    line = run.own_code.get("turned")
    told = isinstance(line, list) and len(line) == 2
    # One of several may well want the loss of another to rise.
    if not told or run.others:
        return []
    number, text = line
    title = f"Take the minus away in line {number} of your `train_step`"
    why = (
        f"`{text}` turns the sign, so each step leads away from the lowest "
        "loss. Keras's own step shows that the layers are sound."
    )
    known = run.output.loss_name if run.output is not None else None
    if known is None:
        return [by_usual_loss(run, title, why, facts)]
    return [Remedy(title, why, use_loss(run, known))]


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
        by_usual_loss(
            run,
            "Train by Keras's own step until yours is safe",
            "If it learns so, the loss in your `train_step` is to blame: it "
            "divides by 0, or takes the logarithm or root of what it must not.",
            facts,
        )
    ]
