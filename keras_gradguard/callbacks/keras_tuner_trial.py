"""The trial of a KerasTuner search, as a callback inside of it finds it."""

import sys
import types
from typing import Any

import numpy as np

# What a loss counts as that is not finite, if nothing else is known.
_BAD = 1e6


def tuner_callback() -> Any:
    """Return KerasTuner's own callback of the running fit, or None.

    KerasTuner tells no callback which trial runs; but behind those of the user
    it puts one of its own, which has `tuner` and `trial`.
    """
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if type(owner).__name__ == "CallbackList":
            for callback in getattr(owner, "callbacks", None) or ():
                theirs = type(callback).__module__.startswith("keras_tuner.")
                tuner = getattr(callback, "tuner", None)
                trial = getattr(callback, "trial", None)
                if theirs and tuner is not None and trial is not None:
                    return callback
        frame = frame.f_back
    return None


def objectives_of(callback: Any) -> list:
    """Return (name, direction, worst score so far) of each objective.

    Args:
        callback: What `tuner_callback` returned.
    """
    oracle: Any = callback.tuner.oracle
    objective = getattr(oracle, "objective", None)
    several = getattr(objective, "objectives", [objective])
    found = []
    for one in several:
        name = getattr(one, "name", None)
        if name is None:
            continue
        low = getattr(one, "direction", "min") == "min"
        scores = [_score(trial, name) for trial in oracle.trials.values()]
        found.append((name, low, [s for s in scores if np.isfinite(s)]))
    return found


def _score(trial: Any, name: str) -> float:
    if not trial.metrics.exists(name):
        return float("nan")
    observed = trial.metrics.get_best_value(name)
    return float("nan") if observed is None else float(observed)


def make_finite(history: dict, objectives: list) -> None:
    """Replace what is not finite of the objectives by the worst score.

    KerasTuner calls a trial whose score is NaN a failure, and a search with
    three of them in a row ends.

    Args:
        history: Dict from name to list of floats, one per epoch.
        objectives: What `objectives_of` returned.
    """
    for name, low, scores in objectives:
        values = history.get(name)
        if values is None:
            continue
        known = [*scores, *(v for v in values if np.isfinite(v))]
        worst = (max if low else min)(known, default=_BAD if low else 0.0)
        values[:] = [v if np.isfinite(v) else worst for v in values]
