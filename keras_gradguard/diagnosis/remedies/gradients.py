"""What to change when gradients explode or are not finite."""

import dataclasses

from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.remedies.code import layer_code
from keras_gradguard.diagnosis.remedies.code import normalize_code
from keras_gradguard.diagnosis.remedies.training import lower_rate
from keras_gradguard.findings.remedy import Remedy


def for_exploding(run, layers):
    """Return remedies for gradients that grow without bound."""
    name, rate = run.optimizer.name or "SGD", run.learning_rate
    lower = "1e-3" if rate is None else f"{rate / 10:g}"
    now = "" if rate is None else f" It is {rate:g} now."
    clip = training.clip(
        "Clipping bounds each step, so that one large gradient does not "
        "throw the weights far off.",
        threshold=1.0,
    )
    code = f"optimizer = keras.optimizers.{name}({lower}, global_clipnorm=1.0)"
    return [
        Remedy(
            "Bring inputs and targets to unit scale",
            "A squared error grows with the square of the targets, and its "
            "gradient with them. Undo the scaling on predictions.",
            "mean, std = y_train.mean(axis=0), y_train.std(axis=0)\n"
            "y_train = (y_train - mean) / std\n"
            "y_val = (y_val - mean) / std",
        ),
        dataclasses.replace(clip, code=code),
        dataclasses.replace(
            lower_rate(
                run,
                10,
                "Steps that overshoot make the next gradient larger "
                f"still.{now}",
            ),
            title="Lower the learning rate",
            code=f"optimizer = keras.optimizers.{name}({lower})",
        ),
        model.convert(
            "elu",
            "Its weights keep the size of the signal from layer to layer, "
            "whatever the activations were before.",
            "\n".join(layer_code(run, layer, "elu") for layer in layers),
        ),
        model.convert(
            "he_relu",
            "Normalization keeps the size of the signal from layer to layer.",
            normalize_code(run, layers),
            normalization="batch",
        ),
    ]


def for_nonfinite(run, layers, clue):
    """Return remedies for NaN or infinite gradients; `clue` says the cause.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. Layers whose gradient was not finite.
        clue: Str. `"growth"`, `"data"`, `"overflow"`, `"index"`, `"loss"`,
            `"slope"`, `"output"` or `"layer"`.
    """
    check_data = Remedy(
        "Look for NaN and infinity in the data",
        "One such value in a batch makes the loss and every gradient NaN.",
        "import numpy as np\n"
        "print(np.isfinite(x_train).all(), np.isfinite(y_train).all())",
    )
    skip = dataclasses.replace(
        training.clip(
            "Weights stay as they were when a gradient is NaN or infinite.",
            "percentile",
            nonfinite="skip",
        ),
        title="Skip updates that are not finite",
        code="optimizer = keras_gradguard.AutoClip(optimizer, "
        "nonfinite='skip')",
    )
    safe = Remedy(
        "Keep logarithms, roots and divisions away from zero",
        "Their gradients are infinite there, also where the value itself is "
        "fine.",
        "x = keras.ops.maximum(x, 1e-7)  # before log, sqrt or division",
    )
    if clue == "growth":
        return [*for_exploding(run, layers), skip]
    if clue == "overflow":
        half = Remedy(
            "Compute in bfloat16 or float32",
            "float16 ends at 65504; bfloat16 has the range of float32.",
            'keras.mixed_precision.set_global_policy("mixed_bfloat16")',
        )
        return [half, skip, safe]
    if clue == "index":
        return _for_index(run, layers)
    if clue == "loss":
        return [
            Remedy(
                "Compute the loss with logarithms that cannot underflow",
                "The logarithm of a sum of exponentials, or of a probability "
                "that has become 0, is not finite.",
                "keras.ops.logsumexp(log_parts, axis=-1)  # not log(sum(exp))",
            ),
            safe,
            skip,
        ]
    if clue == "slope":
        return [
            Remedy(
                "Make the input safe before the function, not its result after",
                "The slope of the branch of `where` that is not taken counts, "
                "too, and that of a root at 0 is infinite.",
                "safe = keras.ops.where(x > 0, x, 1.0)\n"
                "y = keras.ops.where(x > 0, keras.ops.sqrt(safe), 0.0)",
            ),
            safe,
            skip,
        ]
    if clue in ("layer", "output"):
        return [safe, skip, check_data]
    return [check_data, safe, skip]


def _for_index(run, layers):
    info = run.info(layers[0]) if layers else {}
    rows = info.get("input_dim")
    last, one_more = "input_dim - 1", "input_dim + 1"
    if isinstance(rows, int):
        last, one_more = f"{rows - 1}", f"{rows + 1}"
    return [
        Remedy(
            "Give the table a row for each index",
            f"Indices count from 0, so the largest may be {last}.",
            f"keras.layers.Embedding({one_more}, "
            f"{info.get('output_dim', 'output_dim')}, "
            f'name="{info.get("name", "embedding")}")'
            "  # or larger: the largest index plus one",
        ),
        Remedy(
            "Map unknown values to a row of their own",
            "A lookup without such a row gives -1 or one too many.",
            f"unknown = (x_train < 0) | (x_train > {last})\n"
            "x_train = np.where(unknown, 0, x_train)",
        ),
    ]
