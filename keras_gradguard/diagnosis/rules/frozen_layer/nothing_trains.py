"""Models in which every layer with weights was made untrainable."""

from keras_gradguard.diagnosis.evidence.stretches import kernel_shapes
from keras_gradguard.diagnosis.remedies.code import compile_with
from keras_gradguard.diagnosis.remedies.code import optimizer_of
from keras_gradguard.diagnosis.remedies.expressions import Raw
from keras_gradguard.diagnosis.remedies.expressions import call
from keras_gradguard.diagnosis.remedies.own_optimizer import made_anew
from keras_gradguard.findings.remedy import Remedy

WORDS = (
    "All layers with weights are set to `trainable=False`, so no weight ever "
    "changes. It was perhaps meant for a part of the model alone: set on the "
    "whole, it holds for each of its layers."
)
# With TensorFlow a model hands on to its layers only what changes for itself.
UNFREEZE = "model.trainable = False\nmodel.trainable = True\n"


def nothing_trains(run):
    """Return whether every layer with a kernel was made untrainable.

    Args:
        run: `RunInfo` of the run or the model.
    """
    known = [info for info in run.layers.values() if kernel_shapes(info)]
    return bool(known) and all(i.get("trainable") is False for i in known)


def evidence(run):
    """Return the evidence of the finding.

    Args:
        run: `RunInfo`.
    """
    return {
        "kind": "nothing_trains",
        "layers": len([i for i in run.layers.values() if kernel_shapes(i)]),
        "threshold": 0,
    }


def remedies(run):
    """Return what to do about it.

    Args:
        run: `RunInfo`.
    """
    # The present one may be made for no weights at all, and takes no others.
    told, own = optimizer_of(run), ""
    if told is None and run.optimizer.name is not None:
        told, own = Raw("inner"), f"{made_anew({})}\n"
    again = own + compile_with(run, told or call("keras.optimizers.Adam"))
    return [
        Remedy(
            "Let all layers train",
            "Where none of them was trained before, none should be frozen.",
            f"import keras\n{UNFREEZE}{again}",
        ),
        Remedy(
            "Let the last layer train",
            "What stands before it then stays as it was trained.",
            f"import keras\n{UNFREEZE}"
            "for layer in model.layers[:-1]:\n"
            f"    layer.trainable = False\n{again}",
        ),
    ]
