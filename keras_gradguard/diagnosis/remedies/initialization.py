"""What to change in weights that no training should start from."""

from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.diagnosis.remedies.offsets import start_at_zero
from keras_gradguard.diagnosis.remedies.own_code import draw_anew

# What a hidden layer of one unit, or more of them, is widened to.
_UNITS = 16
# How Keras draws the weights of what recurs.
_OF_KERAS = {
    "kernel_initializer": "glorot_uniform",
    "recurrent_initializer": "orthogonal",
}
# More layers than these are given a pairing, in one line.
_FEW = 2


def for_initialization(run, layers, preset=None, constant=False):
    """Return remedies for weights that no training should start from.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. The layers.
        preset: Str or None. Name of the pairing that fits.
        constant: Bool. Whether they start equal, and no more is wrong.
    """
    preset = preset if preset not in (None, "linear") else "he_relu"
    alone = _random(run, layers) if constant else []
    return [
        *alone,
        changes.convert(
            preset,
            "Its weights keep the size of the signal from layer to layer.",
        ),
        changes.convert(
            "he_relu",
            "Normalization gives the signal its size back, whatever the "
            "weights.",
            normalization="batch",
        ),
    ]


def for_kernels(run, kind, layers):
    """Return remedies for kernels, by what is wrong with them.

    Args:
        run: `RunInfo` of the run.
        kind: Str. `"constant"`, `"one_sided"`, `"wide"`, `"narrow"`,
            `"wide_table"`, `"gates"`, `"fading"` or `"one_unit"`.
        layers: List of str. The layers.
    """
    glorot = changes.convert(
        "glorot_tanh",
        "Weights of both signs cancel, and the signal keeps its size.",
    )
    if kind == "one_unit" and any("Cell" in _class(run, a) for a in layers):
        wider = {run.of_user(layer)[0]: {"units": _UNITS} for layer in layers}
        why = "Nothing but one number gets through a layer of one unit."
        return [
            changes.change_layers(f"Give it {_UNITS} units", why, wider),
        ]
    if kind == "wide_table":
        return [
            changes.change_layers(
                "Draw the vectors as Keras does",
                "Their numbers then lie between -0.05 and 0.05.",
                {
                    layer: {"embeddings_initializer": "uniform"}
                    for layer in layers
                },
            )
        ]
    if kind == "one_unit":
        alone = changes.leave_out(
            layers, "Nothing but one number gets through a layer of one unit."
        )
        why = "The signal then gets through, at a size that is kept."
        return [alone, changes.several([alone, glorot], why)]
    cells = [a for a in layers if "Cell" in _class(run, a)]
    if kind == "gates":
        return start_at_zero(run, layers, layers)
    if kind in ("constant", "one_sided", "wide") and cells:
        again = {run.of_user(layer)[0]: _OF_KERAS for layer in cells}
        return [
            changes.change_layers(
                "Draw the weights as Keras does",
                "Weights of both signs cancel, and orthogonal ones keep the "
                "size of the state from step to step.",
                again,
            )
        ]
    if kind == "one_sided":
        return [glorot, *for_initialization(run, layers)]
    inside = [str(layer) for layer in layers if str(layer).count("/") > 1]
    if kind == "constant" and inside and len(inside) == len(layers):
        # In layers of the user's own, which nothing builds anew.
        return [draw_anew(run, inside), *for_initialization(run, layers)]
    found = for_initialization(run, layers, constant=kind == "constant")
    if any(_is_kept(run, layer) for layer in layers):
        # A pairing would leave these as they are.
        found.insert(0, draw_anew(run, layers))
    return found


def _random(run, layers):
    """Return the remedy for a few kernels that start equal, or []."""
    known = [run.info(layer) for layer in layers]
    plain = all(i.get("call") and i.get("kernel_initializer") for i in known)
    if not plain or not 0 < len(layers) <= _FEW:
        return []
    shown = " and ".join(str(at).rsplit("/", maxsplit=1)[-1] for at in layers)
    # What Keras takes where nothing is said.
    usual = {"kernel_initializer": "glorot_uniform"}
    return [
        changes.change_layers(
            f"Let the weights of {shown} start at random",
            "Units that start equal get the same gradient, and stay equal.",
            {str(layer): usual for layer in layers},
        )
    ]


def _is_kept(run, layer):
    """Whether a layer is in attention or of the user's own."""
    within = run.info(layer).get("within") or {}
    kept = "Attention" in str(within.get("class")) or run.is_held(layer)
    return kept or str(layer) in run.own_layers


def _class(run, layer):
    return str(run.info(layer).get("class"))
