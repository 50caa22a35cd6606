"""Judges an output layer against its loss by configuration alone."""

from keras_gradguard.diagnosis.remedies import model as changes
from keras_gradguard.findings.build import before_a_run

CATEGORICAL = (
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
    "categorical_focal_crossentropy",
)
BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
# Their outputs lie in [0, 1].
PROBABILITIES = (
    "sigmoid",
    "softmax",
    "hard_sigmoid",
    "sparse_sigmoid",
    "sparsemax",
)
_POSITIVE = {
    "poisson": "takes the logarithm of the prediction",
    "kl_divergence": "compares probabilities",
}
_MAY_BE_NEGATIVE = (
    "linear",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "swish",
    "mish",
    "softsign",
    "tanh",
    "log_softmax",
)
# What they give is no probability, whatever comes in.
_NO_PROBABILITIES = (
    *_MAY_BE_NEGATIVE,
    "relu",
    "relu6",
    "softplus",
    "exponential",
)


def judge_pairing(output):
    """Judge an output layer against its loss.

    * A softmax over the axis of the samples makes each row depend on the
      others of its batch.
    * A softmax over one unit is 1 for every input. With a crossentropy, Keras
      on TensorFlow computes the loss from what went into the softmax, so the
      loss falls while each prediction stays 1.
    * A crossentropy over one unit with classes on separate units is 0.
    * `from_logits=True` over probabilities squashes twice.
    * Outputs that are no probabilities in a loss that needs them.
    * Sigmoid units under a loss of exclusive classes, and softmax under a
      loss of independent ones: warnings, since they train.

    Args:
        output: `Output`.

    Returns:
        List of `Finding` of rule `"output_mismatch"`, at most one: the
        gravest. `evidence["kind"]` tells which; `evidence["trains"]` whether
        the model learns all the same.
    """
    loss, activation, units = output.loss_name, output.activation, output.units
    found = None
    if activation == "softmax_over_samples":
        found = _over_samples(output)
    elif activation == "softmax" and units == 1:
        found = _softmax_of_one(output)
    elif loss in CATEGORICAL and units == 1:
        found = _classes_on_one(output)
    elif loss in CATEGORICAL or loss in BINARY:
        found = _crossentropy(output)
    elif loss in _POSITIVE and activation in _MAY_BE_NEGATIVE:
        found = _may_be_negative(output)
    return [found] if found is not None else []


def mismatch(output, kind, message, remedies, severity="critical", **evidence):
    """Return a finding of rule `"output_mismatch"` on an output.

    Args:
        output: `Output`.
        kind: Str. Short name of the mistake.
        message: Str. In words; the layer's name is put before it.
        remedies: List of `Remedy`.
        severity: Str. Defaults to `"critical"`.
        **evidence: More of it.
    """
    where = output.layer or "The output"
    return before_a_run(
        rule="output_mismatch",
        severity=severity,
        layers=output.layers,
        evidence={
            "kind": kind,
            "trains": False,
            "activation": output.activation,
            "units": output.units,
            "loss": output.loss_name,
            "from_logits": bool(output.from_logits),
            **evidence,
        },
        message=f"{where}: {message}",
        remedies=remedies,
    )


def _over_samples(output):
    return mismatch(
        output,
        "softmax_over_samples",
        "the softmax runs over axis 0, that of the samples. So what a row gets "
        "depends on the others of its batch, each column adds up to 1 over "
        "the batch, and no row holds probabilities of its own.",
        [
            changes.output(
                output,
                "Over the last axis the numbers of each row add up to 1.",
                units=output.units,
                activation="sigmoid" if output.units == 1 else "softmax",
            )
        ],
    )


def _softmax_of_one(output):
    loss = output.loss_name
    trap = ""
    if loss in (*BINARY, *CATEGORICAL):
        trap = (
            " Do not trust the loss: it may fall while the predictions stay 1, "
            "where Keras computes it from what goes into the softmax."
        )
    probabilities = loss in (*BINARY, *CATEGORICAL) or loss is None
    logits = output.from_logits and loss in BINARY
    remedies = [
        changes.output(
            output,
            "A sigmoid turns one number into a probability.",
            units=1,
            activation="sigmoid",
            loss="binary_crossentropy"
            if loss in CATEGORICAL or logits
            else None,
            logits=False if logits else None,
        )
    ]
    if not probabilities:
        linear = changes.output(
            output,
            "For a number of any size the last layer needs no activation.",
            units=1,
            activation="linear",
        )
        remedies.append(linear)
    return mismatch(
        output,
        "softmax_one_unit",
        "softmax over one unit is 1 for every input, so nothing can be "
        f"learnt. It divides the unit by itself.{trap}",
        remedies,
    )


def _classes_on_one(output):
    return mismatch(
        output,
        "categorical_one_unit",
        f"{output.loss_name} needs one unit for each class, and there is only "
        "one unit. So the loss says nothing about the classes.",
        [
            changes.output(
                output,
                "Two classes need one unit, which says how likely the second "
                "is.",
                units=1,
                activation="sigmoid",
                loss="binary_crossentropy",
            )
        ],
    )


def _crossentropy(output):
    loss, activation = output.loss_name, output.activation
    fits = "sigmoid" if loss in BINARY else "softmax"
    if output.from_logits and activation in PROBABILITIES:
        return mismatch(
            output,
            "logits_of_probabilities",
            f"the loss has from_logits=True, but {activation} has made "
            "probabilities of the logits already. Squashed twice, they can "
            "never be far apart, and training is slow or stops. TensorFlow "
            "undoes the first squashing, JAX and torch do not.",
            [
                changes.output(
                    output,
                    "The loss takes the probabilities that the layer gives.",
                    loss=loss,
                    logits=False,
                ),
                changes.output(
                    output,
                    "The loss applies the activation itself, more exactly.",
                    activation="linear",
                ),
            ],
            severity="warning",
        )
    if output.from_logits and activation in ("relu", "relu6"):
        return _bounded_logits(output)
    if not output.from_logits and activation in _NO_PROBABILITIES:
        return _no_probabilities(output, fits)
    if output.from_logits:
        return None
    if loss in CATEGORICAL and activation in ("sigmoid", "hard_sigmoid"):
        return mismatch(
            output,
            "sigmoid_categorical",
            f"{activation} judges each class on its own, but {loss} expects "
            "one class a sample. The outputs do not add up to 1, so they are "
            "no probabilities of classes, even where the loss falls.",
            [
                changes.output(
                    output,
                    "Softmax makes probabilities that add up to 1.",
                    activation="softmax",
                )
            ],
            severity="warning",
            trains=True,
        )
    if loss in BINARY and activation == "softmax":
        return mismatch(
            output,
            "softmax_binary",
            f"softmax makes classes exclude each other, but {loss} judges "
            "each on its own.",
            [
                changes.output(
                    output,
                    "Exclusive classes belong to categorical_crossentropy.",
                    loss="categorical_crossentropy",
                ),
                changes.output(
                    output,
                    "Labels that may hold together belong to sigmoid.",
                    activation="sigmoid",
                ),
            ],
            severity="warning",
            trains=True,
        )
    return None


def _bounded_logits(output):
    return mismatch(
        output,
        "relu_logits",
        f"{output.activation} cuts all negative logits to 0, so no class can "
        "become unlikely. Units at 0 get no gradient.",
        [
            changes.output(
                output,
                "Logits are any numbers; the loss makes probabilities of them.",
                activation="linear",
            )
        ],
    )


def _no_probabilities(output, fits):
    loss, activation = output.loss_name, output.activation
    if activation == "linear":
        gives = "numbers of any size"
    elif activation in ("relu", "relu6", "softplus", "exponential"):
        gives = "numbers above 1"
    elif activation == "log_softmax":
        gives = "their logarithms, all below 0"
    else:
        gives = "negative numbers"
    given = f"{activation} gives {gives}"
    if activation == "linear":
        given = f"without an activation the output is {gives}"
    cut = (
        " What lies outside is cut off, and with it the gradient."
        if loss in BINARY
        else " The loss divides them by their sum and cuts off the rest."
    )
    remedies = [
        changes.output(
            output,
            f"{fits.title()} gives probabilities.",
            activation=fits,
        )
    ]
    if activation == "linear":
        logits = changes.output(
            output,
            "The loss makes the probabilities itself; predictions and "
            "metrics then see logits.",
            loss=loss,
            logits=True,
        )
        remedies.append(logits)
    return mismatch(
        output,
        "no_probabilities",
        f"{loss} expects probabilities, but {given}.{cut}",
        remedies,
    )


def _may_be_negative(output):
    loss = output.loss_name
    to = "softplus" if loss == "poisson" else "softmax"
    if loss == "kl_divergence" and output.units == 1:
        return None
    shown = f"{output.activation} lets the prediction be negative"
    if output.activation == "linear":
        shown = "without an activation the prediction may be negative"
    return mismatch(
        output,
        "may_be_negative",
        f"{loss} {_POSITIVE[loss]}, but {shown}.",
        [
            changes.output(
                output,
                f"{to.title()} is never negative.",
                activation=to,
            )
        ],
        severity="warning",
    )
