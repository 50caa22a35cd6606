"""Code that gives the user's own layers other functions than `keras.ops`.

Nothing can rewrite their code. But what it calls by the name `ops` or
`keras.ops` can be put in its place, in these layers alone.
"""

import re
import textwrap

from keras_gradguard.diagnosis.remedies.code import compile_with
from keras_gradguard.diagnosis.remedies.expressions import expression

_STEPS = ("ceil", "floor", "rint", "round", "sign", "trunc")
_BELOW = "keras.ops.maximum(x, 1e-7)"
# Methods by the name of the function in whose place they stand.
_SAFE = {
    **{
        name: f"def {name}(self, x):\n    return keras.ops.{name}({_BELOW})\n"
        for name in ("log", "log10", "log2", "rsqrt", "sqrt")
    },
    **{
        name: (
            f"def {name}(self, x):\n"
            f"    return keras.ops.{name}(keras.ops.clip(x, -0.999999, "
            "0.999999))\n"
        )
        for name in ("arccos", "arcsin")
    },
    "power": (
        "def power(self, x, to):\n"
        "    whole = isinstance(to, int)\n"
        f"    return keras.ops.power(x if whole else {_BELOW}, to)\n"
    ),
    "divide": (
        "def divide(self, x, by):\n"
        "    none = keras.ops.abs(by) < 1e-7\n"
        "    return x / keras.ops.where(none, 1e-7, by)\n"
    ),
    "std": (
        "def std(self, x, *args, **kwargs):\n"
        "    x = keras.ops.var(x, *args, **kwargs)\n"
        f"    return keras.ops.sqrt({_BELOW})\n"
    ),
    "norm": (
        "def norm(self, x, ord=None, axis=None, keepdims=False):\n"
        "    x = keras.ops.sum(keras.ops.square(x), axis, keepdims)\n"
        f"    return keras.ops.sqrt({_BELOW})\n"
    ),
}
_SLOPES = {
    **{
        name: (
            f"def {name}(self, x, *args):\n"
            f"    step = keras.ops.{name}(x, *args) - x\n"
            "    return x + keras.ops.stop_gradient(step)\n"
        )
        for name in _STEPS
    },
    "stop_gradient": "def stop_gradient(self, x):\n    return x\n",
    "argmax": (
        "def argmax(self, x, axis=-1, **kwargs):\n"
        "    at = keras.ops.argmax(x, axis, **kwargs)\n"
        "    self.came[id(at)] = at, x\n"
        "    return at\n"
        "\n"
        "def one_hot(self, at, *args, **kwargs):\n"
        "    hot = keras.ops.one_hot(at, *args, **kwargs)\n"
        "    if id(at) not in self.came:\n"
        "        return hot\n"
        "    share = keras.ops.softmax(self.came[id(at)][1])\n"
        "    return share + keras.ops.stop_gradient(hot - share)\n"
    ),
}
_AS_THEY_ARE = {
    name: f"def {name}(self, x, *args):\n    return x\n" for name in _STEPS
}


def safe(run, names, found):
    """Return code that keeps functions finite in some layers, or "".

    Args:
        run: `RunInfo` of the run or the model.
        names: List of str. Names of the layers.
        found: Names of the functions in them.
    """
    return _instead(run, names, [_SAFE[one] for one in found if one in _SAFE])


def with_slopes(run, names, found):
    """Return code that passes gradients through functions, or "".

    As straight through a step: forward it counts, backward it does not. Only
    where all that cuts the gradient off can be met so.

    Args:
        run: `RunInfo` of the run or the model.
        names: List of str. Names of the layers.
        found: Names of the functions in them.
    """
    if not set(found) <= set(_SLOPES):
        return ""
    return _instead(run, names, [_SLOPES[one] for one in found])


def without_steps(run, names, found):
    """Return code that leaves rounding out in some layers, or "".

    Args:
        run: `RunInfo` of the run or the model.
        names: List of str. Names of the layers.
        found: Names of the functions in them.
    """
    if not set(found) <= set(_AS_THEY_ARE):
        return ""
    return _instead(run, names, [_AS_THEY_ARE[one] for one in found])


def _instead(run, names, methods):
    if not methods:
        return ""
    # A model that is made once more has layers of other numbers.
    kinds = list(dict.fromkeys(re.sub(r"_\d+$", "", name) for name in names))
    body = textwrap.indent("\n".join(methods), "    ")
    return (
        "import re\n"
        "import types\n"
        "\n"
        "class Ops:  # in the place of keras.ops, in these layers alone\n"
        "    came = {}\n"
        "\n"
        "    def __getattr__(self, name):\n"
        "        return getattr(keras.ops, name)\n"
        "\n"
        f"{body}"
        "\n"
        "def changed(function):\n"
        "    near = dict(function.__globals__)\n"
        "    for name, value in function.__globals__.items():\n"
        "        if value is keras.ops:\n"
        "            near[name] = Ops()\n"
        "        if value is keras:\n"
        "            near[name] = types.SimpleNamespace(\n"
        '                **{**vars(keras), "ops": Ops()}\n'
        "            )\n"
        "    return types.FunctionType(\n"
        "        function.__code__,\n"
        "        near,\n"
        "        function.__name__,\n"
        "        function.__defaults__,\n"
        "        function.__closure__,\n"
        "    )\n"
        "\n"
        'def kind(name):  # "gate" of "gate_1"\n'
        '    return re.sub(r"_[0-9]+$", "", name)\n'
        "\n"
        "for layer in kgg.layers.inside(model):\n"
        f"    if kind(layer.name) not in {expression(kinds)}:\n"
        "        continue\n"
        "    if isinstance(layer, keras.layers.Lambda):\n"
        "        layer.function = changed(layer.function)\n"
        "    else:\n"
        "        call = changed(type(layer).call)\n"
        "        layer.call = types.MethodType(call, layer)\n"
        "\n"
        f"{compile_with(run)}"
    )
