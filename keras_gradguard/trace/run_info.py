"""What is known of a run but its numbers: the typed view of `Trace.meta`.

It may come from a file, so nothing in it is taken for granted: what does not
fit its type is left out.
"""

import dataclasses
import functools
import math
import re
import types
import typing

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
        return self.learning_rate / max(1e-3, 1.0 - (self.momentum or 0.0))


@dataclasses.dataclass(frozen=True, slots=True)
class DataShapes:
    """What the first measured batch showed but its numbers.

    Attributes:
        input_shape: Shape of what enters the first layer with weights,
            without the batch; None if not known.
        input_layer: Path of that layer, or None.
        target_shape: Shape of the targets, without the batch, or None.
        target_dtype: Name of their dtype, or None.
        output_shape: Shape of the model's outputs, without the batch, or None.
        weighted: Whether the user weights the samples.
        batch_size: Samples of a batch, where a made-up trace says so.
    """

    input_shape: list | None = None
    input_layer: str | None = None
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
class RunInfo:
    """What is known of a model, its optimizer, its data and the plan.

    Attributes:
        backend: Name of Keras's backend, or None.
        keras_version: Str, or None.
        model: Name of the model, or None.
        model_kind: `"sequential"`, `"functional"`, `"subclassed"`, or None.
        optimizer: `OptimizerFacts`.
        learning_rate: Float above 0: the one that the run started with, also
            where a schedule sets it. None if not known.
        loss_name: Name of the loss, of several ones behind commas, or None.
        loss_weight: Float, 1 if nothing is known of it, None where it is not
            one number.
        compiled: Dict of the arguments of `compile`, see
            `models.calls.compiled_with`.
        outputs: Tuple of `Output`, one for each output of the model.
        epochs_planned: Int, or None.
        steps_per_epoch: Int, or None.
        data: `DataShapes`.
        layers: Dict from layer path to a dict of what is known of the layer,
            as `models.layers.layer_info` gives it.
        sites: Dict from the path of an activation to a dict with
            `activation`, `can_die`, `saturates`.
        rescaling: Paths of the layers that only rescale, or None.
    """

    backend: str | None = None
    keras_version: str | None = None
    model: str | None = None
    model_kind: str | None = None
    optimizer: OptimizerFacts = OptimizerFacts()
    learning_rate: float | None = None
    loss_name: str | None = None
    loss_weight: float | None = 1.0
    compiled: dict = dataclasses.field(default_factory=dict)
    outputs: tuple[Output, ...] = ()
    epochs_planned: int | None = None
    steps_per_epoch: int | None = None
    data: DataShapes = DataShapes()
    layers: dict = dataclasses.field(default_factory=dict)
    sites: dict = dataclasses.field(default_factory=dict)
    rescaling: list | None = None

    @classmethod
    def of(cls, meta):
        """Read what the `meta` of a trace tells.

        Args:
            meta: Dict, from a run or a file.
        """
        known = _fitting(cls, meta)
        described = meta.get("optimizer")
        described = described if isinstance(described, dict) else {}
        name = described.get("name") or described.get("class")
        optimizer = _read(OptimizerFacts, {**described, "name": name})
        rates = (known.get("learning_rate"), optimizer.learning_rate)
        outputs = meta.get("outputs")
        outputs = outputs if isinstance(outputs, list) else []
        known |= {
            "optimizer": optimizer,
            "learning_rate": next(filter(_positive, rates), None),
            # Where it is told to be not one number, it is none.
            "loss_weight": known.get("loss_weight")
            if "loss_weight" in meta
            else 1.0,
            "outputs": tuple(_read(Output, output) for output in outputs),
            "data": _read(DataShapes, meta.get("data")),
            "layers": _dicts(meta.get("layer_info")),
            "sites": _dicts(meta.get("sites")),
        }
        for key in ("epochs_planned", "steps_per_epoch"):
            if not _positive(known.get(key)):
                known[key] = None
        return cls(**known)

    @property
    def output(self):
        """`Output` of a model with one output, or None."""
        return self.outputs[0] if len(self.outputs) == 1 else None

    def info(self, layer):
        """Return what is known of a layer path, a dict; {} if nothing is."""
        return self.layers.get(str(layer), {})

    def of_user(self, layer):
        """Return the path of the layer that the user made, and its facts.

        That of a recurrent layer or wrapper for what is inside of it.

        Args:
            layer: Str. A layer path.
        """
        info = self.info(layer)
        within = info.get("within")
        if isinstance(within, dict) and isinstance(within.get("path"), str):
            return within["path"], within
        return str(layer), info

    def site(self, path):
        """Return what is known of an activation, a dict; {} if nothing is."""
        return self.sites.get(str(path), {})


def _read(kind, values):
    """Make a dataclass of what of a dict fits its annotations."""
    return kind(**_fitting(kind, values))


def _fitting(kind, values):
    """Return those entries of a dict that fit a dataclass, a dict."""
    values = values if isinstance(values, dict) else {}
    wanted = _hints(kind)
    return {
        name: values[name]
        for name in wanted
        if name in values
        and values[name] is not None
        and _is_a(values[name], wanted[name])
    }


_hints = functools.cache(typing.get_type_hints)


def _is_a(value, wanted):
    if isinstance(wanted, types.UnionType):
        return any(_is_a(value, part) for part in typing.get_args(wanted))
    if not isinstance(wanted, type):
        return False  # read by hand
    if isinstance(value, bool) and wanted is not bool:
        return False
    if wanted is float:
        return isinstance(value, int | float)
    return isinstance(value, wanted)


def _dicts(values):
    """Return those entries of a dict that are dicts."""
    values = values if isinstance(values, dict) else {}
    return {k: v for k, v in values.items() if isinstance(v, dict)}


def _positive(value):
    return value is not None and 0 < value < float("inf")


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
