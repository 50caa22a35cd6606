"""Ten mistakes of a user, each of which a type checker must find.

Each line says what is found. One that no longer is leaves its comment unused,
and that is an error, too.
"""

import keras_gradguard as kgg

monitor = kgg.GradientMonitor(update_frequency=2)  # type: ignore[call-arg]
kgg.GradientMonitor(verbose="no")  # type: ignore[arg-type]
monitor.trase.steps  # type: ignore[attr-defined]
monitor.report().helthy  # type: ignore[attr-defined]
kgg.AutoClip()  # type: ignore[call-arg]
kgg.Trace.load(3)  # type: ignore[arg-type]
kgg.presets.get(1)  # type: ignore[arg-type]
kgg.GradientMonitr()  # type: ignore[attr-defined]
kgg.diagnose(monitor.trace, rule="default")  # type: ignore[call-arg]
kgg.heal(None, epoch=3)  # type: ignore[call-arg]
