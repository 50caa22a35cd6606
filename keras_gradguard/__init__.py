"""Finds and prevents vanishing and exploding gradients in Keras 3 models.

Names are imported when first used, so that reading a trace or starting
TensorBoard needs neither Keras nor a backend.
"""

import importlib

from keras_gradguard.version import __version__

_EXPORTS = {
    "AutoClip": "keras_gradguard.optimizers.auto_clip",
    "DeadReLUDetector": "keras_gradguard.callbacks.dead_relu_detector",
    "Finding": "keras_gradguard.findings.finding",
    "GradientMonitor": "keras_gradguard.callbacks.gradient_monitor",
    "GradGuardFinding": "keras_gradguard.exceptions",
    "GradGuardWarning": "keras_gradguard.exceptions",
    "Remedy": "keras_gradguard.findings.finding",
    "Report": "keras_gradguard.reporting.report",
    "Rule": "keras_gradguard.diagnosis.rules.rule",
    "Trace": "keras_gradguard.trace",
    "check": "keras_gradguard.preflight",
    "diagnose": "keras_gradguard.diagnosis",
    "heal": "keras_gradguard.healing.heal",
    "watch": "keras_gradguard.callbacks.loops",
}
_SUBMODULES = ("clippers", "layers", "presets")

__all__ = [*sorted(_EXPORTS), *_SUBMODULES, "__version__"]


def __getattr__(name):
    if name in _EXPORTS:
        value = getattr(importlib.import_module(_EXPORTS[name]), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(f"keras_gradguard.{name}")
    else:
        raise AttributeError(
            f"module 'keras_gradguard' has no attribute {name!r}"
        )
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
