"""Finds and prevents vanishing and exploding gradients in Keras 3 models.

Names are imported when first used, so that reading a trace or starting
TensorBoard needs neither Keras nor a backend. What can be part of a saved
model is registered with Keras as soon as Keras is imported.
"""

import importlib
from typing import TYPE_CHECKING

from keras_gradguard import _registration
from keras_gradguard.version import __version__

if TYPE_CHECKING:
    # What a type checker sees; at run time `__getattr__` finds the same.
    from keras_gradguard import clippers as clippers
    from keras_gradguard import layers as layers
    from keras_gradguard import presets as presets
    from keras_gradguard.callbacks.dead_relu_detector import (
        DeadReLUDetector as DeadReLUDetector,
    )
    from keras_gradguard.callbacks.gradient_monitor import (
        GradientMonitor as GradientMonitor,
    )
    from keras_gradguard.callbacks.loops import watch as watch
    from keras_gradguard.callbacks.roll_back import RollBack as RollBack
    from keras_gradguard.callbacks.stop_hopeless import (
        stop_hopeless as stop_hopeless,
    )
    from keras_gradguard.callbacks.without_batches import (
        without_batches as without_batches,
    )
    from keras_gradguard.capsule.batches import batch_checksum as batch_checksum
    from keras_gradguard.diagnosis import diagnose as diagnose
    from keras_gradguard.diagnosis.comparison import compare as compare
    from keras_gradguard.diagnosis.rules.rule import Rule as Rule
    from keras_gradguard.edits.replace import replace_layers as replace_layers
    from keras_gradguard.exceptions import GradGuardFinding as GradGuardFinding
    from keras_gradguard.exceptions import GradGuardWarning as GradGuardWarning
    from keras_gradguard.findings.finding import Finding as Finding
    from keras_gradguard.findings.remedy import Remedy as Remedy
    from keras_gradguard.healing.heal import heal as heal
    from keras_gradguard.optimizers.auto_clip import AutoClip as AutoClip
    from keras_gradguard.preflight import check as check
    from keras_gradguard.replaying.replay import replay as replay
    from keras_gradguard.reporting.report import Report as Report
    from keras_gradguard.trace import Trace as Trace

_EXPORTS = {
    "AutoClip": "keras_gradguard.optimizers.auto_clip",
    "DeadReLUDetector": "keras_gradguard.callbacks.dead_relu_detector",
    "Finding": "keras_gradguard.findings.finding",
    "GradientMonitor": "keras_gradguard.callbacks.gradient_monitor",
    "GradGuardFinding": "keras_gradguard.exceptions",
    "GradGuardWarning": "keras_gradguard.exceptions",
    "Remedy": "keras_gradguard.findings.remedy",
    "Report": "keras_gradguard.reporting.report",
    "RollBack": "keras_gradguard.callbacks.roll_back",
    "Rule": "keras_gradguard.diagnosis.rules.rule",
    "Trace": "keras_gradguard.trace",
    "batch_checksum": "keras_gradguard.capsule.batches",
    "check": "keras_gradguard.preflight",
    "compare": "keras_gradguard.diagnosis.comparison",
    "diagnose": "keras_gradguard.diagnosis",
    "heal": "keras_gradguard.healing.heal",
    "replay": "keras_gradguard.replaying.replay",
    "replace_layers": "keras_gradguard.edits.replace",
    "stop_hopeless": "keras_gradguard.callbacks.stop_hopeless",
    "watch": "keras_gradguard.callbacks.loops",
    "without_batches": "keras_gradguard.callbacks.without_batches",
}
_SUBMODULES = ("clippers", "layers", "presets")

__all__ = [*sorted(_EXPORTS), *_SUBMODULES, "__version__"]


if not TYPE_CHECKING:  # It would make every name one that exists.

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
        # If that imported Keras, some of our modules were not whole then.
        _registration.register()
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_registration.register()
