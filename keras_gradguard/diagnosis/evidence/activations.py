"""Where activations were measured, and which layers they belong to."""


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
        nearest layer before it that does stands for it.
    """
    known = set(trace.layers.tolist())
    order = trace.sites.tolist()
    found = []
    for site in (str(site) for site in sites):
        until = order.index(site) + 1 if site in order else 0
        feeding = [path for path in order[:until] if path in known]
        found += feeding[-1:]
    return list(dict.fromkeys(found))
