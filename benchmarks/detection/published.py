"""Published detectors' conditions, re-implemented for comparison.

AUTOTRAINER (`AutoTrainer/utils/monitor.py`, defaults), DeepDiagnosis
(`callback/callbacks.py`) and four rules of Amazon SageMaker Debugger as its
documentation states them. Each looks at one batch an epoch, the first of the
training data, as AUTOTRAINER and DeepDiagnosis do; a rule that the original
runs in the last epoch only, runs at the last epoch here, too.
"""

import keras
import numpy as np


class Probe(keras.callbacks.Callback):
    """Takes what the published conditions look at, at the end of epochs.

    Args:
        x, y: The first batch.
        every: Int. Epochs between two looks, 3 for AUTOTRAINER.
        most: Int. Looks to take; later ones come at growing distances.

    Attributes:
        looks: List of dicts, one a look.
        logs: Dict of lists, the logs of all epochs.
    """

    def __init__(self, x, y, every=3, most=60):
        super().__init__()
        self.x, self.y = keras.ops.convert_to_tensor(x), y
        self.every, self.most = every, most
        self.looks, self.history = [], {}

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        distance = max(self.every, self.params["epochs"] // self.most)
        if epoch % distance == 0 or epoch + 1 == self.params["epochs"]:
            self.looks.append(self._look(epoch))

    def _look(self, epoch):
        kernels, norms, zero, mean = [], [], [], []
        for variable, grad in zip(
            self.model.trainable_variables, self._gradients(), strict=True
        ):
            if grad.ndim < 2:
                continue
            kernels.append(np.asarray(variable))
            norms.append(float(np.linalg.norm(grad.astype("float64"))))
            zero.append((int((grad == 0).sum()), grad.size))
            mean.append(float(np.abs(grad).mean()))
        outputs, kinds, value = [], [], self.x
        for layer in self.model.layers:
            value = layer(value, training=False)
            function = getattr(layer, "activation", None)
            kinds.append(getattr(function, "__name__", "linear"))
            outputs.append(np.asarray(value))
        return {
            "epoch": epoch,
            "norms": norms,
            "zero": sum(a for a, _ in zero) / max(1, sum(b for _, b in zero)),
            "mean_grad": mean,
            "finite": all(np.isfinite(k).all() for k in kernels)
            and all(np.isfinite(norms)),
            "layers": [
                {
                    "kind": kind,
                    "mean": float(out.mean()),
                    "finite": bool(np.isfinite(out).all()),
                    "low": float((out <= 0).mean()),
                    "dead": float((out <= 0).all(axis=0).mean()),
                    "tails": float((np.abs(_before(kind, out)) >= 5).mean()),
                }
                for kind, out in zip(kinds, outputs, strict=True)
            ],
        }

    def _gradients(self):
        import jax

        model = self.model
        rest = [v.value for v in model.non_trainable_variables]

        def loss(weights):
            out, _ = model.stateless_call(weights, rest, self.x, training=True)
            return model.compute_loss(self.x, self.y, out)

        weights = [v.value for v in model.trainable_variables]
        return [np.asarray(g) for g in jax.grad(loss)(weights)]


def _before(kind, outputs):
    """Inputs of a sigmoid or tanh, from its outputs."""
    out = outputs.astype("float64")
    with np.errstate(all="ignore"):
        if kind == "tanh":
            return np.arctanh(np.clip(out, -1 + 1e-12, 1 - 1e-12))
        if kind == "sigmoid":
            out = np.clip(out, 1e-12, 1 - 1e-12)
            return np.log(out / (1 - out))
    return np.zeros_like(out)


def autotrainer(probe, epochs):
    """Return {kind: epoch} of AUTOTRAINER's conditions; empty if healthy."""
    history, found = probe.history, {}
    accuracy = history.get("accuracy")
    loss = history["loss"]
    if accuracy is None:
        return found
    for epoch, value in enumerate(loss):
        if not np.isfinite(value) or value >= 1e3:
            found.setdefault("exploding_gradient", epoch)
            break
    for look in probe.looks:
        epoch, norms = look["epoch"], look["norms"]
        if max(accuracy[: epoch + 1]) >= 0.7 or not norms:
            continue
        ratio = norms[0] / norms[-1] if norms[-1] else float("nan")
        if ratio < 1e-3 and norms[0] < 1e-4:
            found.setdefault("vanishing_gradient", epoch)
        if ratio > 70 or not look["finite"]:
            found.setdefault("exploding_gradient", epoch)
        if look["zero"] >= 0.7:
            found.setdefault("dying_relu", epoch)
    late = int(max(0, 0.3 * epochs - 3))
    for epoch in range(late, len(loss)):
        seen = np.array(accuracy[: epoch + 1])
        best = max(
            seen.max(), max(history.get("val_accuracy", [0])[: epoch + 1])
        )
        if best < 0.7 and len(seen) > 1 and np.diff(seen).max() < 0.01:
            found.setdefault("slow_convergence", epoch)
        if best < 0.7:
            found.setdefault("not_converging", epoch)
        if _swings(seen) >= 0.2 * epochs:
            found.setdefault("oscillating_loss", epoch)
    return found


def _swings(accuracy):
    inner = np.arange(1, len(accuracy) - 1)
    high = accuracy[inner][
        (accuracy[inner] > accuracy[inner - 1])
        & (accuracy[inner] >= accuracy[inner + 1])
    ]
    low = accuracy[inner][
        (accuracy[inner] < accuracy[inner - 1])
        & (accuracy[inner] <= accuracy[inner + 1])
    ]
    count = min(len(high), len(low))
    return int((np.abs(high[:count] - low[:count]) >= 0.03).sum())


def deepdiagnosis(probe, epochs):
    """Return {kind: epoch} of DeepDiagnosis's conditions."""
    found = {}
    for look in probe.looks:
        epoch = look["epoch"]
        for layer in look["layers"]:
            if not layer["finite"] or layer["mean"] == 0:
                found.setdefault("numerical", epoch)
            bounded = layer["kind"] in ("sigmoid", "tanh")
            if bounded and layer["tails"] > 0.5 and epoch % 5 == 0:
                found.setdefault("saturation", epoch)
            dying = layer["kind"] in ("relu", "exponential")
            if dying and layer["low"] >= 0.7 and epoch + 1 == epochs:
                found.setdefault("dying_relu", epoch)
        if any(value < 1e-7 for value in look["mean_grad"]):
            found.setdefault("vanishing_gradient", epoch)
    for name in ("loss", "accuracy"):
        series = probe.history.get(name, [])
        for epoch, value in enumerate(series):
            if not np.isfinite(value) or (name == "accuracy" and value == 0):
                found.setdefault("numerical", epoch)
            if epoch >= 19 and len(set(series[epoch - 19 : epoch + 1])) == 1:
                found.setdefault("not_moving", epoch)
    return found


def sagemaker(probe, epochs):
    """Return {kind: epoch} of four documented rules."""
    found = {}
    for look in probe.looks:
        epoch = look["epoch"]
        if any(value < 1e-7 for value in look["mean_grad"]):
            found.setdefault("vanishing_gradient", epoch)
        if not look["finite"]:
            found.setdefault("exploding_gradient", epoch)
        for layer in look["layers"]:
            if layer["kind"] == "relu" and layer["dead"] > 0.5:
                found.setdefault("dying_relu", epoch)
    loss = probe.history["loss"]
    for epoch in range(10, len(loss)):
        if not loss[epoch - 10] - loss[epoch] >= 1e-3 * abs(loss[epoch - 10]):
            found.setdefault("slow_convergence", epoch)
            break
    return found


DETECTORS = {
    "AUTOTRAINER": autotrainer,
    "DeepDiagnosis": deepdiagnosis,
    "SageMaker": sagemaker,
}
