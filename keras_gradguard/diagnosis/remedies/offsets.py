"""What to change where biases hold units at one side."""

from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.remedies.expressions import holds_others

# What an initializer gives to all weights, or to their mean.
_KEYS = ("value", "mean", "minval", "maxval")
_BIAS, _BETA = "bias_initializer", "beta_initializer"
# Initializers and large steps leave biases far below this.
_LARGE = 1.0
_BOUNDED = ("sigmoid", "softmax", "tanh", "hard_sigmoid")


def start_at_zero(run, layers, large=()):
    """Return the remedy for layers whose biases start far from zero, or [].

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. Layers whose units are dead or saturated.
        large: Paths of layers whose biases were measured to be large.
    """
    changes = _changes(run, layers, large)
    if not changes:
        return []
    # Behind a layer that is dead others do not show that they are, too.
    behind = [layer for layer in run.layers if not _may_lie_far(run, layer)]
    changes |= _changes(run, behind, large)
    shown = ", ".join(str(at).rsplit("/", maxsplit=1)[-1] for at in changes)
    return [
        model.change_layers(
            f"Start the biases of {shown} at zero",
            "A large bias outweighs all that comes in, so every sample gives "
            "the same.",
            changes,
        )
    ]


def _changes(run, layers, large):
    changes: dict = {}
    for layer in layers:
        for key in (layer, *_normalizations_behind(run, layer)):
            path, info = run.of_user(key)
            name = _BETA if info.get("normalization") else _BIAS
            if key in large or _far(info, name):
                changes[path] = {name: "zeros"}
    return changes


def _may_lie_far(run, layer):
    """Whether a layer gives numbers of any size, which may lie far from 0."""
    return any(
        layer in output.layers and output.activation not in _BOUNDED
        for output in run.outputs
    )


def _normalizations_behind(run, layer):
    """Return the normalizations between a layer and the next with a kernel."""
    paths = list(run.layers)
    found = []
    for path in paths[paths.index(layer) + 1 :] if layer in paths else ():
        if not run.info(path).get("normalization"):
            break
        found.append(path)
    return found


def _far(info, name):
    call = info.get("call")
    while isinstance(call, dict) and (inner := holds_others(call)):
        call = call["arguments"][inner[0]]
    given = call.get("arguments") if isinstance(call, dict) else None
    made = given.get(name) if isinstance(given, dict) else None
    drawn = made.get("arguments") if isinstance(made, dict) else None
    if not isinstance(drawn, dict):
        return False
    known = [drawn.get(key) for key in _KEYS]
    ends = [abs(end) for end in known if isinstance(end, int | float)]
    return bool(ends) and min(ends) > _LARGE
