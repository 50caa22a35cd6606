"""Where activations were measured, and which layers they belong to."""

import numpy as np

# Of a bias at the first step, in the mean over the units.
_LARGE = 3.0
_BIASES = ("bias", "beta")


def hidden_sites(trace, kind):
    """Return the indices of sites of a kind that are not the model's output.

    Args:
        trace: The `Trace`.
        kind: Str. `"can_die"` or `"saturates"`.

    Returns:
        List of int. The last site counts as the output; with it goes the
        layer whose activation it is.
    """
    found = [
        at
        for at, site in enumerate(trace.sites)
        if trace.run.site(site).get(kind) is True
    ]
    return [at for at in found if at != len(trace.sites) - 1]


def layers_of(trace, sites):
    """Return the paths of the layers with weights that feed sites.

    Args:
        trace: The `Trace`.
        sites: Sequence of str.

    Returns:
        List of str, each once. An activation layer owns no weights; the
        nearest layer before it that does stands for it, and what is inside of
        a recurrent layer or a wrapper for that.
    """
    known: dict = {str(path): str(path) for path in trace.layers}
    for path in list(known):
        within = trace.run.info(path).get("within")
        if isinstance(within, dict):
            known.setdefault(str(within.get("path")), path)
    order = trace.sites.tolist()
    found = []
    for site in (str(site) for site in sites):
        until = order.index(site) + 1 if site in order else 0
        feeding = [known[path] for path in order[:until] if path in known]
        found += feeding[-1:]
    return list(dict.fromkeys(found))


def large_biases(trace):
    """Return the paths of layers whose biases were large at the first step.

    Args:
        trace: The `Trace`.
    """
    steps, norm = trace.measured("weight_norm", by="variable")
    if not len(steps) or not len(trace.steps) or steps[0] > trace.steps[0]:
        return []
    with np.errstate(invalid="ignore", divide="ignore"):
        size = norm[0] / np.sqrt(trace.sizes)
    found = [
        str(trace.layers[owner])
        for owner, path, rms in zip(
            trace.owners, trace.variables.tolist(), size, strict=True
        )
        if path.rsplit("/", maxsplit=1)[-1] in _BIASES and rms > _LARGE
    ]
    return list(dict.fromkeys(found))


def averaging(trace):
    """Return the layers that average over batches, and their momentum.

    With a momentum of 1 averages never move: then those layers alone.

    Args:
        trace: The `Trace`.
    """
    found = {}
    for layer in trace.layers:
        info = trace.info(layer)
        momentum = info.get("momentum")
        known = isinstance(momentum, int | float) and 0 < momentum <= 1
        normalizes = "BatchNorm" in str(info.get("class"))
        if known and normalizes and info.get("trainable") is not False:
            found[str(layer)] = float(momentum)
    still = [layer for layer, momentum in found.items() if momentum == 1]
    return (still, 1.0) if still else (list(found), min([1.0, *found.values()]))
