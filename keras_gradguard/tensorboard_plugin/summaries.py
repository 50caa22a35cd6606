"""One line about a run, for the table of all runs."""

import numpy as np

from keras_gradguard.tensorboard_plugin.views import numbers


def summary(run):
    """Return what tells a run from others at a glance.

    Args:
        run: `RunData`.

    Returns:
        Dict: `tone` of the verdict; `findings`, (rule, severity, first step)
        of those that stand; `layer`, the first culprit of the worst, None if
        there is none; `loss`, the first and the last loss that are known,
        per epoch where there are epochs, else per batch, None where there is
        none; `steps` recorded; `layers`, how many; `model`.
    """
    findings = run.findings or []
    layers = [f["layers"][0] for f in findings if f["layers"]]
    model = run.meta.get("model")
    return {
        "tone": tone(run),
        "findings": [
            [f["rule"], f["severity"], f["first_step"], f.get("cause")]
            for f in findings
        ],
        "not_judged": run.not_judged,
        "layer": layers[0] if layers else None,
        "loss": _loss(run),
        "steps": run.last_step + 1 - int(run.steps[0]) if len(run.steps) else 0,
        "layers": len(run.layers),
        "model": model if isinstance(model, str) else None,
    }


def tone(run):
    """Return the worst severity, "good", "unknown", or "pending"."""
    if run.findings is None:
        return "pending"
    if not run.findings:
        return "unknown" if run.not_judged else "good"
    severe = any(f["severity"] == "critical" for f in run.findings)
    return "critical" if severe else "warning"


def _loss(run):
    losses = [epoch[2]["loss"] for epoch in run.epochs if "loss" in epoch[2]]
    values = np.array([float(value) for value in losses])
    if not len(values):
        values = run.shared.get("batch_loss", np.zeros(0))
        values = values[~np.isnan(values)] if len(values) else values
    if not len(values):
        return None
    return numbers([values[0], values[-1]])
