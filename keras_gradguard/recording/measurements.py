"""What a step showed of a model's activations, on the host."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Measurement:
    """What one step showed of a model's activations and its batch.

    Attributes:
        step: The optimizer's step.
        sites: List of A `Site`, in the order of the forward pass.
        activations: Float32 array `(A, len(OUTPUT_STATISTICS))`.
        active: List of A arrays: share of the batch's samples for which a unit
            gave anything but zero, or None where the activation cannot die.
        magnitude: List of A arrays: mean absolute output of each unit, or None
            where its calls differ in units.
        data: Dict of float, by the names of `DATA_SERIES`.
        facts: Dict of what does not change: columns, dtypes, activation.
    """

    step: int
    sites: list
    activations: Any
    active: list
    magnitude: list
    data: dict
    facts: dict


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """For how many samples each unit gave anything but zero.

    Attributes:
        sites: List of A `Site` whose activation can die.
        active: List of A float64 arrays `(units,)`.
        samples: Float64 array (A,), samples that passed each site: more than
            those of the batches where other axes are folded into theirs.
    """

    sites: list
    active: list
    samples: Any

    def by_path(self):
        """Dict from a site's path to its array of `active` and its samples."""
        paths = [site.path for site in self.sites]
        counted = zip(self.active, self.samples.tolist(), strict=True)
        return dict(zip(paths, counted, strict=True))


@dataclasses.dataclass(frozen=True, slots=True)
class GradientCounts:
    """In how many steps each unit's gradient was not zero.

    Attributes:
        counts: Dict from a site's path to a float64 array `(units,)`.
        steps: Float, how many steps were counted.
    """

    counts: dict
    steps: float
