"""Remedies for what layers add to a loss."""

import math

from keras_gradguard.diagnosis.remedies.code import compile_with
from keras_gradguard.findings.remedy import Remedy

# What is left of an added loss, beside that of the data.
_LEFT = 0.01
# What the data make of a first loss of which the rest is added, if unknown.
_UNKNOWN = 0.01


def weaken_what_layers_add(run):
    """Return the remedy for a layer of one's own that adds a loss, or [].

    How much it adds is not known.

    Args:
        run: `RunInfo` of the run.
    """
    adding = {p: told for p, told in run.own_cuts.items() if told.get("adds")}
    if not adding:
        return []
    where = next(iter(adding.values()))["where"]
    why = (
        f"{where} adds a loss by `add_loss`, which may lead in place of that "
        "of the data. In a variational autoencoder, raise the weight of the "
        "divergence from 0, or keep it small."
    )
    return [weaken_added(run, why, 1.0, _UNKNOWN)]


def weaken_added(run, why, added, task):
    """Return the remedy that multiplies all added losses by a small number.

    Args:
        run: `RunInfo` of the run.
        why: Str. The reason.
        added: Float. What was added to the first loss.
        task: Float. What the data make of it.
    """
    factor = 10.0 ** math.floor(math.log10(max(1e-9, _LEFT * task / added)))
    return _rescaled(
        run, "Weaken what is added to the loss", why, "weaken", min(0.1, factor)
    )


def turn_added(run, why):
    """Return the remedy that turns the sign of all added losses.

    Args:
        run: `RunInfo` of the run.
        why: Str. The reason.
    """
    title = "Turn the sign of what is added to the loss, and weaken it"
    return _rescaled(run, title, why, "turn", -_LEFT)


def _rescaled(run, title, why, name, factor):
    return Remedy(
        title,
        why,
        f"def {name}(layer):\n"
        "    add = layer.add_loss\n"
        "    layer.add_loss = lambda loss: add(\n"
        "        keras.tree.map_structure("
        f"lambda one: {factor:g} * one, loss)\n"
        "    )\n"
        '    for inner in getattr(layer, "layers", ()):\n'
        f"        {name}(inner)\n"
        "\n"
        f"{name}(model)  # better: the same factor where the loss is added\n"
        f"{compile_with(run)}",
    )
