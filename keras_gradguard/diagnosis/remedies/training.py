"""Single changes to how a model is trained, as `changes` has of the model."""

import dataclasses

from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.learning import planned_steps
from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies.huber import raise_delta
from keras_gradguard.diagnosis.remedies.rates import AT_ONCE
from keras_gradguard.diagnosis.remedies.rates import RANGES
from keras_gradguard.diagnosis.remedies.rates import advised
from keras_gradguard.diagnosis.remedies.rates import risen
from keras_gradguard.findings.remedy import Remedy

# The fewest steps in which a rate rises by more than tenfold.
_WARM_UP = 20


def learning_rate(optimizer, why, to, at_once=AT_ONCE, plan=None):
    """Return the change of the learning rate, by tenfold at most.

    Where tenfold is not enough, the rate rises to what is wanted, step by step.

    Args:
        optimizer: `OptimizerFacts`.
        why: Str. The reason.
        to: Float. The rate that is wanted.
        at_once: Float. The largest factor.
        plan: Int or None. Steps of the run, where they are known.
    """
    rate = optimizer.learning_rate
    goal = risen(optimizer, rate, to, at_once)
    if goal is not None:
        return warm_up(why, AT_ONCE * rate, goal, plan)
    to = advised(optimizer, rate, to, at_once)
    side = "Lower" if rate is None or to < rate else "Raise"
    return Remedy(
        f"{side} the learning rate to {to:.2g}",
        why,
        action="set_learning_rate",
        arguments={"value": to},
    )


def fit_without_weights(run, text, why):
    """Return a remedy that trains without weights of samples and classes."""
    return Remedy(
        text,
        why,
        f"model.fit(x, y, epochs={run.epochs_planned or 10})"
        "  # without class_weight and sample_weight",
    )


def scale_learning_rate(factor, why):
    """Return the change of an unknown learning rate by a factor."""
    factor = min(max(factor, 1 / AT_ONCE), AT_ONCE)
    side, times = ("Lower", 1 / factor) if factor < 1 else ("Raise", factor)
    return Remedy(
        f"{side} the learning rate by a factor of {number(times)}",
        why,
        action="set_learning_rate",
        arguments={"factor": float(factor)},
    )


def warm_up(why, rate, to, plan=None):
    """Return the change that lets the learning rate rise, and stay there.

    Args:
        why: Str. The reason.
        rate: Float. Where it begins.
        to: Float. Where it ends.
        plan: Int or None. Steps of the run, where they are known.
    """
    steps = int(min(max((plan or 0) // 10, _WARM_UP), 10 * _WARM_UP))
    rate, to = float(f"{rate:.2g}"), float(f"{to:.2g}")
    return Remedy(
        f"Let the learning rate rise from {number(rate)} to {number(to)} in "
        f"{steps} steps",
        why,
        action="warm_up",
        arguments={"rate": rate, "to": to, "steps": steps},
    )


def schedule(why, steps=None, rate=None):
    """Return the change that lets the learning rate fall over the run.

    Args:
        why: Str. The reason.
        steps: Int or None. Steps of the run, where they are known.
        rate: Float or None. Where it begins, if not at the present rate.
    """
    arguments: dict[str, float] = {}
    if steps is not None:
        arguments["steps"] = int(steps)
    if rate is not None:
        arguments["rate"] = float(rate)
    return Remedy(
        "Let the learning rate fall over the run",
        why,
        action="schedule",
        arguments=arguments,
    )


def adam(why, rate=1e-3):
    """Return the change to Adam."""
    return Remedy(
        "Use Adam",
        why,
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
    return Remedy(
        "Clip the gradient",
        why,
        action="clip",
        arguments={"clipper": clipper, **arguments},
    )


def set_optimizer_arguments(title, why, **arguments):
    """Return the change of arguments of the optimizer; None takes one away.

    Args:
        title: Str. What is done, in words.
        why: Str. The reason.
        **arguments: The arguments.
    """
    return Remedy(
        title,
        why,
        action="change_optimizer",
        arguments={"arguments": arguments},
    )


def accumulate(batches, why):
    """Return the change that averages the gradients of several batches.

    Args:
        batches: Int. Batches of an update.
        why: Str. The reason.
    """
    return Remedy(
        f"Average the gradients of {batches} batches",
        why,
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
    return learning_rate(facts_with_rate(run), why, run.learning_rate / factor)


def with_normalization(change):
    """Return a change of the optimizer, with normalization in the layers."""
    normalize = changes.convert(
        "he_relu",
        "Normalization gives every layer a signal and a gradient of like size.",
        normalization="batch",
    )
    return changes.several(
        [normalize, change],
        "Where larger steps alone do not help, the signal does not get "
        "through the layers as it should.",
    )


def falling_rate(trace):
    """Return the change to a rate that falls over the planned run."""
    return schedule(
        "Large steps at the start and small ones at the end learn fast and "
        "settle.",
        planned_steps(trace),
    )


def change_rate(trace, factor, why, at_once=AT_ONCE):
    """Return the change of the run's learning rate by a factor."""
    rate = trace.run.learning_rate
    if rate is None:
        return scale_learning_rate(factor, why)
    return learning_rate(
        facts_with_rate(trace.run),
        why,
        rate * factor,
        at_once,
        planned_steps(trace),
    )


def without_callback(trace, does, rate):
    """Return the advice to leave a callback out that sets the rate.

    Args:
        trace: `Trace`.
        does: Str. What it does, e.g. `"lowers"`.
        rate: Float. The rate to keep.
    """
    # It sets the rate at each epoch, whatever the optimizer is told.
    return changes.words(
        f"Leave out the callback that {does} the learning rate",
        f"It then stays at {number(rate)} for the whole run.",
        f"model.optimizer.learning_rate = {rate:.3g}\n"
        f"model.fit(x, y, epochs={trace.run.epochs_planned or 10})"
        "  # without the callback",
    )


def keep_rate(trace, rate):
    """Return the advice to stay at the rate before it rose.

    Args:
        trace: `Trace`.
        rate: Float. That rate.
    """
    if not trace.run.optimizer.schedule:
        return without_callback(trace, "raises", rate)
    return Remedy(
        f"Keep the learning rate at {number(rate)}",
        "It was so before it rose, and the run was in order.",
        action="set_learning_rate",
        arguments={"value": float(f"{rate:.3g}")},
    )


def facts_with_rate(run):
    """Return the `OptimizerFacts` of a run, with the rate that it began with.

    Args:
        run: `RunInfo`.
    """
    return dataclasses.replace(run.optimizer, learning_rate=run.learning_rate)


def for_slow(trace, factor, at_once=AT_ONCE):
    """Return remedies for a run that learns too slowly.

    Args:
        trace: The `Trace`.
        factor: Float. How much larger the steps should be.
        at_once: Float. The largest factor of the learning rate.
    """
    if found := raise_delta(trace.run):
        return found
    factor = float(max(factor, 3.0))
    why = "The weights then move as far as training usually takes."
    faster = change_rate(trace, factor, why, at_once)
    found = [faster]
    if trace.run.optimizer.name != "Adam":
        own = adam("It finds a step size for each weight.")
        found += [own, with_normalization(own)]
        usual = RANGES.get(trace.run.optimizer.name, (0, 0, 0.0))[2]
        if usual > AT_ONCE * (trace.run.learning_rate or usual):
            # As of Adadelta's default: ten times as much is not enough.
            found = [own, faster, *found[2:]]
    else:
        found.append(with_normalization(faster))
    found.append(
        changes.words(
            "Train longer",
            "At this pace the planned epochs are too few.",
            f"model.fit(x, y, epochs={10 * (trace.run.epochs_planned or 10)})",
        )
    )
    return found


def for_update_ratio(run, factor):
    """Return the remedy for steps too large or too small by `factor`."""
    name, rate = run.optimizer.name or "Adam", run.learning_rate
    if factor < 1 and (found := raise_delta(run)):
        return found
    side = "Lower" if factor > 1 else "Raise"
    # Steps of exactly zero tell no factor.
    factor = max(factor, 1e-4)
    if rate is not None:
        change = learning_rate(
            facts_with_rate(run),
            "About 1e-3 of the weights per step is usual.",
            rate / factor,
        )
    else:
        change = scale_learning_rate(
            1 / factor, "Steps of about 1e-3 of the weights are usual."
        )
    if change.action == "set_learning_rate":
        change = dataclasses.replace(change, title=f"{side} the learning rate")
    if name in ("SGD", "Adadelta", "Adagrad"):
        own = adam(
            "Adam's steps have the size of the learning rate, whatever the "
            "size of the gradient."
        )
        return [change, own]
    return [change]
