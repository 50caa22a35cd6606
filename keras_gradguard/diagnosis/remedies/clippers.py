"""Remedies for an `AutoClip` whose threshold does not fit the gradients."""

from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies.code import compile_with
from keras_gradguard.diagnosis.remedies.code import optimizer_of
from keras_gradguard.diagnosis.remedies.expressions import Raw
from keras_gradguard.diagnosis.remedies.expressions import call
from keras_gradguard.diagnosis.remedies.expressions import clipped_with
from keras_gradguard.diagnosis.remedies.expressions import unclipped
from keras_gradguard.diagnosis.remedies.own_optimizer import clips_of
from keras_gradguard.diagnosis.remedies.own_optimizer import made_anew
from keras_gradguard.findings.remedy import Remedy

# The default of AutoClip.
_DEFAULT = "kgg.clippers.Spikes"


def for_clipping(run, threshold, norm):
    """Return the remedy for a threshold far from the norms it is for.

    Args:
        run: `RunInfo` of the run.
        threshold: Float. The threshold.
        norm: Float. A norm of the gradient.
    """
    return [
        Remedy(
            "Let the threshold follow the gradient norms",
            f"A threshold of {number(threshold, 3)} and norms of "
            f"{number(norm, 3)} are far apart. At the 90th percentile of the "
            "run's own norms, only the largest tenth is clipped.",
            _clipping(run, percentile=90),
        )
    ]


def for_uneven(run):
    """Return the remedies for a threshold that takes one kind of batch away.

    Args:
        run: `RunInfo` of the run.
    """
    clipper = _clipper(run)
    found = [
        Remedy(
            "Clip only what the norms hardly ever reach",
            "The default of AutoClip leaves alone what at least a share "
            "of the batches has.",
            _clipping(run),
        ),
        Remedy(
            "Train without AutoClip",
            "Batches so different have no threshold in common.",
            _plain(run),
        ),
    ]
    return found[1:] if clipper == _DEFAULT else found


def _clipper(run):
    """Return the class of the clipper of a run as code names it, or None."""
    told = run.optimizer.call
    while isinstance(told, dict):
        given = told.get("arguments")
        given = given if isinstance(given, dict) else {}
        if isinstance(given.get("clipper"), dict):
            return given["clipper"].get("call")
        told = given.get("inner_optimizer")
    return None


def _clipping(run, **arguments):
    """Return code that puts another `AutoClip` into the place of the present.

    It stays inside of a loss scale, which no clipper can hold.
    """
    told = optimizer_of(run)
    if told is not None:
        return compile_with(run, clipped_with(told, **arguments))
    made = call("kgg.AutoClip", Raw("inner"), **arguments)
    own = dict.fromkeys(clips_of(run))
    return f"{made_anew(own)}\n{compile_with(run, made)}"


def _plain(run):
    told = optimizer_of(run)
    if told is not None:
        return compile_with(run, unclipped(told))
    # One that AutoClip has wrapped hands its gradients on to that.
    return f"{made_anew({})}\n{compile_with(run, Raw('inner'))}"
