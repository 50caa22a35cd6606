"""Layers that ran, and that no gradient came back to."""

import numpy as np

from keras_gradguard.diagnosis.evidence.stretches import derived
from keras_gradguard.diagnosis.evidence.stretches import kernel_shapes


@derived
def unreached(trace):
    """Return the bool mask (L,) of layers that ran, and got no gradient ever.

    TensorFlow and torch have none for weights that the loss does not depend
    on, where JAX has zeros. A layer that did not run has no activation.
    """
    ran = np.zeros(len(trace.layers), bool)
    seen = ~np.isnan(trace.activation("mean")[:1]).all(axis=0)
    sites = set(trace.sites[seen].tolist()) if seen.size else set()
    reached = np.unique(trace.owners[trace.has_gradient])
    # In a graph a layer of one's own runs, too, though nobody measured it.
    own = _own_parts(trace.run)
    graph = trace.run.model_kind in ("sequential", "functional")
    for at, layer in enumerate(trace.layers.tolist()):
        info = trace.info(layer)
        # Nobody measures what a table gives.
        table = "embeddings" in (info.get("shapes") or {})
        table &= graph or trace.run.own_code.get("step") is True
        ran[at] = layer in sites or layer in own or table
        ran[at] &= info.get("trainable") is True and at not in reached
        ran[at] &= table or bool(kernel_shapes(info))
    return ran


def _own_parts(run):
    """Return the paths of layers of one's own that a graph is made of."""
    if run.model_kind not in ("sequential", "functional"):
        return set()
    return {
        path
        for path in run.own_code.get("layers") or ()
        if path.rpartition("/")[0] in ("", run.model)
    }
