"""What one pass over an untrained model shows: plain NumPy, no thresholds."""

import dataclasses
from typing import Any

import numpy as np

from keras_gradguard.trace.facts import DataFacts
from keras_gradguard.trace.facts import Output
from keras_gradguard.trace.run_info import RunInfo


@dataclasses.dataclass(frozen=True, slots=True)
class LayerStart:
    """What a layer gave for the first rows.

    Attributes:
        path: Str. Path of the layer.
        activation: Str or None. Its activation, as `models.outputs` names it.
        output: Array `(rows, ...)`, the first tensor that it gave.
        channels: Int. Axis of its units.
        last: Bool. Whether the model gives this tensor as an output.
        loops: Bool. Whether the layer runs over time.
        starved: Bool. Whether it has weights, and nothing but 0 comes in.
    """

    path: str
    activation: str | None
    output: np.ndarray
    channels: int
    last: bool = False
    loops: bool = False
    starved: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class InputStart:
    """What comes into the first layers with weights.

    Attributes:
        facts: `DataFacts` of it.
        layers: List of str. Paths of these layers.
        mean: List of a mean per feature, or None.
        std: List of a standard deviation per feature, or None.
        several: Bool. Whether the model takes several inputs, so that nothing
            says which of them to change.
        shape: List of int or None. Shape of a sample, None if there are
            several such inputs.
    """

    facts: DataFacts
    layers: list[str]
    mean: list[float] | None = None
    std: list[float] | None = None
    several: bool = False
    shape: list[int] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class HeadStart:
    """An output of the model, and its targets.

    Attributes:
        output: `Output`, as it is configured.
        facts: `DataFacts` of outputs and targets, None where they are not
            known.
        alike: Bool. Whether all targets were read, and are the same.
    """

    output: Output
    facts: DataFacts | None = None
    alike: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class GradientStart:
    """The loss and its first gradient.

    Attributes:
        loss: Float.
        paths: List of str. Layers whose gradients can be compared, in forward
            order.
        norms: Float64 array, norm of the gradient of each of them.
        kernels: List of `(weight norm, gradient norm, entries that are not
            zero)`, one for each kernel with a gradient.
        opening: List of str. Of `paths` those that get no gradient only since
            weights behind them start at zero, which the first step changes.
        zeros: List of str. Paths of layers with a table of weights that is all
            zero and gets no gradient.
    """

    loss: float
    paths: list[str]
    norms: np.ndarray
    kernels: list[tuple[float, float, int]]
    opening: list[str] = dataclasses.field(default_factory=list)
    zeros: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Start:
    """What is known of a model before its first step.

    Attributes:
        run: `RunInfo` of the model.
        heads: List of `HeadStart`, one for each output.
        nonfinite: Dict from `"x"` and `"y"` to how many `values` and `rows`
            are NaN or infinite. If there are any, nothing was run.
        beyond: Dict from the path of an embedding to `(index, rows)`, where
            an index is looked up that none of its rows belongs to.
        same_row: List of str. Paths of embeddings that take numbers with
            fractions, all of which look up the same row.
        inputs: `InputStart`, or None where they cannot be judged.
        layers: List of `LayerStart`, in the order of the calls.
        weights: List of `presets.InitializationProblem`, of a model that was
            not trained yet.
        trained: Bool. Whether the weights look as if they had been trained:
            then they go with their inputs, whatever the scale of these.
        gradient: `GradientStart`, or None where no loss can be computed.
        unpaired: Bool. Whether the loss stays the same when targets change
            places among the rows, though outputs and targets vary.
        through_time: List of `ThroughTime` of one measurement, of each
            recurrent layer.
        found: List of `Finding`. What was found so far, causes first.
        notes: List of str. What is worth a word and no finding, since many
            such models train all the same.
    """

    run: RunInfo
    heads: list[HeadStart] = dataclasses.field(default_factory=list)
    nonfinite: dict[str, dict] = dataclasses.field(default_factory=dict)
    beyond: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    same_row: list[str] = dataclasses.field(default_factory=list)
    inputs: InputStart | None = None
    layers: list[LayerStart] = dataclasses.field(default_factory=list)
    weights: list[Any] = dataclasses.field(default_factory=list)
    trained: bool = False
    gradient: GradientStart | None = None
    unpaired: bool = False
    through_time: list[Any] = dataclasses.field(default_factory=list)
    found: list[Any] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def facts(self):
        """`DataFacts` of the only output, or None."""
        return self.heads[0].facts if len(self.heads) == 1 else None

    def tells(self, *rules):
        """Return whether one of some rules found something.

        Args:
            *rules: Rule ids.
        """
        return any(finding.rule in rules for finding in self.found)

    @property
    def learns_in_principle(self):
        """Bool. Whether data and outputs allow to learn, as far as is known."""
        return not self.tells("unscaled_data") and all(
            finding.evidence.get("trains")
            for finding in self.found
            if finding.rule == "output_mismatch"
        )
