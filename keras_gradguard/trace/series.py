"""Every series of a run: what the recording writes and the trace keeps.

A series of gradients is declared here once. Where it stands in a record of the
device, how it is kept, saved, put together to layers, and shown in TensorBoard
follow from its entry; what measures it has its name and stands in
`recording/step/gradient_series.py`.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Series:
    """A number that is recorded again and again.

    Attributes:
        name: Str. As `Trace.get` takes it.
        title: Str. Of its charts; empty where it has none of its own.
        per: Str. `"variable"`, or `"step"` for one number of all variables.
        together: Str. How numbers of variables make that of their layer:
            `"norm"`, `"norm_of_all"` (NaN where one is NaN), `"max"`, or
            `"mean"` over entries. Of a step, how those of several optimizers
            make one: `"norm"` or `"first"`.
        log: Bool. Whether its axis is logarithmic.

    One with a title is shown in TensorBoard, as scalars and in the tab.
    """

    name: str
    title: str = ""
    per: str = "variable"
    together: str = "norm"
    log: bool = True


# What each step records, in the order of a record on the device.
RECORDED = (
    Series("clipped_grad_norm", per="step"),
    Series("clip_threshold", per="step"),
    Series("loss", per="step", together="first"),
    Series("grad_norm", "Gradient norm"),
)
# What is measured of the weights, now and then; the first two in a step.
MEASURED = (
    Series("weight_norm", "Weight norm", together="norm_of_all"),
    Series("update_norm"),
    Series("zero_fraction", together="mean"),
    Series("distance"),
    Series("epoch_change"),
)
UPDATED = MEASURED[:2]
BY_NAME = {series.name: series for series in (*RECORDED, *MEASURED)}
# Per step and variable: the norm of the gradient first.
GRADIENT_SERIES = tuple(
    sorted(
        (s.name for s in RECORDED if s.per == "variable"),
        key="grad_norm".__ne__,
    )
)
UPDATE_SERIES = tuple(series.name for series in MEASURED)
# Of what each step records of its gradients, and of the weights, this is shown.
SHOWN_STEPS = tuple(
    BY_NAME[name] for name in GRADIENT_SERIES if BY_NAME[name].title
)
SHOWN_MEASURED = (
    Series("update_ratio", "Update / weights"),
    *(series for series in MEASURED if series.title),
)
# What `Trace.get` knows, per layer or per variable.
SERIES = (*GRADIENT_SERIES, "update_ratio", *UPDATE_SERIES)
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
    "weight": ("weight_of_low", "weight_of_high", "share_of_high"),
}
DATA_SERIES = tuple(
    name for names in BATCH_STATISTICS.values() for name in names
)
