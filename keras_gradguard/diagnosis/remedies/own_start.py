"""A remedy for own layers that start where nothing gets through."""

from keras_gradguard.diagnosis.remedies.code import name_of
from keras_gradguard.diagnosis.remedies.expressions import expression
from keras_gradguard.findings.remedy import Remedy


def start_anew(run, layer):
    """Return the remedy for a layer of the user's own that gives nothing.

    Args:
        run: `RunInfo` of the run or the model.
        layer: Str. Its path.
    """
    shapes = run.info(layer).get("shapes") or {}
    weights = [f"{layer}/{name}" for name in shapes]
    return Remedy(
        f"Start {name_of(layer)} anew",
        "Kernels at random, and no bias far below 0, where a rectifier gives "
        "nothing. Better: in the code of this layer.",
        f"weights = {expression(weights)}\n"
        "seed = keras.random.SeedGenerator(1)  # each draw another\n"
        "draw = keras.initializers.HeNormal(seed=seed)\n"
        "for variable in model.trainable_variables:\n"
        "    if variable.path not in weights:\n"
        "        continue\n"
        "    if len(variable.shape) > 1:\n"
        "        variable.assign(draw(variable.shape))\n"
        "    else:\n"
        "        variable.assign(keras.ops.zeros(variable.shape))",
    )
