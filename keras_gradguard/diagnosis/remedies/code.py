"""The code of remedies: it runs as it stands where the model is compiled."""

from keras_gradguard.diagnosis.remedies.expressions import CLIPS
from keras_gradguard.diagnosis.remedies.expressions import Raw
from keras_gradguard.diagnosis.remedies.expressions import broken
from keras_gradguard.diagnosis.remedies.expressions import call
from keras_gradguard.diagnosis.remedies.expressions import expression
from keras_gradguard.diagnosis.remedies.expressions import holds_others
from keras_gradguard.diagnosis.remedies.expressions import is_call
from keras_gradguard.diagnosis.remedies.expressions import leaf_of
from keras_gradguard.diagnosis.remedies.expressions import with_changes
from keras_gradguard.diagnosis.remedies.rates import RANGES

_GRAPHS = ("sequential", "functional")
# What a weight is drawn or held down by, and the names of weights by those of
# their arguments.
_OF_WEIGHTS = ("regularizer", "initializer")
WEIGHTS = {
    "kernel": ("kernel",),
    "recurrent": ("recurrent_kernel",),
    "depthwise": ("depthwise_kernel", "kernel"),
    "pointwise": ("pointwise_kernel",),
    "embeddings": ("embeddings",),
    "bias": ("bias",),
    "gamma": ("gamma",),
    "beta": ("beta",),
}
# More layers that change alike are told by their names.
_MANY = 4
# An optimizer that is known by its name alone.
_SETTINGS = ("momentum", *CLIPS)
_OF_KERAS = (*RANGES, "Muon")
# What a schedule of the user's own has come to, which no code can make.
_RATE = "float(model.optimizer.learning_rate)"


def change_layers(run, changes):
    """Return the code that gives layers other arguments.

    Args:
        run: `RunInfo` of the run or the model.
        changes: Dict from layer path to a dict of arguments.
    """
    made: dict = {}
    for layer, arguments in changes.items():
        path, info = run.of_user(layer)
        made[path] = (info, arguments)
    # In the user's own code, which nothing builds anew.
    own = run.model_kind == "subclassed"
    held = {p: c for p, c in made.items() if own or run.is_held(p)}
    free = {p: c for p, c in made.items() if p not in held}
    lines = [in_place(run, held)] if held else []
    if free:
        lines.append(_put_changed(run, free))
    return "\n".join(lines)


def _put_changed(run, made):
    if len(made) > _MANY and _alike(run, made):
        return _of_many(made)
    calls = {}
    for path, (info, arguments) in made.items():
        if not is_call(info.get("call")):
            return _by_config(made)
        calls[path] = with_changes(info["call"], arguments)
    return put_layers(run, calls)


def _alike(run, made):
    """Whether the same is changed in plain layers that `get_layer` finds."""
    first, *_ = [arguments for _, arguments in made.values()]
    return all(
        arguments == first
        and path in (name_of(path), f"{run.model}/{name_of(path)}")
        and not holds_others(info.get("call"))
        for path, (info, arguments) in made.items()
    )


def _of_many(made):
    first, *_ = [arguments for _, arguments in made.values()]
    return (
        f"names = {_one_a_line(map(name_of, made), fits=0)}\n"
        f"changes = {expression({'entries': first})}\n"
        "changed = [\n"
        "    type(old).from_config({**old.get_config(), **changes})\n"
        "    for old in map(model.get_layer, names)\n"
        "]\n"
        "model = kgg.replace_layers(model, *changed)"
    )


def _one_a_line(names, fits=60):
    """Return names as a list, broken into lines where it is long."""
    names = list(names)
    short = expression(names)
    if len(short) <= fits:
        return short
    lines = [f"    {expression(name)},\n" for name in names]
    return f"[\n{''.join(lines)}]"


def put_layers(run, calls):
    """Return the code that puts layers in the place of others.

    Args:
        run: `RunInfo` of the run or the model.
        calls: Dict from layer path to the call that makes the new layer, of
            the same name.
    """
    if run.model_kind in (*_GRAPHS, None):
        told = call("kgg.replace_layers", Raw("model"), *calls.values())
        return broken(told, "model = ")
    lines = []
    for path, told in calls.items():
        lines.append(f"# in place of {name_of(path)}, where the model makes it")
        lines.append(expression(told))
    return "\n".join(lines)


def _by_config(made):
    """Return code for layers of which too little is known to write them."""
    lines = []
    for path, (_, arguments) in made.items():
        changes = expression({"entries": arguments})
        lines += [
            f"old = model.get_layer({expression(name_of(path))})",
            f"new = type(old).from_config({{**old.get_config(), **{changes}}})",
            "model = kgg.replace_layers(model, new)",
        ]
    return "\n".join(lines)


def in_place(run, made):
    """Return code that changes the weights of layers where they are.

    Args:
        run: `RunInfo` of the run or the model.
        made: Dict from layer path to what is known of the layer, and a dict
            of new arguments.
    """
    weights: dict = {}
    rest = []
    for path, (info, arguments) in made.items():
        owned = info.get("shapes") or {}
        for name, value in arguments.items():
            what, kind = str(name).rpartition("_")[::2]
            if kind in _OF_WEIGHTS and what in WEIGHTS:
                named = [w for w in WEIGHTS[what] if w in owned]
                named = named or list(WEIGHTS[what])
                key = kind, expression(value)
                weights.setdefault(key, []).append(f"{path}/{named[0]}")
            else:
                rest.append(f"# in {name_of(path)}: {name}={expression(value)}")
    if not weights:
        return "\n".join(rest)
    lines = [
        "if not model.built:  # it has no weights before its first call",
        "    model(keras.tree.map_structure(lambda v: v[:1], x))",
        "weights = {w.path: w for w in model.trainable_variables}",
    ]
    for (kind, value), paths in weights.items():
        lines.append(f"for path in {_one_a_line(paths)}:")
        if kind == "regularizer":
            lines.append(f"    weights[path].regularizer = {value}")
        else:
            lines += [
                f"    draw = keras.initializers.get({value})",
                "    weights[path].assign(draw(weights[path].shape))",
            ]
    return "\n".join([*rest, *lines, compile_with(run)])


def draw_anew(run, layers, how, offsets=False):
    """Return code that draws the kernels of layers at random, where they are.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. Paths of layers; of those without a kernel, as an
            activation is, nothing can be drawn.
        how: Str. Name of a class in `keras.initializers`.
        offsets: Bool. Whether their biases go to zero, too. Defaults to False.
    """
    kernels = _weights(run, layers, lambda name, shape: _is_kernel(name, shape))
    which = "variable.path in kernels"
    named = f"kernels = {_one_a_line(kernels)}\n"
    if not kernels:
        named, which = "", 'variable.path.endswith("kernel")'
    told = (
        f"{named}"
        "seed = keras.random.SeedGenerator(1)  # each draw another\n"
        f"draw = keras.initializers.{how}(seed=seed)\n"
        "for variable in model.trainable_variables:\n"
        f"    if {which}:\n"
        "        variable.assign(draw(variable.shape))"
    )
    biases = _weights(run, layers, lambda name, _: name in ("bias", "beta"))
    if not offsets or (kernels and not biases):
        return told
    which = "variable.path in biases"
    named = f"biases = {_one_a_line(biases)}\n"
    if not kernels:
        named, which = "", 'variable.path.endswith(("bias", "beta"))'
    return (
        f"{named}{told}\n"
        f"    elif {which}:\n"
        "        variable.assign(keras.ops.zeros(variable.shape))"
    )


def _weights(run, layers, wanted):
    return [
        f"{path}/{name}"
        for path in layers
        for name, shape in (run.info(path).get("shapes") or {}).items()
        if wanted(name, shape)
    ]


def _is_kernel(name, shape):
    return len(shape) > 1 and "bias" not in name


def optimizer_of(run):
    """Return the call that makes the optimizer of a run, or None."""
    facts = run.optimizer
    if is_call(facts.call):
        if leaf_of(facts.call).get("untold"):
            return with_changes(facts.call, {"learning_rate": Raw(_RATE)})
        return facts.call
    if facts.name not in _OF_KERAS:
        return None
    known = (
        {}
        if facts.learning_rate is None
        else {"learning_rate": facts.learning_rate}
    )
    known |= {key: getattr(facts, key) for key in _SETTINGS}
    known = {key: value for key, value in known.items() if value}
    return call(f"keras.optimizers.{facts.name}", **known)


def compile_with(run, optimizer=None, loss=None, weights=None):
    """Return the line that compiles the model anew, all else as it was.

    Args:
        run: `RunInfo` of the run or the model.
        optimizer: A call, or None for the present one.
        loss: The new loss: a name or a call; None for the present one.
        weights: Str. Code of the new weights of losses; None for the present.
    """
    compiled = {
        key: value
        for key, value in run.compiled.items()
        if str(key).isidentifier() and key != "untold"
    }
    if loss is not None:
        compiled["loss"] = loss
    if weights is not None:
        compiled["loss_weights"] = Raw(weights)
    told = call(
        "keras.Model.compile",
        **{
            "optimizer": Raw("model.optimizer")
            if optimizer is None
            else optimizer,
            "loss": Raw("model.loss"),
            **compiled,
        },
    )
    told = broken(told).replace("keras.Model.compile", "model.compile", 1)
    own = ["schedule"] if f"learning_rate={_RATE}" in told else []
    own += ["metrics"] if run.compiled.get("untold") else []
    return f"{told}  # and with your own {' and '.join(own)}" if own else told


def use_loss(run, loss, logits=None):
    """Return the code that trains by a loss, also in a model with its own.

    Args:
        run: `RunInfo` of the run or the model.
        loss: Str. Name of a function in `keras.losses`.
        logits: Bool or None. Its `from_logits`.
    """
    if run.own_code.get("step") is True:
        told = compile_with(run, None, loss_of(loss, logits))
        return (
            "import types\n"
            "\n"
            "step = keras.Model.train_step  # in the place of your own\n"
            f"model.train_step = types.MethodType(step, model)\n{told}"
        )
    if run.own_loss != "model" or run.model_kind != "subclassed":
        return compile_with(run, None, loss_of(loss, logits))
    more = "" if logits is None else f", from_logits={logits}"
    return (
        "def compute_loss(x=None, y=None, y_pred=None, *args, **kwargs):\n"
        f"    return keras.ops.mean(keras.losses.{loss}(y, y_pred{more}))\n"
        "\n"
        "model.compute_loss = compute_loss  # or as a method of its class"
    )


def loss_of(loss, logits=None):
    """Return a loss for `compile`: its name, or a call that makes it.

    Args:
        loss: Str. Name of a function in `keras.losses`.
        logits: Bool or None. Its `from_logits`.
    """
    if logits is None:
        return loss
    kind = "".join(word.title() for word in loss.split("_"))
    return call(f"keras.losses.{kind}", from_logits=logits)


def name_of(path):
    """Return the name of a layer."""
    return str(path).rsplit("/", maxsplit=1)[-1]
