"""Recurrent layers of a run: which they are, and what bounds their state."""

PLAIN = ("SimpleRNN",)
BOUNDED = ("tanh", "sigmoid", "hard_sigmoid", "softsign")
_NEVER_NEGATIVE = ("sigmoid", "hard_sigmoid")
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
        if kind in (*PLAIN, *_GATED):
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


def one_sided(run):
    """Return the paths of recurrent layers whose state is never below 0.

    It then only grows, to about the same for every sequence.

    Args:
        run: `RunInfo` of the run or the model.
    """
    return [
        path
        for path, info in run.layers.items()
        if recurrent_layers(run, [path])
        and info.get("activation") in _NEVER_NEGATIVE
    ]


def unbounded(run):
    """Return the paths of recurrent layers whose state may grow freely.

    Args:
        run: `RunInfo` of the run or the model.
    """
    return [
        path
        for path, info in run.layers.items()
        if recurrent_layers(run, [path])
        and not {
            info.get("activation"),
            info.get("recurrent_activation"),
        }.issubset((None, *BOUNDED))
    ]


def unbounded_by(run, path):
    """Return the function that sets no bound to a recurrent layer's state.

    Args:
        run: `RunInfo` of the run or the model.
        path: Str. One of the paths that `unbounded` gives.
    """
    info = run.info(path)
    activation = info.get("activation")
    if activation not in (None, *BOUNDED):
        return f"{activation}"
    return f"{info.get('recurrent_activation')} for gates"
