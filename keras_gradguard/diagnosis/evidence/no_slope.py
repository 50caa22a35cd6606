"""Whether any gradient came at all."""


def never_any(trace, need):
    """Return whether no weight had a gradient in any of the first records.

    Args:
        trace: `Trace`.
        need: Int. How many records to look at; with fewer, False.
    """
    norms = trace.get("grad_norm", by="variable")[:need]
    norms = norms[:, trace.has_gradient]
    enough = len(norms) >= need and norms.shape[1] > 0
    return bool(enough and not (norms != 0).any())
