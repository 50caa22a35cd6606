"""Single changes to a model: what to do, why, code to paste, the action.

Rules put them in order for a finding. NumPy only; the
edits they name are carried out by `keras_gradguard.edits`.
"""

from keras_gradguard._text import number
from keras_gradguard.findings.remedy import Remedy


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
    titles, lines = [], []
    if units is not None or activation is not None:
        titles.append(f"Give the output layer {_what(units, activation)}")
        lines.append(_layer(output, units, activation))
    if logits is not None:
        titles.append(f"Use {loss} with from_logits={logits}")
        called = "".join(word.title() for word in loss.split("_"))
        lines.append(
            "model.compile(optimizer, "
            f"loss=keras.losses.{called}(from_logits={logits}))"
        )
    elif loss is not None:
        titles.append(f"Use the loss {loss}")
        lines.append(f'model.compile(optimizer, loss="{loss}")')
    return Remedy(
        "; ".join(titles),
        why,
        "\n".join(lines),
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


def _layer(output, units, activation):
    units = output.units if units is None else units
    arguments = ["units" if units is None else str(units)]
    if "Conv" in output.kind:
        arguments.append("kernel_size")
    if activation is not None:
        arguments.append(f'activation="{activation}"')
    elif output.activation not in (None, "linear"):
        arguments.append(f'activation="{output.activation}"')
    if output.name:
        arguments.append(f'name="{output.name}"')
    return f"keras.layers.{output.kind}({', '.join(arguments)})"


def normalize_inputs(why, mean=None, std=None):
    """Return the change that puts a normalization in front of the model.

    Args:
        why: Str. The reason.
        mean: Float, list of a mean per feature, or None to let a batch
            normalization find out.
        std: The same for the standard deviation.
    """
    code = (
        "normalize = keras.layers.Normalization()\n"
        "normalize.adapt(x_train)\n"
        "model = keras.Sequential([normalize, *model.layers])"
    )
    return Remedy(
        "Normalize the inputs",
        why,
        code,
        action="normalize_inputs",
        arguments={"mean": mean, "std": std},
    )


def rescale_inputs(why, scale):
    """Return the change that multiplies the inputs by a number."""
    return Remedy(
        f"Rescale the inputs by {number(scale)}",
        why,
        f"model = keras.Sequential([keras.layers.Rescaling({scale:.6g}), "
        "*model.layers])",
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
        "mean, std = y_train.mean(axis=0), y_train.std(axis=0)\n"
        "y_train = (y_train - mean) / std\n"
        "y_val = (y_val - mean) / std\n"
        "# predictions: model.predict(x) * std + mean",
        action="scale_targets",
        arguments={"mean": float(mean), "std": float(std)},
    )


def convert(pairing, why, code, *, normalization=None, residual=False):
    """Return the change of hidden activations with their initializers.

    Args:
        pairing: Str. Name from `kgg.presets.names()`.
        why: Str. The reason.
        code: Str. The layers to paste.
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
        code,
        action="convert",
        arguments={
            "pairing": pairing,
            "normalization": normalization,
            "residual": residual,
        },
    )


def fewer_layers(layers, why):
    """Return the change that leaves layers out.

    Args:
        layers: List of str. Paths of the layers to leave out.
        why: Str. The reason.
    """
    named = [str(layer).rsplit("/", maxsplit=1)[-1] for layer in layers]
    return Remedy(
        "Use fewer layers",
        why,
        f"drop = {named!r}\n"
        "model = keras.Sequential("
        "[layer for layer in model.layers if layer.name not in drop])",
        action="remove_layers",
        arguments={"layers": [str(layer) for layer in layers]},
    )


def recurrent(layer, kind, units, why):
    """Return the change of a plain recurrent layer to LSTM or GRU.

    Args:
        layer: Str. Path of the layer.
        kind: Str. `"LSTM"`, `"GRU"`, or `"SimpleRNN"` to keep it and make
            its recurrent weights orthogonal.
        units: Int or None.
        why: Str. The reason.
    """
    name = str(layer).rsplit("/", maxsplit=1)[-1]
    size = "units" if units is None else units
    same = kind == "SimpleRNN"
    more = ', recurrent_initializer="orthogonal"' if same else ""
    title = (
        f"Make the recurrent weights of {name} orthogonal"
        if same
        else f"Use {kind} for {name}"
    )
    return Remedy(
        title,
        why,
        f'keras.layers.{kind}({size}{more}, name="{name}")',
        action="change_recurrent",
        arguments={"layer": str(layer), "kind": kind},
    )


def reinitialize(layers, why):
    """Return the change that draws weights anew."""
    return Remedy(
        "Draw the weights anew",
        why,
        "model = keras.models.clone_model(model)  # with other weights",
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
        "\n".join(remedy.code for remedy in remedies),
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
