"""Code of remedies that change data: arrays, or what gives batches.

Nothing can be assigned to what a reader hands out. There the scale goes into a
model around the one that there is, which is left as it was.
"""

import re

from keras_gradguard.diagnosis.remedies.code import compile_with
from keras_gradguard.diagnosis.remedies.expressions import expression

UNIT_SCALE = (
    "def unit_scale(values):\n"
    '    if values.dtype.kind != "f" or np.isin(values, (0, 1)).all():\n'
    "        return values  # indices, classes, yes and no stay\n"
    "    spread = values.std(axis=0) + 1e-7\n"
    "    return (values - values.mean(axis=0)) / spread\n"
    "\n"
)
_SOME = (
    "def some_batches(data, most=100):\n"
    "    if isinstance(data, keras.utils.PyDataset):\n"
    "        most = min(most, data.num_batches or most)\n"
    "        return [data[at] for at in range(most)]\n"
    "    return [batch for _, batch in zip(range(most), data)]\n"
    "\n"
)
_ROWS = (
    f"{_SOME}"
    "rows = [np.asarray(batch[{at}]) for batch in some_batches(x)]\n"
    "rows = np.concatenate(rows)\n"
)
# Rows of arrays in any order.
SHUFFLED = (
    "order = np.random.default_rng(0).permutation(len(x))\n"
    "x, y = x[order], y[order]"
)
# What takes rows of arrays, and the same for batches.
_READ = {
    "x[:16], y[:16]": "*some_batches(x, 1)[0][:2]",
    "flatten((x, y))": "flatten(some_batches(x))",
    "v[:1], x)": "v[:1], some_batches(x, 1)[0][0])",
}
_OF_DATA = re.compile(r"^(x|y|x, y)(\[.*\])? = .*$", re.M)


def normalize_inputs(run):
    """Return the code that brings inputs to unit scale inside of the model.

    Args:
        run: `RunInfo` of the run or the model.
    """
    if _cannot_hold(run):
        return "# bring each input to unit scale where the batches are made"
    return (
        f"{_ROWS.format(at=0)}"
        "axes = tuple(range(rows.ndim - 1))\n"
        "scale = keras.layers.Normalization(\n"
        "    mean=rows.mean(axes), variance=rows.var(axes)\n"
        ")\n"
        "scale.build(rows.shape)\n"
        f"{_around(run, 'scale, model')}"
    )


def rescale_inputs(run, scale):
    """Return the code that multiplies inputs inside of the model.

    Args:
        run: `RunInfo` of the run or the model.
        scale: Float. The factor.
    """
    if _cannot_hold(run):
        return f"# multiply inputs by {scale:.6g} where the batches are made"
    return _around(run, f"keras.layers.Rescaling({scale:.6g}), model")


def scale_targets(run):
    """Return the code that lets the model give targets at their own scale.

    Args:
        run: `RunInfo` of the run or the model.

    Returns:
        The code, and in code the weight that the loss has from now on.
    """
    # In the units of the targets the loss would be as large as before.
    weight = "1 / std" if _of_sizes(run) else "std**-2"
    if (run.loss_weight or 1) != 1:
        weight = f"{run.loss_weight:.6g} * {weight}"
    if _cannot_hold(run):
        return "# bring the targets to unit scale where they are made", weight
    whole = _around(run, "model, keras.layers.Rescaling(std, mean)", weight)
    return (
        f"{_ROWS.format(at=1)}"
        "mean, std = float(rows.mean()), float(rows.std()) + 1e-7\n"
        f"{whole}",
        weight,
    )


def of_each(run, code):
    """Return code that takes `x` and `y` for arrays, for what gives batches.

    What it assigns to them becomes a function of one batch.

    Args:
        run: `RunInfo` of the run or the model.
        code: Str.
    """
    if not run.batches:
        return code
    for rows, batch in _READ.items():
        if rows in code:
            code = f"{_SOME}{code.replace(rows, batch)}"
    head, some, rest = code.partition(_SOME)
    code = f"{head}{some}{rest.replace(_SOME, '')}"
    found = list(_OF_DATA.finditer(code))
    if not found:
        return code
    changes = "".join(f"    {one.group()}\n" for one in found)
    rest = _OF_DATA.sub("", code).strip("\n")
    return (f"{rest}\n\n" if rest else "") + (
        "def change(x, y):  # call it where the batches are made\n"
        f"{changes}"
        "    return x, y"
    )


def _cannot_hold(run):
    """Whether no chain of layers can hold the model and train it the same."""
    several = run.several_inputs or len(run.outputs) > 1
    return several or run.own_loss == "model"


def _of_sizes(run):
    return run.loss_name in ("mean_absolute_error", "mae")


def _around(run, layers, weight=None):
    """Return the code of a model that holds the present one among others."""
    told = compile_with(run, weights=weight and f"[{weight}]")
    return (
        f"whole = keras.Sequential([{layers}])\n"
        f"{told.replace('model.compile', 'whole.compile', 1)}\n"
        "model = whole"
    )


def of_one_output(run, code, layers):
    """Return code that changes `y`, for the targets of one output of several.

    Args:
        run: `RunInfo` of the run or the model.
        code: Str. Code in which `y` is one array.
        layers: List of str. Layers of the finding, that of the output as well.
    """
    if len(run.outputs) < 2 or not re.search(r"^(\w+, )?y\b.* = ", code, re.M):
        return code
    at = [i for i, o in enumerate(run.outputs) if o.layer in map(str, layers)]
    if not at or "map_structure" in code:
        return code
    losses = run.compiled.get("loss")
    losses = losses.get("entries") if isinstance(losses, dict) else None
    name = run.outputs[at[0]].name
    key, back = at[0], f"y = [*every[:{at[0]}], y, *every[{at[0] + 1}:]]"
    if isinstance(losses, dict) and name in losses:
        key, back = name, f"y = {{**every, {expression(name)}: y}}"
    lines = code.split("\n")
    # What compiles and builds comes after the data.
    last = max(i for i, line in enumerate(lines) if _of_targets(line))
    lines.insert(last + 1, back)
    first = f"every, y = y, y[{expression(key)}]  # the targets of {name}"
    return "\n".join([first, *lines])


def _of_targets(line):
    return re.search(r"\by\b", line) is not None
