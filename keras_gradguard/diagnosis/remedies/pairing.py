"""The code of a pairing: a line, or what it does to layers where they are."""

from keras_gradguard.diagnosis.remedies.code import name_of
from keras_gradguard.diagnosis.remedies.expressions import Raw
from keras_gradguard.diagnosis.remedies.expressions import call
from keras_gradguard.diagnosis.remedies.expressions import expression

# What `ReLU` takes to be like the activation of a pairing.
_SLOPES = {"he_relu": 0.0, "he_leaky_relu": 0.2}


def convert(run, pairing, layers, normalization=None, residual=False):
    """Return the code that gives hidden layers another pairing.

    Args:
        run: `RunInfo` of the run or the model.
        pairing: Str. Name of the pairing.
        layers: List of str. The layers it is about, in forward order.
        normalization: None, `"batch"` or `"layer"`.
        residual: Bool.
    """
    if run.model_kind == "subclassed":
        return _in_place(run, pairing, layers, normalization, residual)
    more = {}
    if normalization:
        more["normalization"] = normalization
    if residual:
        more["residual"] = True
    told = call("kgg.presets.convert", Raw("model"), pairing, **more)
    return f"model = {expression(told)}"


def _in_place(run, pairing, layers, normalization=None, residual=False):
    """Return code for the layers of a model that cannot be built anew."""
    # All that are hidden: behind one that is dead no other shows what it is.
    ends = {layer for output in run.outputs for layer in output.layers}
    hidden = [layer for layer in run.layers if layer not in ends] or layers
    top = [layer for layer in hidden if str(layer).count("/") <= 1]
    bent = [a for a in top if _bends(run.info(a))]
    # Their activations are layers of their own, of which ReLU has a slope.
    apart = [] if bent or pairing not in _SLOPES else _with_kernels(run, top)
    how = f"how = kgg.presets.get({expression(pairing)})"
    if not bent and not apart:
        return f"{how}  # in the hidden layers: Dense(units, **how)"
    # Only the user's own `call` can put a layer between others.
    if normalization:
        kind = f"{normalization.title()}Normalization"
        how = f"# and keras.layers.{kind}() behind each, in `call`\n{how}"
    if residual:
        how = (
            f"# and `x + layer(x)` where the widths are equal, in `call`\n{how}"
        )
    bend = '    layer.activation = keras.activations.get(how["activation"])\n'
    if apart:
        slope = _SLOPES[pairing]
        how += (
            "\nfor layer in model.layers:\n"
            "    if isinstance(layer, keras.layers.ReLU):\n"
            f"        layer.negative_slope = {slope}"
        )
        bend = ""
    return (
        f"{how}\n"
        f"for name in {expression([name_of(at) for at in bent or apart])}:\n"
        "    layer = model.get_layer(name)\n"
        f"{bend}"
        '    layer.kernel_initializer = how["kernel_initializer"]\n'
        "    if layer.built:\n"
        "        shape = layer.kernel.shape\n"
        '        layer.kernel.assign(how["kernel_initializer"](shape))\n'
        "    if layer.built and layer.bias is not None:\n"
        "        layer.bias.assign(keras.ops.zeros(layer.bias.shape))"
    )


def _bends(info):
    return info.get("activation") not in (None, "linear")


def _with_kernels(run, layers):
    return [
        at for at in layers if "kernel" in (run.info(at).get("shapes") or {})
    ]
