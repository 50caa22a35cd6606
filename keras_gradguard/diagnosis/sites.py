"""Where activations were measured, and which layers they belong to."""

import numpy as np


def site_info(trace, site):
    """Return what `meta` knows of a site, {} if nothing."""
    infos = trace.meta.get("sites")
    found = infos.get(str(site)) if isinstance(infos, dict) else None
    return found if isinstance(found, dict) else {}


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
        if site_info(trace, site).get(kind) is True
    ]
    return [at for at in found if at != len(trace.sites) - 1]


def layers_of(trace, sites):
    """Return the paths of the layers that feed sites, then the sites'.

    An activation layer of its own owns no weights; the layer before it does,
    and leads.

    Args:
        trace: The `Trace`.
        sites: Sequence of str.
    """
    known = set(trace.layers.tolist())
    order = trace.sites.tolist()
    found, alone = [], []
    for site in (str(site) for site in sites):
        if site in known:
            found.append(site)
            continue
        alone.append(site)
        before = order[: order.index(site)] if site in order else []
        feeding = [path for path in before[-1:] if path in known]
        found += feeding
    return list(dict.fromkeys([*found, *alone]))


def weighted(trace, layers):
    """Return those of `layers` that own weights, all if none does."""
    known = set(trace.layers.tolist())
    return [layer for layer in layers if layer in known] or list(layers)


def measured(values):
    """Return values with what is not finite as NaN, float64."""
    values = np.asarray(values, np.float64)
    return np.where(np.isfinite(values), values, np.nan)
