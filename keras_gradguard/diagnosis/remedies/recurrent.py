"""What to change in recurrent layers."""

from keras_gradguard.diagnosis.remedies import model

_PLAIN = ("SimpleRNN",)
_BOUNDED = ("tanh", "sigmoid", "hard_sigmoid", "softsign")
_GATED = ("LSTM", "GRU", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")


def recurrent_layers(run, layers):
    """Return the recurrent layers among some, as the user made them.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. Layer paths, of cells as well.

    Returns:
        Dict from path to a dict of what is known of the layer. A wrapper, like
        `Bidirectional`, stands for the layer in it.
    """
    found: dict = {}
    for layer in layers:
        info = run.info(layer)
        kind = str(info.get("class")).removesuffix("Cell")
        if kind in (*_PLAIN, *_GATED):
            path, outer = run.of_user(layer)
            if outer is info and str(info.get("class")).endswith("Cell"):
                # A trace of an older version names the cell alone.
                path = path.removesuffix(f"/{info.get('name')}")
            wrapped = outer.get("class") not in (None, info.get("class"), kind)
            found[path] = {**info, "class": kind, "wrapped": wrapped}
    return found


def last_states(run):
    """Return the paths of recurrent layers that give their last state only.

    Args:
        run: `RunInfo` of the run or the model.
    """
    found = []
    for path, info in recurrent_layers(run, list(run.layers)).items():
        made = run.of_user(path)[1].get("call")
        told = made.get("arguments") if isinstance(made, dict) else None
        if info["wrapped"] or not isinstance(told, dict):
            continue
        if not told.get("return_sequences") and not told.get("go_backwards"):
            found.append(path)
    return found


def unbounded(run):
    """Return the paths of recurrent layers whose state may grow freely.

    Args:
        run: `RunInfo` of the run or the model.
    """
    return [
        path
        for path, info in run.layers.items()
        if recurrent_layers(run, [path])
        and info.get("activation") not in (None, *_BOUNDED)
    ]


def for_recurrent(run, layers, why):
    """Return remedies for recurrent layers among some, [] without any.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. The layers of the finding, culprits first.
        why: Str. What gates do for them.
    """
    known = recurrent_layers(run, layers)
    if not known:
        return []
    found = []
    plain = [
        path
        for path, info in known.items()
        if info["class"] in _PLAIN and not info["wrapped"]
    ]
    tamed = {}
    for path, info in known.items():
        if path in plain or info.get("activation") in (None, "tanh"):
            continue
        tamed[path] = {"activation": "tanh"}
        if info["class"] in _PLAIN:
            tamed[path]["recurrent_initializer"] = "orthogonal"
    others = []
    if tamed:
        others.append(
            model.change_layers(
                f"Use tanh in {_named(tamed)}",
                "Keras's default: it is bounded and of both signs, so the "
                "state neither grows nor drifts.",
                tamed,
            )
        )
    for kind, because in (
        ("LSTM", why),
        (
            "SimpleRNN",
            "An orthogonal matrix keeps the length of what it multiplies, "
            "and tanh bounds the state.",
        ),
    ):
        if plain:
            changed = [model.recurrent(path, kind, because) for path in plain]
            # All at once: one that still grows is enough.
            found.append(_together([*changed, *others], because))
    return found if plain else others


def for_forgetting(run, layers, time_steps):
    """Return remedies for recurrent layers that the far past does not reach.

    Args:
        run: `RunInfo` of the run.
        layers: List of str. The layers of the finding, culprits first.
        time_steps: Int. How many the worst one runs over.
    """
    known = recurrent_layers(run, layers)
    plain = [
        path
        for path, info in known.items()
        if info["class"] in _PLAIN and not info["wrapped"]
    ]
    found = []
    if plain:
        why = "Its gates let the gradient pass over many time steps."
        found.append(_all(plain, "LSTM", why))
    loose = [
        path
        for path in plain
        if "Orthogonal" not in str(known[path].get("recurrent_initializer"))
    ]
    if loose:
        why = "An orthogonal matrix keeps the length of what it multiplies."
        found.append(_all(loose, "SimpleRNN", why))
    found.append(
        model.words(
            f"Shorten the way: fewer than {time_steps} time steps",
            "Pool or stride over time before the recurrent layer, cut the "
            "sequences, or give it their end and not their padding (mask "
            "it). Attention reaches all steps at once.",
            "keras.layers.AveragePooling1D(4)  # before the recurrent layer",
        )
    )
    return found


def _all(paths, kind, why):
    return _together([model.recurrent(path, kind, why) for path in paths], why)


def _together(changes, why):
    return changes[0] if len(changes) == 1 else model.several(changes, why)


def _named(paths):
    names = [str(path).rsplit("/", maxsplit=1)[-1] for path in paths]
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
