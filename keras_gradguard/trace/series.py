"""Names of what is measured: the recording writes it, the trace keeps it."""

# What is measured of the weights.
UPDATE_SERIES = (
    "weight_norm",
    "update_norm",
    "zero_fraction",
    "distance",
    "epoch_change",
)
# What `Trace.get` knows, per layer or per variable.
SERIES = ("grad_norm", "update_ratio", *UPDATE_SERIES)
# What a step shows of each activation, over a batch.
OUTPUT_STATISTICS = (
    "mean",
    "std",
    "zero_fraction",
    "saturated_fraction",
    "inactive_fraction",
    "input_std",
)
ACTIVATION_SERIES = (*OUTPUT_STATISTICS, "dead_fraction")
# What a step shows of its batch, part by part.
BATCH_STATISTICS = {
    "loss": ("loss",),
    "input": (
        "input_min",
        "input_max",
        "input_mean",
        "input_std",
        "feature_scale_min",
        "feature_scale_max",
    ),
    "target": (
        "target_min",
        "target_max",
        "target_mean",
        "target_std",
        "target_fraction",
        "target_row_sum",
        "target_spread",
    ),
    "output": (
        "output_min",
        "output_max",
        "output_mean",
        "output_std",
        "output_spread",
    ),
    "fit": ("samples", "output_correlation"),
    "index": ("index_min", "index_excess"),
}
DATA_SERIES = tuple(
    name for names in BATCH_STATISTICS.values() for name in names
)
