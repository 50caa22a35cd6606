"""A remedy for own layers that start where nothing gets through."""

from keras_gradguard.diagnosis.remedies.code import name_of
from keras_gradguard.diagnosis.remedies.expressions import expression
from keras_gradguard.findings.remedy import Remedy


def start_anew(run, layers):
    """Return the remedy for own layers that start where nothing gets through.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. Those that the gradient does not reach.

    Returns:
        List of `Remedy`, empty unless all these layers are the user's own.
    """
    held = [a for a in layers if a in run.own_layers or run.is_held(a)]
    if not held or len(held) < len(layers):
        return []
    weights = [
        f"{path}/{name}"
        for path in held
        for name in run.info(path).get("shapes") or {}
    ]
    shown = " and ".join(name_of(path) for path in held[:2])
    return [
        Remedy(
            f"Start {shown if len(held) < 3 else 'your own layers'} anew",
            "Kernels at random, and no bias far below 0, where a rectifier "
            "gives nothing. Better: in the code of these layers.",
            f"weights = {expression(weights)}\n"
            "seed = keras.random.SeedGenerator(1)  # each draw another\n"
            "draw = keras.initializers.HeNormal(seed=seed)\n"
            "for variable in model.trainable_variables:\n"
            "    if variable.path not in weights:\n"
            "        continue\n"
            "    if len(variable.shape) > 1:\n"
            "        variable.assign(draw(variable.shape))\n"
            "    elif keras.ops.max(variable) < 0:\n"
            "        variable.assign(keras.ops.zeros_like(variable))",
        )
    ]
