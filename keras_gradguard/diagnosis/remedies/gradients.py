"""What to change when gradients explode or are not finite."""

import dataclasses

from keras_gradguard.diagnosis.evidence.recurrent import recurrent_layers
from keras_gradguard.diagnosis.evidence.recurrent import unbounded
from keras_gradguard.diagnosis.remedies import model
from keras_gradguard.diagnosis.remedies import training
from keras_gradguard.diagnosis.remedies.data import UNIT_SCALE
from keras_gradguard.diagnosis.remedies.losses import are_classes
from keras_gradguard.diagnosis.remedies.losses import by_usual_loss
from keras_gradguard.diagnosis.remedies.losses import classes_of
from keras_gradguard.diagnosis.remedies.losses import for_own_step
from keras_gradguard.diagnosis.remedies.losses import turn_back
from keras_gradguard.diagnosis.remedies.own_code import hold_indices
from keras_gradguard.diagnosis.remedies.own_code import off_the_edge
from keras_gradguard.diagnosis.remedies.rates import RANGES
from keras_gradguard.diagnosis.remedies.recurrent import for_recurrent
from keras_gradguard.diagnosis.remedies.training import lower_rate
from keras_gradguard.findings.remedy import Remedy
from keras_gradguard.trace.facts import REGRESSION
from keras_gradguard.trace.facts import columns_of
from keras_gradguard.trace.facts import known
from keras_gradguard.trace.facts import rms

# Inputs and targets whose size may be the cause.
_LARGE = 10.0
# A rate so many times the usual one is the first to suspect.
_LARGE_RATE = 5.0


def for_exploding(run, layers, facts=None):
    """Return remedies for gradients that grow without bound.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. The layers, culprits first.
        facts: `DataFacts`, or None if nothing is known of the data.
    """
    if turned := turn_back(run, facts):
        return turned
    now = "" if run.learning_rate is None else f" It is {run.learning_rate:g}."
    clip = training.clip(
        "Clipping bounds each step, so that one large gradient does not "
        "throw the weights far off.",
        threshold=1.0,
    )
    lower = dataclasses.replace(
        lower_rate(
            run,
            10,
            f"Steps that overshoot make the next gradient larger still.{now}",
        ),
        title="Lower the learning rate",
    )
    gates = "Its gates keep the state from growing."
    listed = [*layers, *unbounded(run)]
    if recurrent_layers(run, listed):
        bound = training.clip(
            "A bound on the steps keeps a state that multiplies over many "
            "time steps from throwing the weights off.",
            threshold=1.0,
        )
        return [*for_recurrent(run, listed, gates), bound, lower]
    weights = [
        model.convert(
            "elu",
            "Its weights keep the size of the signal from layer to layer, "
            "whatever the activations were before.",
        ),
        model.convert(
            "he_relu",
            "Normalization keeps the size of the signal from layer to layer.",
            normalization="batch",
        ),
    ]
    steps = [
        model.several([lower, clip], "Smaller steps, and none that is huge."),
        clip,
        lower,
    ]
    usual = RANGES.get(run.optimizer.name, (0, 0, float("inf")))[2]
    rate = training.facts_with_rate(run).effective_rate or 0.0
    if run.optimizer.name != "SGD":
        rate = run.learning_rate or 0.0
    large = rate > _LARGE_RATE * usual
    if len(run.layers) > model.DEEP:
        # Sums of many branches grow however each of them starts.
        weights.reverse()
    first, second = (steps, weights) if large else (weights, steps)
    found = [*_rescaled(run, facts), *model.without_exponential(run)]
    return [*found, *first, *second, *_unseen(facts)]


def _unseen(facts):
    """Return what to do with data of which nothing is known."""
    if facts is not None and known(facts.input_mean, facts.target_mean):
        return []
    return [
        model.words(
            "Bring inputs and targets to unit scale",
            "A squared error grows with the square of the targets, and its "
            "gradient with them. Undo the scaling on predictions.",
            f"{UNIT_SCALE}x, y = keras.tree.map_structure(unit_scale, (x, y))",
        )
    ]


def _rescaled(run, facts):
    """Return the remedies for inputs and targets far from unit scale."""
    if facts is None:
        return []
    found = []
    output = run.output
    targets = facts.target_mean, facts.target_std
    regression = output is not None and output.loss_name in REGRESSION
    if regression and known(*targets) and rms(*targets) > _LARGE:
        why = (
            "A squared error grows with the square of the targets, and its "
            "gradient with them. Undo the scaling on predictions."
        )
        std = facts.target_std or abs(facts.target_mean)
        found.append(model.scale_targets(why, facts.target_mean, std))
    inputs = facts.input_mean, facts.input_std
    if known(*inputs) and rms(*inputs) > _LARGE and facts.input_std > 0:
        why = "What comes in multiplies each gradient of the first layer."
        found.append(model.normalize_inputs(why, *inputs))
    if len(found) > 1:
        together = model.several(found, "Both are far from unit scale.")
        found.insert(0, together)
    return found


def _for_own_loss(run, layers, facts):
    """Return what to put in the place of a loss of the user's own.

    Only where the whole gradient has gone, so that the loss is to blame and not
    a layer, and where the usual loss takes these targets.
    """
    gone = set(run.layers) <= set(layers)
    if run.own_loss is None or not gone or facts is None:
        return []
    if run.output is not None:
        width, columns = columns_of(run.output, facts)
        one = classes_of(run.output, facts) is not None and (
            run.output.activation == "softmax" or are_classes(facts)
        )
        if known(width, columns) and width != columns and not one:
            return []
    return [
        by_usual_loss(
            run,
            "Train by Keras's own loss until yours is safe",
            "All else then shows that it learns. The remedies below tell how "
            "to mend your loss.",
            facts,
        )
    ]


# Where the batch, or what the model made of it, is the suspect.
_OF_THE_BATCH = (
    "data",
    "batch",
    "loss",
    "slope",
    "output",
    "layer",
    "unknown",
)


def for_nonfinite(run, layers, clue, top=0, facts=None, capsule=None):
    """Return remedies for NaN or infinite gradients; `clue` says the cause.

    Args:
        run: `RunInfo` of the run or the model.
        layers: List of str. Layers whose gradient was not finite.
        clue: Str. `"growth"`, `"state"`, `"data"`, `"overflow"`, `"index"`,
            `"loss"`, `"slope"`, `"batch"`, `"output"`, `"weights"`,
            `"layer"`, `"huge"` or `"unknown"`.
        top: Int. The largest index that was looked up, where one is known.
        facts: `DataFacts`, or None if nothing is known of the data.
        capsule: Bool. Whether the run kept a capsule, None outside of one.
    """
    found = _for_nonfinite(run, layers, clue, top, facts)
    if capsule is False and clue in _OF_THE_BATCH:
        # Behind what may cure it, before what only passes over it.
        at = next(
            (i for i, one in enumerate(found) if one.title == _SKIP), len(found)
        )
        found.insert(at, _KEEP_CAPSULE)
    return found


_SKIP = "Skip updates that are not finite"
_KEEP_CAPSULE = Remedy(
    "Run it again with a capsule, which names the batch",
    "It keeps the steps before the fault. Replayed, bit for bit, they show "
    "which batch, layer and operation made the first such number.",
    'monitor = kgg.GradientMonitor(capsule="runs/capsule")\n'
    "# model.fit(..., callbacks=[monitor]), and after the fault in a shell:\n"
    "# python -m keras_gradguard replay runs/capsule",
)


def _for_nonfinite(run, layers, clue, top, facts):
    check_data = Remedy(
        "Look for NaN and infinity in the data",
        "One such value in a batch makes the loss and every gradient NaN.",
        "for values in keras.tree.flatten((x, y)):\n"
        "    print(np.isfinite(values).all())",
    )
    skip = dataclasses.replace(
        training.clip(
            "Weights stay as they were when a gradient is NaN or infinite.",
            "percentile",
            nonfinite="skip",
        ),
        title=_SKIP,
    )
    safe = Remedy(
        "Keep logarithms, roots and divisions away from zero",
        "Their gradients are infinite there, also where the value itself is "
        "fine.",
        "def safe_log(value):\n"
        "    return keras.ops.log(keras.ops.maximum(value, 1e-7))",
    )
    if clue in ("growth", "state"):
        return [*for_exploding(run, layers), skip]
    if clue == "huge":
        return [*for_exploding(run, layers, facts), skip]
    if clue == "overflow":
        half = Remedy(
            "Compute in bfloat16 or float32",
            "float16 ends at 65504; bfloat16 has the range of float32.",
            'keras.mixed_precision.set_global_policy("mixed_bfloat16")',
        )
        return [half, skip, safe]
    if clue == "weights":
        cure = training.adam(
            f"{run.optimizer.name or 'The optimizer'} made weights that are "
            "not finite of a finite gradient. Adam divides by no 0."
        )
        cures = [] if run.optimizer.name == "Adam" else [cure]
        return [*cures, check_data, skip]
    if clue == "index":
        return _for_index(run, layers, top)
    if clue == "loss" or (clue == "batch" and run.own_loss):
        # Keras's own losses are safe, those of users less often.
        logarithms = Remedy(
            "Compute the loss with logarithms that cannot underflow",
            "The logarithm of a sum of exponentials, or of a probability "
            "that has become 0, is not finite.",
            "def log_of_sum(log_parts):\n"
            "    return keras.ops.logsumexp(log_parts, axis=-1)",
        )
        own = _for_own_loss(run, layers, facts)
        data = [check_data] if clue == "batch" else []
        edges = off_the_edge(run) if clue == "batch" else []
        return [*edges, *own, logarithms, safe, *data, skip]
    if clue == "slope":
        return [
            *off_the_edge(run),
            *_for_own_loss(run, layers, facts),
            Remedy(
                "Make the input safe before the function, not its result after",
                "The slope of the branch of `where` that is not taken counts, "
                "too, and that of a root at 0 is infinite.",
                "def safe_sqrt(value):\n"
                "    safe = keras.ops.where(value > 0, value, 1.0)\n"
                "    return keras.ops.where(value > 0, keras.ops.sqrt(safe), "
                "0.0)",
            ),
            safe,
            skip,
        ]
    halves = [
        path
        for path, info in run.layers.items()
        if info.get("dtype") == "float16"
    ]
    if clue == "data" and halves:
        return [
            model.normalize_inputs(
                "float16 ends at 65504: what is larger becomes infinite in it."
            ),
            model.change_layers(
                "Keep the weights in float32",
                "It has the range that the data need.",
                {path: {"dtype": "float32"} for path in halves},
            ),
            check_data,
            skip,
        ]
    if clue == "data":
        mended = Remedy(
            "Replace inputs that are not finite, leave out such targets",
            "A column that never varies has a standard deviation of 0, and "
            "what is divided by it is NaN. So are missing values.",
            "x = np.nan_to_num(x, posinf=0.0, neginf=0.0)\n"
            "keep = np.isfinite(y.reshape(len(y), -1)).all(axis=1)\n"
            "x, y = x[keep], y[keep]",
        )
        return [mended, check_data, safe, skip]
    if clue in ("layer", "output"):
        return [*off_the_edge(run), safe, skip, check_data]
    if clue == "unknown":
        edges, own = off_the_edge(run), for_own_step(run, layers, facts)
        return [*edges, *own, check_data, safe, skip]
    return [check_data, safe, skip]


def _for_index(run, layers, top):
    tables = {
        layer: run.info(layer)["input_dim"]
        for layer in map(str, layers)
        if isinstance(run.info(layer).get("input_dim"), int)
    }
    if not tables:
        return []
    # In layers of the user's own nothing can be put into the place of a table.
    plain = {path: n for path, n in tables.items() if not run.is_held(path)}
    found = []
    if len(plain) < len(tables):
        found.append(hold_indices(run, tables, top))
    if plain:
        several = len(tables) > 1
        last = [f"{rows - 1}" for rows in plain.values()]
        found.append(
            model.change_layers(
                "Give the table a row for each index",
                "Indices count from 0, so the largest may be "
                f"{' and '.join(last)}. A table needs the largest index plus "
                "one.",
                {
                    path: {"input_dim": max(top, rows - several) + 1}
                    for path, rows in plain.items()
                },
            )
        )
    if len(tables) == len(plain) == 1 and not run.several_inputs:
        found.append(
            Remedy(
                "Map unknown values to a row that exists",
                "A lookup without such a row gives -1 or one too many.",
                f"x = np.where((x < 0) | (x > {last[0]}), 0, x)",
            )
        )
    return found
