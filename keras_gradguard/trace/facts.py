"""What is known of an output, an optimizer and the data of a run."""

import dataclasses
import math
import re

from keras_gradguard._text import number

_ALIASES = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
    "kldivergence": "kl_divergence",
    "kullback_leibler_divergence": "kl_divergence",
    "huber_loss": "huber",
    "logcosh": "log_cosh",
}
# Losses of targets that are numbers of any size.
REGRESSION = (
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "log_cosh",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
)
# What is called the learner where a few rows come again and again.
TABLE = "a table"
# Optimizers whose step grows with the gradient; the others rescale it.
_PLAIN = ("SGD",)


@dataclasses.dataclass(frozen=True, slots=True)
class DataFacts:
    """Statistics of inputs, targets and outputs. Any may be None or NaN.

    Inputs are those that reach a layer with weights; integers that are
    looked up in an embedding are no inputs in this sense.

    Attributes:
        input_min: Smallest input.
        input_max: Largest input.
        input_mean: Mean over all inputs.
        input_std: Standard deviation over all inputs.
        feature_scale_min: Smallest standard deviation above 0 of one feature
            (the last axis) over samples and positions.
        feature_scale_max: The largest.
        target_min: Smallest target.
        target_max: Largest target.
        target_mean: Mean over all targets.
        target_std: Standard deviation over all targets.
        target_integer: Whether all targets are whole numbers.
        target_columns: Length of the class or value axis of the targets, the
            one that belongs to the last axis of the output; 1 where the
            targets have no such axis.
        target_row_sum_is_one: Whether the targets sum to 1 over that axis.
            Rows of zeros, which some use to mask, count as well.
        output_min: Smallest output of the model.
        output_max: Largest output of the model.
        output_columns: Length of the last axis of the output.
        output_spread: Mean over columns of the standard deviation over
            samples; 0 where all samples give the same output.
    """

    input_min: float | None = None
    input_max: float | None = None
    input_mean: float | None = None
    input_std: float | None = None
    feature_scale_min: float | None = None
    feature_scale_max: float | None = None
    target_min: float | None = None
    target_max: float | None = None
    target_mean: float | None = None
    target_std: float | None = None
    target_integer: bool | None = None
    target_columns: int | None = None
    target_row_sum_is_one: bool | None = None
    output_min: float | None = None
    output_max: float | None = None
    output_columns: int | None = None
    output_spread: float | None = None

    @property
    def target_range(self):
        """Str. Smallest and largest target, which must be known, in words."""
        return f"{number(self.target_min, 4)} to {number(self.target_max, 4)}"

    @property
    def target_evidence(self):
        """Dict. Smallest and largest target, as evidence of a finding."""
        return {"target_min": self.target_min, "target_max": self.target_max}


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """An output of a model as it is configured. Any field may be None.

    Attributes:
        layer: Path of the last layer with weights before it.
        kind: Class name of that layer.
        units: Length of the last axis.
        activation: Name of the last activation, `"linear"` if there is none,
            None if it is not one of Keras's own.
        loss: Name of its loss, in any of Keras's spellings.
        from_logits: Whether the loss expects logits.
        scale: What the output is multiplied by behind the last layer.
        offset: What is added to it there.
        activation_layer: Path of the layer that is this activation, where it
            is one of its own.
        behind: Path of a dropout or a normalization that comes last, behind
            the activation, or "".
        behind_kind: Class name of that layer.
        smoothing: By how much the loss smooths labels.
        gamma: How much the loss focuses on what is wrong, 0 for most losses.
        summed: Whether the loss is the sum over a batch, and not its mean.
    """

    layer: str = ""
    kind: str = "Dense"
    units: int | None = None
    activation: str | None = None
    loss: str | None = None
    from_logits: bool = False
    scale: float = 1.0
    offset: float = 0.0
    activation_layer: str = ""
    behind: str = ""
    behind_kind: str = ""
    smoothing: float = 0.0
    gamma: float = 0.0
    summed: bool = False

    @property
    def loss_name(self):
        """Str. The loss as Keras's function is called, or None."""
        return loss_name(self.loss)

    @property
    def name(self):
        """Str. Name of the layer."""
        return self.layer.rsplit("/", maxsplit=1)[-1]

    @property
    def layers(self):
        """List of the layer's path, empty if it is not known."""
        return [self.layer] if self.layer else []


@dataclasses.dataclass(frozen=True, slots=True)
class OptimizerFacts:
    """An optimizer as it is configured.

    Attributes:
        name: Class name, of the innermost optimizer of a wrapper.
        learning_rate: Float, or None where a schedule sets it.
        momentum: Float. Defaults to 0.
        clipped: Whether something clips the gradients.
        clipnorm: Keras's threshold of each variable's norm, or None.
        clipvalue: Keras's threshold of each entry, or None.
        global_clipnorm: Keras's threshold of the norm of all, or None.
        weight_decay: Float, or None.
        epsilon: Float, what is added to what the step is divided by, or None.
        schedule: List of [step, rate], of a schedule from the first step on.
        call: How it is made: see `models.calls.call_of`.
    """

    name: str | None = None
    learning_rate: float | None = None
    momentum: float = 0.0
    clipped: bool = False
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    weight_decay: float | None = None
    epsilon: float | None = None
    schedule: list | None = None
    call: dict | None = None

    @property
    def plain(self):
        """Bool. Whether the step grows with the gradient."""
        return self.name in _PLAIN and not self.clipped

    @property
    def effective_rate(self):
        """Float. Learning rate over `1 - momentum`, or None."""
        if self.learning_rate is None:
            return None
        return self.learning_rate / max(1e-6, 1.0 - (self.momentum or 0.0))

    @property
    def accumulates(self):
        """Int. Batches whose gradients one update sums, 1 if each has its own.

        A model may hold more optimizers; this is the compiled one.
        """
        batches = self.argument("gradient_accumulation_steps")
        whole = isinstance(batches, int) and not isinstance(batches, bool)
        return batches if whole and batches > 1 else 1

    def argument(self, name):
        """Return an argument of the innermost optimizer, None if not told.

        Args:
            name: Str. Its name.
        """
        told = self.call
        while isinstance(told, dict):
            given = told.get("arguments")
            given = given if isinstance(given, dict) else {}
            inner = given.get("inner_optimizer")
            if not isinstance(inner, dict):
                return given.get(name)
            told = inner
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class DataShapes:
    """What the first measured batch showed but its numbers.

    Attributes:
        input_shape: Shape of what enters the first layer with weights,
            without the batch; None if not known.
        input_layer: Path of that layer, or None.
        several_inputs: Whether more layers take inputs that were measured.
        target_shape: Shape of the targets, without the batch, or None.
        target_dtype: Name of their dtype, or None.
        output_shape: Shape of the model's outputs, without the batch, or None.
        weighted: Whether the user weights the samples.
        batch_size: Samples of a batch, where a made-up trace says so.
    """

    input_shape: list | None = None
    input_layer: str | None = None
    several_inputs: bool = False
    target_shape: list | None = None
    target_dtype: str | None = None
    output_shape: list | None = None
    weighted: bool = False
    batch_size: int | None = None

    @property
    def output_width(self):
        """Int. Length of the last axis of the outputs, None if unknown."""
        width = self.output_shape[-1] if self.output_shape else None
        return width if isinstance(width, int) and width >= 1 else None


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """What a trivial learner gets out of rows of the batches.

    Each row is told by one that has seen the others, see
    `recording.reference`.

    Attributes:
        rows: Int, how many.
        kind: `"classes"` or `"numbers"`.
        learner: The best of them, in words.
        score: Share of the classes told right, or of the variance explained.
        error: Its standard error.
        chance: Share of the most frequent class.
        entropy: Of the classes' frequencies, in nats.
        classes: How many there are.
        absolute: Of numbers, the share of the mean distance from the median
            that is explained.
        absolute_error: Its standard error.
        step: Step of the optimizer by which it was known.
    """

    rows: int = 0
    kind: str = ""
    learner: str = ""
    score: float = math.nan
    error: float = math.nan
    chance: float = 0.0
    entropy: float = math.nan
    classes: int = 0
    absolute: float = math.nan
    absolute_error: float = math.nan
    step: int = 0


def loss_name(loss):
    """Return the name of a loss as Keras's function is called, or None.

    Args:
        loss: Str, e.g. `"mse"`, `"MeanSquaredError"`, or None.
    """
    if not loss:
        return None
    name = str(loss)
    if not name.isupper():
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    name = name.lower()
    return _ALIASES.get(name, name)


def columns_of(output, data):
    """Return how many columns outputs and targets have; None if unknown."""
    return data.output_columns or output.units, data.target_columns


def known(*values):
    """Return whether all values are finite numbers."""
    return all(
        value is not None and math.isfinite(float(value)) for value in values
    )


def rms(mean, std):
    """Return the root mean square of numbers with this mean and std."""
    return math.hypot(float(mean), float(std))
