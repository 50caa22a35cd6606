"""A user's program that a type checker must find nothing in."""

import keras
import numpy as np

import keras_gradguard as kgg


class LargeLoss(kgg.Rule):
    id = "large_loss"

    def check(self, trace: kgg.Trace) -> list[kgg.Finding]:
        steps: np.ndarray = trace.steps
        if not len(steps) or trace.logs["loss"].max() < 1e6:
            return []
        remedy = kgg.Remedy("Lower the rate", "The loss is large.", "...")
        return [
            kgg.Finding(
                self.id, "warning", [], 0, 1, None, {}, "Large.", [remedy]
            )
        ]


def train(x: np.ndarray, y: np.ndarray) -> str:
    pairing = kgg.presets.get("he_relu", layer="Dense", seed=1)
    model = keras.Sequential(
        [
            kgg.layers.PairedDense(8, pairing="lecun_selu", dropout=0.1),
            keras.layers.Dense(8, **pairing),
            keras.layers.Dense(1),
        ]
    )
    optimizer = kgg.AutoClip("adam", percentile=20)
    model.compile(optimizer, "mse")
    before: kgg.Report = kgg.check(model, x, y, batch_size=16)
    monitor = kgg.GradientMonitor(
        log_dir="runs/first", rules=["dead_relu", LargeLoss()], verbose=0
    )
    detector = kgg.DeadReLUDetector(patience=2, revive=True)
    model.fit(x, y, callbacks=[monitor, detector, kgg.stop_hopeless()])
    report = kgg.diagnose(monitor.trace, rules="default")
    kgg.diagnose(monitor.trace, {"frozen_layer": {"ignore": ["embed*"]}})
    report.save("report.html")
    monitor.trace.save("trace.npz")
    differ: list[str] = kgg.compare("runs/first", monitor.trace).differ
    norms: np.ndarray = kgg.Trace.load("trace.npz").get("grad_norm")
    for finding in [*before.findings, *monitor.findings, *detector.findings]:
        print(finding.rule, finding.layers, finding.remedies[0].code)
    model, healed = kgg.heal(model, report, x, y, epochs=2)
    share: float = optimizer.clipped_fraction
    names: list[str] = kgg.presets.names()
    return f"{healed.verdict} {share:.2f} {names[0]} {norms.mean()} {differ}"
