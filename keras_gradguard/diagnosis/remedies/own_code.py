"""Remedies for what is in the user's own layers, which nothing can rewrite.

Their code goes around it: it replaces a method of the layers of this model.
"""

import math

from keras_gradguard.diagnosis.remedies import code
from keras_gradguard.diagnosis.remedies.code import compile_with
from keras_gradguard.diagnosis.remedies.code import name_of
from keras_gradguard.diagnosis.remedies.expressions import expression
from keras_gradguard.findings.remedy import Remedy

# What is left of an added loss, beside that of the data.
_LEFT = 0.01


def weaken_added(run, why, added, task):
    """Return the remedy that multiplies all added losses by a small number.

    Args:
        run: `RunInfo` of the run.
        why: Str. The reason.
        added: Float. What was added to the first loss.
        task: Float. What the data make of it.
    """
    factor = 10.0 ** math.floor(math.log10(max(1e-9, _LEFT * task / added)))
    factor = min(0.1, factor)
    return Remedy(
        "Weaken what is added to the loss",
        why,
        "def weaken(layer):\n"
        "    add = layer.add_loss\n"
        "    layer.add_loss = lambda loss: add(\n"
        "        keras.tree.map_structure("
        f"lambda one: {factor:g} * one, loss)\n"
        "    )\n"
        '    for inner in getattr(layer, "layers", ()):\n'
        "        weaken(inner)\n"
        "\n"
        "weaken(model)  # better: the same factor where the loss is added\n"
        f"{compile_with(run)}",
    )


def pass_through(run, layers):
    """Return the remedy that passes a gradient through what cuts it off.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. Those that get none, in forward order.
    """
    why = "Forward the rounded value counts, backward the one before it."
    title = "Pass the gradient straight through"
    path, _ = run.of_user(layers[-1]) if layers else ("", {})
    inside = str(path).count("/") > 1
    if not path or inside or run.model_kind == "subclassed":
        return Remedy(
            title,
            why,
            "def straight_through(value):\n"
            "    step = keras.ops.round(value) - value\n"
            "    return value + keras.ops.stop_gradient(step)",
        )
    return Remedy(
        title,
        f"{why} It goes around layers of your own that keep the shape, and "
        "holds what comes in near to what they give.",
        "def straight_through(layer):\n"
        "    call, stop = layer.call, keras.ops.stop_gradient\n"
        "\n"
        "    def through(x, *args, **kwargs):\n"
        "        y = call(x, *args, **kwargs)\n"
        '        if getattr(x, "shape", None) != y.shape:\n'
        "            return y\n"
        "        for one, other in ((x, y), (y, x)):\n"
        "            gap = keras.ops.square(one - stop(other))\n"
        "            layer.add_loss(0.1 * keras.ops.mean(gap))\n"
        "        return y + (x - stop(x))\n"
        "\n"
        "    layer.call = through\n"
        "\n"
        "names = [layer.name for layer in model.layers]\n"
        f"cut = {expression(name_of(path))}\n"
        "last = names.index(cut) if cut in names else -1\n"
        "for layer in model.layers[last + 1 :]:\n"
        '    own = not type(layer).__module__.startswith("keras.")\n'
        "    if own or isinstance(layer, keras.layers.Lambda):\n"
        "        straight_through(layer)\n"
        f"{compile_with(run)}",
    )


def off_the_edge(run):
    """Return the remedy that keeps own layers off what is not safe, or [].

    Args:
        run: `RunInfo` of the run or the model.
    """
    risky = {path: found for path, found in run.own_layers.items() if found}
    if not risky:
        return []
    path, found = next(iter(risky.items()))
    names = list(dict.fromkeys(name_of(path) for path in risky))
    return [
        Remedy(
            f"Keep what comes into {', '.join(names[:3])} away from 0",
            f"{name_of(path)} uses {_spoken(found)}, which is not finite at 0, "
            "or has no finite slope there. Better still: add a small number "
            "in its code.",
            "def off_zero(call):\n"
            "    def safe(inputs, *args, **kwargs):\n"
            "        moved = [\n"
            "            x + keras.random.uniform(\n"
            "                keras.ops.shape(x), 1e-4, 1e-3, x.dtype, seed\n"
            "            )\n"
            "            for seed, x in enumerate(keras.tree.flatten(inputs))\n"
            "        ]\n"
            "        inputs = keras.tree.pack_sequence_as(inputs, moved)\n"
            "        return call(inputs, *args, **kwargs)\n"
            "\n"
            "    return safe\n"
            "\n"
            "def mend(layer):\n"
            f"    if layer.name in {expression(names)}:\n"
            "        layer.call = off_zero(layer.call)\n"
            '    for inner in getattr(layer, "layers", ()):\n'
            "        mend(inner)\n"
            "\n"
            "mend(model)\n"
            f"{compile_with(run)}",
        )
    ]


def hold_indices(run, layer, rows, top):
    """Return the remedy that keeps indices within a table of an own layer.

    Args:
        run: `RunInfo` of the run or the model.
        layer: Str. Path of the table.
        rows: Int. How many rows it has.
        top: Int. The largest index that was looked up.
    """
    name = name_of(layer)
    return Remedy(
        f"Keep the indices of {name} within its {rows} rows",
        f"The largest is {top}. All beyond share the last row then. Better "
        f"still: give the table {max(top, rows) + 1} rows where its layer "
        "makes it.",
        "for layer in model._flatten_layers():\n"
        f"    if layer.name == {expression(name)}:\n"
        "        layer.call = lambda at, look_up=layer.call: look_up(\n"
        f"            keras.ops.clip(at, 0, {rows - 1})\n"
        "        )\n"
        "\n"
        f"{compile_with(run)}",
    )


def _spoken(found):
    told = [f"`{name}`" for name in found]
    return (
        told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"
    )


def draw_anew(run, layers):
    """Return the remedy that draws kernels at random that start equal.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. The layers that own them.
    """
    return Remedy(
        "Draw these kernels at random",
        "Units that start equal stay equal.",
        code.draw_anew(run, layers, "GlorotUniform"),
    )
