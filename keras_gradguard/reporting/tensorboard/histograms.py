"""Histograms of gradients in the form of TensorBoard's dashboards."""

from keras_gradguard._optional import tensorboard

VALUES, LOG10 = "gradients", "gradients_log10"
_DESCRIPTIONS = {
    VALUES: "entries of the gradient, before clipping",
    LOG10: "log10 of the entries' absolute values, zeros left out",
}


def layer_buckets(histogram, trace):
    """Return what to write of each layer.

    Args:
        histogram: `GradientHistogram` of the trace's variables.
        trace: `keras_gradguard.Trace`.

    Returns:
        Dict from `(group, layer path)` to a float64 array `(k, 3)`. A layer
        without a gradient, or without any entry to show, is left out.
    """
    layers = histogram.by_layer(trace.owners, len(trace.layers))
    found = {}
    for index, layer in enumerate(trace.run.names(trace.layers)):
        found[VALUES, layer] = layers.buckets(index)
        found[LOG10, layer] = layers.log10_buckets(index)
    return {key: rows for key, rows in found.items() if len(rows)}


def tensors(histogram, trace):
    """Return the tensors of one event.

    Args:
        histogram: As for `layer_buckets`.
        trace: As for `layer_buckets`.

    Returns:
        List of `(tag, array, metadata)`.
    """
    plugin = tensorboard("plugins.histogram.metadata")
    metadata = {
        group: plugin.create_summary_metadata(
            display_name=None, description=description
        )
        for group, description in _DESCRIPTIONS.items()
    }
    return [
        (f"{group}/{layer}", rows, metadata[group])
        for (group, layer), rows in layer_buckets(histogram, trace).items()
    ]
