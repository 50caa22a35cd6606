"""Remedies for what is in the user's own layers, which nothing can rewrite.

Their code goes around it: it replaces a method of the layers of this model.
"""

from keras_gradguard import _text
from keras_gradguard.diagnosis.remedies import code
from keras_gradguard.diagnosis.remedies import own_ops
from keras_gradguard.diagnosis.remedies.code import compile_with
from keras_gradguard.diagnosis.remedies.code import name_of
from keras_gradguard.diagnosis.remedies.expressions import expression
from keras_gradguard.findings.remedy import Remedy


def pass_through(run, layers):
    """Return the remedy that passes a gradient through what cuts it off.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. Those that get none, in forward order.
    """
    why = "Forward the rounded value counts, backward the one before it."
    title = "Pass the gradient straight through"
    cuts = {p: told for p, told in run.own_cuts.items() if told["names"]}
    if cuts:
        why = f"{_where(cuts)} {why}"
    found = sorted({name for told in cuts.values() for name in told["names"]})
    names = [name_of(path) for path in cuts]
    if layers and any(_is_inside(layer, cuts) for layer in layers):
        # What is rounded comes beside these layers, and not out of them.
        told = own_ops.without_steps(run, names, found)
        if told:
            what = " and ".join(names[:3])
            return Remedy(f"Leave out the rounding in {what}", why, told)
    told = own_ops.with_slopes(run, names, found)
    if layers and told and run.model not in names:
        return Remedy(title, why, told)
    table = _table_behind(run, cuts)
    if table is not None and set(found) <= {"argmax", "cast"}:
        return _look_up_softly(run, why, names[0], *table)
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


def _table_behind(run, cuts):
    """Return name, rows and width of the table that looks up a choice."""
    paths = [path for path in run.layers if path not in cuts]
    if len(cuts) != 1 or run.model_kind == "subclassed":
        return None
    for path in paths:
        info = run.info(path)
        rows, shapes = info.get("input_dim"), info.get("shapes") or {}
        shape = shapes.get("embeddings")
        if info.get("class") == "Embedding" and isinstance(rows, int):
            return (name_of(path), rows, shape[-1]) if shape else None
    return None


def _look_up_softly(run, why, choice, table, rows, width):
    """Return the remedy for a row that is looked up by the largest input."""
    return Remedy(
        f"Let {table} take the choice itself, and not its number",
        f"{why} A number has no slope, however it was made.",
        "class Choice(keras.layers.Layer):\n"
        "    def __init__(self, rows, width, **kwargs):\n"
        "        super().__init__(**kwargs)\n"
        "        self.rows, self.width = rows, width\n"
        "\n"
        "    def build(self, shape):\n"
        "        size = (self.rows, self.width)\n"
        '        self.table = self.add_weight(size, "glorot_uniform")\n'
        "\n"
        "    def call(self, x):\n"
        "        share = keras.ops.softmax(x)\n"
        "        at = keras.ops.argmax(x, axis=-1)\n"
        "        hot = keras.ops.one_hot(at, self.rows)\n"
        "        hot = share + keras.ops.stop_gradient(hot - share)\n"
        "        return keras.ops.matmul(hot, self.table)\n"
        "\n"
        "    def compute_output_shape(self, shape):\n"
        "        return (*shape[:-1], self.width)\n"
        "\n"
        "model = kgg.replace_layers(\n"
        "    model,\n"
        f"    keras.layers.Identity(name={expression(choice)}),\n"
        f"    Choice({rows}, {width}, name={expression(table)}),\n"
        ")",
    )


def _is_inside(layer, cuts):
    return any(str(layer).startswith(f"{path}/") for path in cuts)


def _where(cuts, key="lines"):
    """Return which lines of own code are meant, a sentence, "" of none."""
    lines = [
        f"{told['where']}, line {line}: `{text}`"
        for told in cuts.values()
        for line, text in told[key]
    ]
    if not lines:
        return ""
    return f"In {'; '.join(lines[:3])}."


def connect(run):
    """Return whether layers are surely left out, and the remedy for it.

    Args:
        run: `RunInfo` of the run or the model.
    """
    left = _where(run.own_cuts, "unused")
    cut = any(told["names"] for told in run.own_cuts.values())
    why = (
        "A layer learns only if the loss depends on what it gives. Where "
        "your own code multiplies it by 0 or leaves it out, only that code "
        "can be mended."
    )
    # A `call` of the user's own may leave a layer out; a graph never does.
    return bool(left) or (run.model_kind == "subclassed" and not cut), Remedy(
        "Connect these layers to the output",
        f"{left} What it gives goes nowhere. {why}" if left else why,
        "model.summary(expand_nested=True)  # follow their outputs",
    )


def start_at_one(run):
    """Return the remedy for fixed weights of own layers that are 0, or [].

    Args:
        run: `RunInfo` of the run or the model.
    """
    names = [
        name_of(path)
        for path, told in run.own_cuts.items()
        if told.get("zeros") is True
    ]
    if not names:
        return []
    return [
        Remedy(
            f"Start the fixed weights of {', '.join(names[:3])} at 1",
            "They are 0 and not trained, and 0 times a branch stays 0. Or "
            "train them: leave out `trainable=False`.",
            "for layer in kgg.layers.inside(model):\n"
            f"    if layer.name not in {expression(names)}:\n"
            "        continue\n"
            "    for weight in layer.non_trainable_weights:\n"
            "        if not np.any(keras.ops.convert_to_numpy(weight)):\n"
            "            weight.assign(keras.ops.ones(weight.shape))\n"
            "\n"
            f"{compile_with(run)}",
        )
    ]


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
    every = sorted({name for found in risky.values() for name in found})
    told = own_ops.safe(run, names, every)
    if told:
        return [
            Remedy(
                f"Keep {_spoken(found)} of {name_of(path)} finite",
                "It is not finite at 0, or has no finite slope there. Better "
                "still: add a small number in the code of that layer.",
                told,
            )
        ]
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


def hold_indices(run, tables, top):
    """Return the remedy that keeps indices within tables, where they are.

    Args:
        run: `RunInfo` of the run or the model.
        tables: Dict from the path of a table to its rows.
        top: Int. The largest index that was looked up, 0 if unknown.
    """
    names = [name_of(path) for path in tables]
    rows = list(tables.values())
    within = f"its {rows[0]} rows" if len(rows) == 1 else "their rows"
    seen = f"The largest is {top}. " if top >= min(rows) else ""
    return Remedy(
        f"Keep the indices of {_text.names(names)} within {within}",
        f"{seen}All beyond share the last row then. Better still: give the "
        "table one row more than the largest index, where its layer makes it.",
        "for layer in kgg.layers.inside(model):\n"
        f"    if layer.name in {expression(names)}:\n"
        "        layer.call = (\n"
        "            lambda at, look_up=layer.call, rows=layer.input_dim: "
        "look_up(\n"
        "                keras.ops.clip(at, 0, rows - 1)\n"
        "            )\n"
        "        )\n"
        "\n"
        f"{compile_with(run)}",
    )


def _spoken(found):
    return _text.names([f"`{name}`" for name in found])


def draw_anew(run, layers):
    """Return the remedy that draws kernels at random that start equal.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. The layers that own them.
    """
    return Remedy(
        "Draw these kernels at random",
        "Units that start equal stay equal, and a signal that starts too "
        "large or too small does not get through.",
        code.draw_anew(run, layers, "GlorotUniform"),
    )
