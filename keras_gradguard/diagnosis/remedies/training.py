"""Single changes to how a model is trained, as `changes` has of the model."""

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.findings.remedy import Remedy


def learning_rate(optimizer, rate, why, to):
    """Return the change of the learning rate.

    Args:
        optimizer: Str or None. Class name of the optimizer.
        rate: Float or None. The learning rate now.
        why: Str. The reason.
        to: Float. The new one.
    """
    side = "Lower" if rate is None or to < rate else "Raise"
    return Remedy(
        f"{side} the learning rate to {to:.2g}",
        why,
        f"optimizer = keras.optimizers.{optimizer or 'Adam'}({to:.2g})",
        action="set_learning_rate",
        arguments={"value": float(f"{to:.2g}")},
    )


def scale_learning_rate(factor, why):
    """Return the change of an unknown learning rate by a factor."""
    side = "Lower" if factor < 1 else "Raise"
    return Remedy(
        f"{side} the learning rate by a factor of {number(1 / factor)}"
        if factor < 1
        else f"{side} the learning rate by a factor of {number(factor)}",
        why,
        f"model.optimizer.learning_rate *= {factor:.2g}",
        action="set_learning_rate",
        arguments={"factor": float(factor)},
    )


def schedule(why, rate=None, steps=None):
    """Return the change that lets the learning rate fall over the run.

    Args:
        why: Str. The reason.
        rate: Float or None. The learning rate at the start.
        steps: Int or None. Steps of the run, where they are known.
    """
    start = f"{rate:g}" if rate else "1e-3"
    return Remedy(
        "Let the learning rate fall over the run",
        why,
        "rate = keras.optimizers.schedules.CosineDecay("
        f"{start}, decay_steps=epochs * steps_per_epoch)\n"
        "optimizer = keras.optimizers.Adam(rate)",
        action="schedule",
        arguments={} if steps is None else {"steps": int(steps)},
    )


def adam(why, rate=1e-3):
    """Return the change to Adam."""
    return Remedy(
        "Use Adam",
        why,
        f"optimizer = keras.optimizers.Adam({rate:g})",
        action="set_optimizer",
        arguments={"name": "Adam", "learning_rate": rate},
    )


def clip(why, clipper="norm", **arguments):
    """Return the change that wraps the optimizer with `AutoClip`.

    Args:
        why: Str. The reason.
        clipper: Str. Name of the clipper. Defaults to `"norm"`.
        **arguments: Its arguments.
    """
    shown = "".join(f", {k}={v!r}" for k, v in arguments.items())
    return Remedy(
        "Clip the gradient",
        why,
        f'optimizer = keras_gradguard.AutoClip(optimizer, "{clipper}"{shown})',
        action="clip",
        arguments={"clipper": clipper, **arguments},
    )


def accumulate(batches, why, optimizer=None):
    """Return the change that averages the gradients of several batches.

    Args:
        batches: Int. Batches of an update.
        why: Str. The reason.
        optimizer: Str or None. Class name of the optimizer.
    """
    return Remedy(
        f"Average the gradients of {batches} batches",
        why,
        f"optimizer = keras.optimizers.{optimizer or 'Adam'}(\n"
        f"    learning_rate, gradient_accumulation_steps={batches}\n"
        ")  # or a larger batch_size in fit",
        action="accumulate",
        arguments={"batches": batches},
    )


def lower_rate(run, factor, why):
    """Return the remedy of a learning rate `factor` times smaller.

    Args:
        run: `RunInfo` of the run or the model.
        factor: Float above 1.
        why: Str. Why that helps.
    """
    if run.learning_rate is None:
        return scale_learning_rate(1 / factor, why)
    name, rate = run.optimizer.name, run.learning_rate
    return learning_rate(name, rate, why, rate / factor)


def with_normalization(change):
    """Return a change of the optimizer, with normalization in the layers."""
    normalize = changes.convert(
        "he_relu",
        "Normalization gives every layer a signal and a gradient of like size.",
        "keras.layers.BatchNormalization()  # behind each hidden layer",
        normalization="batch",
    )
    return changes.several(
        [normalize, change],
        "Where larger steps alone do not help, the signal does not get "
        "through the layers as it should.",
    )


def falling_rate(trace, rate):
    """Return the change to a rate that falls over the planned run."""
    return schedule(
        "Large steps at the start and small ones at the end learn fast and "
        "settle.",
        rate,
        planned_steps(trace),
    )


def change_rate(trace, factor, why):
    """Return the change of the run's learning rate by a factor."""
    rate = trace.run.learning_rate
    if rate is None:
        return scale_learning_rate(factor, why)
    return learning_rate(trace.run.optimizer.name, rate, why, rate * factor)
