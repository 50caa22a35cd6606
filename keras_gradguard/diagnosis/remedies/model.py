"""Single changes to a model: what to do, why, the action.

Rules put them in order for a finding. The edits they name are carried out by
`keras_gradguard.edits`; `remedies.paste` writes them down as code.
"""

from keras_gradguard._text import number
from keras_gradguard.diagnosis.remedies.data import UNIT_SCALE
from keras_gradguard.findings.remedy import Remedy

# More layers than these multiply to next to nothing, or to no end, however they
# start.
DEEP = 24


def output(output, why, *, units=None, activation=None, loss=None, logits=None):
    """Return the change of the last layer, of the loss, or of both.

    Args:
        output: `Output` as it is.
        why: Str. The reason.
        units: Int or None. New number of units.
        activation: Str or None. New activation.
        loss: Str or None. New loss, as Keras's function is called.
        logits: Bool or None. New `from_logits` of the loss.
    """
    titles = []
    if units is not None or activation is not None:
        titles.append(f"Give the output layer {_what(units, activation)}")
    if logits is not None:
        titles.append(f"Use {loss} with from_logits={logits}")
    elif loss is not None:
        titles.append(f"Use the loss {loss}")
    return Remedy(
        "; ".join(titles),
        why,
        action="change_output",
        arguments={
            "layer": output.layer,
            "units": units,
            "activation": activation,
            "loss": loss,
            "from_logits": logits,
        },
    )


def _what(units, activation):
    what = []
    if units is not None:
        what.append("1 unit" if units == 1 else f"{units} units")
    if activation is not None:
        kind = "no" if activation == "linear" else activation
        what.append(f"{kind} activation")
    return " and ".join(what)


def without_exponential(run):
    """Return the change of an output that is an exponential, else none.

    Args:
        run: `RunInfo` of the run or the model.

    Returns:
        List of `Remedy`, at most one.
    """
    if run.output is None or run.output.activation != "exponential":
        return []
    why = (
        "It is as little below 0, and grows by as much as what comes in: an "
        "exponential makes a number of 22 digits of 50."
    )
    return [output(run.output, why, activation="softplus")]


def normalize_inputs(why, mean=None, std=None):
    """Return the change that puts a normalization in front of the model.

    Args:
        why: Str. The reason.
        mean: Float, list of a mean per feature, or None to let a batch
            normalization find out.
        std: The same for the standard deviation.
    """
    return Remedy(
        "Normalize the inputs",
        why,
        action="normalize_inputs",
        arguments={"mean": mean, "std": std},
    )


def normalize_each():
    """Return the advice to bring each of several inputs to unit scale."""
    return words(
        "Normalize the inputs",
        "Each of them, by its own mean and spread.",
        f"{UNIT_SCALE}x = keras.tree.map_structure(unit_scale, x)",
    )


def rescale_inputs(why, scale):
    """Return the change that multiplies the inputs by a number."""
    return Remedy(
        f"Rescale the inputs by {number(scale)}",
        why,
        action="rescale_inputs",
        arguments={"scale": float(scale)},
    )


def scale_targets(why, mean, std):
    """Return the change that lets the model learn targets of unit scale.

    Args:
        why: Str. The reason.
        mean: Float. Mean of the targets.
        std: Float. Their standard deviation.
    """
    return Remedy(
        "Bring the targets to unit scale",
        why,
        action="scale_targets",
        arguments={"mean": float(mean), "std": float(std)},
    )


def convert(pairing, why, *, normalization=None, residual=False):
    """Return the change of hidden activations with their initializers.

    Args:
        pairing: Str. Name from `kgg.presets.names()`.
        why: Str. The reason.
        normalization: None, `"batch"` or `"layer"`. Defaults to None.
        residual: Bool. Whether to add residual connections.
    """
    if residual:
        title = "Add residual connections"
    elif normalization:
        title = "Normalize between the layers"
    else:
        title = f'Use the pairing "{pairing}" in the hidden layers'
    return Remedy(
        title,
        why,
        action="convert",
        arguments={
            "pairing": pairing,
            "normalization": normalization,
            "residual": residual,
        },
    )


def leave_out(layers, why):
    """Return the change that leaves layers out.

    Args:
        layers: List of str. Their paths.
        why: Str. The reason.
    """
    named = ", ".join(str(at).rsplit("/", maxsplit=1)[-1] for at in layers)
    return Remedy(
        f"Leave out {named}",
        why,
        action="remove_layers",
        arguments={"layers": [str(layer) for layer in layers]},
    )


def change_layers(title, why, changes):
    """Return the change of arguments of layers.

    Args:
        title: Str. What is done, in words.
        why: Str. The reason.
        changes: Dict from layer path to a dict of what JSON can hold.
    """
    return Remedy(
        title, why, action="change_layers", arguments={"layers": changes}
    )


def recurrent(layer, kind, why):
    """Return the change of a plain recurrent layer to LSTM or GRU.

    Args:
        layer: Str. Path of the layer.
        kind: Str. `"LSTM"`, `"GRU"`, or `"SimpleRNN"` to keep it, with tanh
            and orthogonal recurrent weights.
        why: Str. The reason.
    """
    name = str(layer).rsplit("/", maxsplit=1)[-1]
    title = (
        f"Give {name} tanh and orthogonal recurrent weights"
        if kind == "SimpleRNN"
        else f"Use {kind} for {name}"
    )
    return Remedy(
        title,
        why,
        action="change_recurrent",
        arguments={"layer": str(layer), "kind": kind},
    )


def reinitialize(layers, why):
    """Return the change that draws weights anew."""
    return Remedy(
        "Draw the weights anew",
        why,
        action="reinitialize",
        arguments={"layers": [str(layer) for layer in layers]},
    )


def several(remedies, why):
    """Return several changes as one, where each alone is not enough.

    Args:
        remedies: List of `Remedy`, each with an action, in the order in which
            they are made.
        why: Str. Why they belong together.
    """
    return Remedy(
        " + ".join(remedy.title for remedy in remedies),
        why,
        action="several",
        arguments={
            "changes": [
                {"action": remedy.action, "arguments": remedy.arguments}
                for remedy in remedies
            ]
        },
    )


def words(title, why, code=""):
    """Return a remedy that only the user can carry out."""
    return Remedy(title, why, code)
