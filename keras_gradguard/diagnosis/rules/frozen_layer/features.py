"""Frozen layers that hand on next to nothing of the inputs.

The judgement takes a `Trace` and returns a `Finding`, or None.
"""

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard.diagnosis.evidence.harm import facts_of
from keras_gradguard.diagnosis.evidence.harm import harmed_at
from keras_gradguard.diagnosis.evidence.soon import alike_at
from keras_gradguard.diagnosis.evidence.stretches import kernel_shapes
from keras_gradguard.diagnosis.remedies.code import compile_with
from keras_gradguard.diagnosis.remedies.code import draw_anew
from keras_gradguard.diagnosis.rules.frozen_layer.nothing_trains import UNFREEZE
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import DULL
from keras_gradguard.diagnosis.rules.frozen_layer.thresholds import FAINT
from keras_gradguard.findings.build import in_a_run
from keras_gradguard.findings.remedy import Remedy
from keras_gradguard.trace.facts import known


def in_front(run):
    """Return the paths of frozen layers with kernels before what learns.

    Args:
        run: `RunInfo` of the run.
    """
    found: list = []
    for path, info in run.layers.items():
        if _takes_inputs(run, path):
            return found
        if info.get("trainable") is False and kernel_shapes(info):
            found.append(path)
    return []


def _takes_inputs(run, path):
    """Whether inputs were measured at a layer, or where its cell runs."""
    first = run.data.input_layer
    return first is not None and f"{path}/".startswith(f"{first}/")


def behind_own_layers(run):
    """Whether layers that nothing measures came before the measured inputs.

    Of the user's own layers only weights and gradients are seen.

    Args:
        run: `RunInfo` of the run.
    """
    for path, info in run.layers.items():
        if _takes_inputs(run, path):
            return False
        if kernel_shapes(info) and path in run.own_layers:
            return run.data.input_layer is not None
    return False


def dull_features(trace):
    """Judge whether frozen layers give nearly the same for every input."""
    front, facts = in_front(trace.run), facts_of(trace)
    if not front or not known(facts.input_mean, facts.feature_scale_max):
        return None
    varies = facts.feature_scale_max
    dull = varies <= DULL * abs(facts.input_mean)
    # Numbers that are tiny besides, where the outputs are all the same.
    faint = varies <= FAINT and alike_at(trace) is not None
    if not dull and not (faint and harmed_at(trace) is not None):
        return None
    seen = [step for step in (harmed_at(trace), alike_at(trace)) if step]
    if not seen:
        return None
    first = int(trace.steps[0])
    text = (
        f"{names(front)}: these layers are frozen, and give nearly the "
        f"same for every input: no feature varies by more than "
        f"{number(varies)}, around {number(facts.input_mean)}. Layers that "
        "were never trained hand on little. Only trained ones should be frozen."
    )
    return in_a_run(
        trace,
        rule="frozen_layer",
        severity="critical",
        layers=front,
        first_step=first,
        last_step=max([min(seen), *trace.steps[-1:].tolist()]),
        evidence={
            "kind": "features",
            "feature_scale_max": float(varies),
            "input_mean": float(facts.input_mean),
            "threshold": DULL if dull else FAINT,
            "window": {"first_step": first, "last_step": min(seen)},
        },
        message=text,
        remedies=[
            Remedy(
                "Let these layers learn",
                "Their weights then fit the task. Or load trained ones.",
                _learning(trace.run, front if varies == 0 else []),
            )
        ],
    )


def _learning(run, dead):
    """Return code that lets all layers learn; the dead ones are drawn anew."""
    drawn = f"{draw_anew(run, dead, 'GlorotUniform')}\n" if dead else ""
    return f"{UNFREEZE}{drawn}{compile_with(run)}"
