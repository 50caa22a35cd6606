"""Sequences that all end alike, so that a recurrent layer forgets the rest.

Padding behind each sequence does so. A state that is handed on after the last
step has then lost what came before, by a factor at each step of padding.
"""

import numpy as np

from keras_gradguard._text import names
from keras_gradguard.diagnosis.evidence.harm import not_learnt_until
from keras_gradguard.diagnosis.evidence.learning import Learning
from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.recurrent import last_states
from keras_gradguard.diagnosis.evidence.recurrent import one_sided
from keras_gradguard.diagnosis.evidence.recurrent import recurrent_layers
from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.remedies.recurrent import for_recurrent
from keras_gradguard.diagnosis.rules.vanishing_gradient.thresholds import ENDS
from keras_gradguard.findings.build import in_a_run


def same_ends(trace):
    """Judge whether recurrent layers give the same for every sequence.

    Args:
        trace: The `Trace`.

    Returns:
        A `Finding` or None.
    """
    learning = Learning.of(trace)
    need = ENDS["measured"]
    late = learning.steps - int(trace.steps[0]) if len(trace.steps) else []
    due = of_plan(trace, *ENDS["of_plan"])
    if len(learning) < need or late[0] != 0 or not (late >= due).any():
        return None
    with np.errstate(invalid="ignore"):
        same = learning.contrast < ENDS["spread"]
        if not same[: int(np.flatnonzero(late >= due)[0]) + 1].all():
            return None
    found = [path for path in last_states(trace.run) if _is_fed(trace, path)]
    if not found:
        return None
    first = int(trace.steps[0])
    seen = int(learning.steps[max(need - 1, int((late < due).sum()))])
    return in_a_run(
        trace,
        rule="vanishing_gradient",
        severity="critical",
        layers=_owners(trace, found),
        first_step=first,
        last_step=not_learnt_until(trace, seen),
        evidence={
            "kind": "same_ends",
            "contrast": float(learning.contrast[:need].max()),
            "threshold": ENDS["spread"],
            "window": {"first_step": first, "last_step": seen},
        },
        message=(
            f"{names(found)}: the outputs are the same for every sequence from "
            f"step {first} to {seen}. {_forgets(found)} "
            f"{_why(trace.run)} The gradient of what came before vanishes."
        ),
        remedies=for_same_ends(trace.run, found),
    )


def same_ends_at_start(start):
    """Find recurrent layers that give the same for all rows.

    Args:
        start: `Start`.

    Returns:
        List of layers, evidence and message, or None.
    """
    paths = set(last_states(start.run))
    came = None
    for layer in start.layers:
        values = layer.output
        judged = layer.path in paths and not layer.starved
        if judged and values.ndim == 2 and len(values) >= ENDS["rows"]:
            size = float(values.std())
            spread = float(values.std(axis=0).max(initial=0))
            alike = _alike_at_the_end(came)
            if spread < ENDS["at_start"] * size and alike != 0:
                evidence = {
                    "kind": "same_ends",
                    "spread": spread / size,
                    "threshold": ENDS["at_start"],
                }
                text = (
                    f"{layer.path} gives the same for all of {len(values)} "
                    f"sequences. {_ends(came, alike)} It forgets what came "
                    "before them, and no gradient gets there."
                )
                return [layer.path], evidence, text
        came = values
    return None


def for_same_ends(run, layers):
    """Return remedies for sequences that end alike.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. Paths of recurrent layers, as the user made them.
    """
    tables = [
        path
        for path, info in run.layers.items()
        if info.get("class") == "Embedding"
    ]
    found = for_recurrent(run, one_sided(run), "Gates can forget.")
    if tables:
        found.append(
            model.change_layers(
                "Mask the padding",
                "Steps of index 0 are then left out, so the state is that "
                "after the last word.",
                {path: {"mask_zero": True} for path in tables},
            )
        )
    found.append(
        model.change_layers(
            "Read the sequences from their end",
            "What is alike then comes first, and what differs last.",
            {path: {"go_backwards": True} for path in layers},
        )
    )
    return found


def _alike_at_the_end(sequences):
    """Return how many of the last steps are the same in all sequences.

    None where that is not known, and where all of them are.
    """
    if sequences is None or sequences.ndim < 3:
        return None
    rows = sequences.reshape(*sequences.shape[:2], -1)
    spread = rows.std(axis=0).max(axis=-1)
    differ = spread > ENDS["spread"] * float(rows.std())
    return int(np.argmax(differ[::-1])) if differ.any() else None


def _ends(sequences, alike):
    if alike is None:
        return "Their last time steps are alike, as padding is."
    return (
        f"Their last {alike} of {sequences.shape[1]} time steps are alike, as "
        "padding is."
    )


def _is_fed(trace, path):
    """Whether something comes into a layer, and something out of it."""
    at = np.flatnonzero(trace.sites == path)
    if not len(at):
        return False
    came = trace.activation("input_std")[:1, at]
    gave = trace.activation("std")[:1, at]
    with np.errstate(invalid="ignore"):
        return bool((came > 0).all() and (gave > ENDS["spread"]).all())


def _owners(trace, paths):
    return [
        str(layer)
        for layer in trace.layers
        if trace.run.of_user(str(layer))[0] in paths
    ]


def _why(run):
    growing = list(recurrent_layers(run, one_sided(run)))
    if growing:
        one = len(growing) == 1
        return (
            f"The state of {names(growing)} is never below 0, by "
            f"{'its' if one else 'their'} activation. So it grows to about the "
            "same, whatever comes in."
        )
    return (
        "Either the sequences end alike, as those do that are padded behind, "
        "or all are the same."
    )


def _forgets(paths):
    many = len(paths) > 1
    return (
        f"{'They hand' if many else 'It hands'} on the state after the last "
        "time step, which has forgotten what came before."
    )
