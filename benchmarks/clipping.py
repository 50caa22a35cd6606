"""What clipping does for a run with bad batches, side by side.

    KERAS_BACKEND=jax python benchmarks/clipping.py [--seeds 10] [--quick]
        [--rows ROWS.jsonl]
    ... clipping.py transformer [--rows ROWS.jsonl] [--steps 500] [--part 2]

Three tasks, each trained once per clipper and seed, with the same data:

- regression: tanh MLP 32-64-64-1, Adam 3e-3, 1000 batches of 32, one in a
  hundred with targets times 1000; the loss at scales 1e-4, 1 and 1e4; and with
  one batch in a hundred NaN or infinite.
- adding: an LSTM adds two marked numbers of a sequence; bad batches as above.
- characters: a GRU predicts the next character of Keras's own documentation;
  one batch in 200 has shuffled targets and a loss times 1000.
- the same by a small Transformer (2 blocks, width 32), at three rates, without
  and with bad batches, one in 60. `transformer` runs this alone, two methods at
  a call with `--part 2`, and writes results/clipping_transformer.md once all
  are there.

optax's own clipping is taken along where optax is installed. Methods whose
losses are in the file `--rows` are not run again. The seeds run at once, under
`jax.vmap`, the steps under `jax.lax.scan`. Writes results/clipping.md and
results/clipping.png next to this file.
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np
from keras import layers
from keras import ops

import keras_gradguard as kgg
from keras_gradguard.clippers import functional

RESULTS = pathlib.Path(__file__).parent / "results"
FLOAT_MAX = functional.NO_THRESHOLD


class PublishedZClip(kgg.clippers.NormClipper):
    """zclip 1.0.0: absolute epsilon, every norm capped at 1.0."""

    def state_shapes(self, variables):
        return {"statistics": (3,)}  # count, mean, variance

    def threshold(self, norm, state):
        count, mean, variance = ops.unstack(state["statistics"], 3)
        warm = count < 25
        deviation = ops.sqrt(variance)
        z = (norm - mean) / (deviation + 1e-6)
        spike = ops.logical_and(z > 2.5, ops.logical_not(warm))
        limit = mean + 2.5 * deviation / (ops.maximum(z, 2.5) / 2.5)
        kept = ops.where(spike, limit, norm)
        warm_mean = mean + (norm - mean) / (count + 1)
        warm_variance = (
            count * variance + (norm - mean) * (norm - warm_mean)
        ) / (count + 1)
        next_mean = 0.97 * mean + 0.03 * kept
        next_variance = 0.97 * variance + 0.03 * (kept - next_mean) ** 2
        statistics = ops.stack(
            [
                count + 1,
                ops.where(warm, warm_mean, next_mean),
                ops.where(warm, warm_variance, next_variance),
            ]
        )
        return ops.minimum(kept, 1.0), {"statistics": statistics}

    def get_config(self):
        return {}


def _percentile(history, percentage):
    return functional.percentile(ops.flip(ops.sort(history)), percentage)


class PublishedAutoClip(kgg.clippers.NormClipper):
    """autoclip 0.2.1: quantile 0.9 of the last 1000, without the current."""

    def state_shapes(self, variables):
        return {"history": (1000,)}

    def threshold(self, norm, state):
        limit = _percentile(state["history"], 90.0)
        return limit, {"history": functional.push(state["history"], norm)}

    def get_config(self):
        return {}


class ClampedAutoClip(kgg.clippers.NormClipper):
    """gradientnorm-autoclipper 1.0.0: 10th percentile of 200, at least 1."""

    def state_shapes(self, variables):
        return {"history": (200,)}

    def threshold(self, norm, state):
        history = functional.push(state["history"], norm)
        limit = _percentile(history, 10.0)
        return ops.maximum(limit, 1.0), {"history": history}

    def get_config(self):
        return {}


class AdaGC(kgg.clippers.Clipper):
    """AdaGC with its defaults: 100 steps to norm 1, then per tensor."""

    def state_shapes(self, variables):
        return {"count": (), "gamma": (len(variables),)}

    def clip(self, gradients, variables, norm, state):
        count, gamma = state["count"], state["gamma"]
        warm = count < 100
        norms = ops.stack([functional.global_norm([g]) for g in gradients])
        shared = ops.minimum(1.0 / norm, 1.0)
        own = ops.minimum(1.05 * gamma / norms, 1.0)
        factors = ops.where(warm, shared, own)
        after = norms * factors
        first = ops.where(count == 0, after, ops.minimum(gamma, after))
        gamma = ops.where(warm, first, 0.98 * gamma + 0.02 * after)
        clipped = [g * factors[i] for i, g in enumerate(gradients)]
        state = {"count": count + 1, "gamma": gamma}
        return kgg.clippers.Clipped(clipped, norm, ops.any(factors < 1), state)

    def get_config(self):
        return {}


class AGC(kgg.clippers.Clipper):
    """AGC with the defaults of its authors and of optax: 0.01, 1e-3.

    Each unit (a column of a kernel) to a hundredth of its weights' norm.
    """

    def state_shapes(self, variables):
        return {}

    def clip(self, gradients, variables, norm, state):
        clipped = []
        for gradient, variable in zip(gradients, variables, strict=True):
            axes = tuple(range(max(1, len(variable.shape) - 1)))
            weight = ops.sum(ops.square(variable), axes, keepdims=True)
            own = ops.sum(ops.square(gradient), axes, keepdims=True)
            limit = 0.01 * ops.maximum(ops.sqrt(weight), 1e-3)
            own = ops.maximum(ops.sqrt(own), 1e-6)
            clipped.append(gradient * ops.minimum(limit / own, 1.0))
        return kgg.clippers.Clipped(clipped, norm, norm > 0, state)

    def get_config(self):
        return {}


def _peer(clipper):
    return lambda inner: kgg.AutoClip(inner, clipper, nonfinite="propagate")


def _ours(clipper, **arguments):
    return lambda inner: kgg.AutoClip(inner, clipper, **arguments)


def _clipnorm(value):
    def wrap(inner):
        inner.global_clipnorm = value
        return inner

    return wrap


METHODS = {
    "none": lambda inner: inner,
    "global_clipnorm=0.1": _clipnorm(0.1),
    "global_clipnorm=1": _clipnorm(1.0),
    "global_clipnorm=10": _clipnorm(10.0),
    "peer: autoclip 0.2.1": _peer(PublishedAutoClip()),
    "peer: gradientnorm-autoclipper": _peer(ClampedAutoClip()),
    "peer: zclip 1.0.0": _peer(PublishedZClip()),
    "peer: AdaGC": _peer(AdaGC()),
    "peer: AGC": _peer(AGC()),
    "AutoClip()": lambda inner: kgg.AutoClip(inner),
    "AutoClip(ratio=2)": _ours("spikes", ratio=2.0),
    "AutoClip(skip_above=4)": _ours("spikes", skip_above=4.0),
    "AutoClip('per_tensor')": _ours("per_tensor"),
    "AutoClip(percentile=10)": _ours("percentile"),
    "AutoClip(percentile=50)": _ours("percentile", percentile=50),
    "AutoClip(percentile=90)": _ours("percentile", percentile=90),
    "AutoClip(percentile=100)": _ours("percentile", percentile=100),
    "AutoClip('zscore')": _ours("zscore"),
    "AutoClip('zscore', warmup_ratio=None)": _ours("zscore", warmup_ratio=None),
    "AutoClip('unitwise')": _ours("unitwise", ratio=0.05),
    "AutoClip('norm')": _ours("norm"),
}


def train(make_model, loss_fn, wrap, data, learning_rate, different=None):
    """Train one model per seed; return losses `(S, T)` and final variables.

    Args:
        make_model: Function from a seed to a model.
        loss_fn: Function of targets and outputs to one number.
        wrap: Function from an optimizer to the one to train with.
        data: Arrays `(S, T, ...)`: inputs, targets, factor of the loss.
        learning_rate: Of Adam: a number, or one for each of the S.
        different: How many seeds there are; after so many they begin again.
    """
    seeds = data[0].shape[0]
    rates = np.broadcast_to(learning_rate, seeds).astype("float32")
    model = make_model(0)
    inner = keras.optimizers.Adam(1e-3)
    optimizer = wrap(inner)
    optimizer.build(model.trainable_variables)
    starts = [
        [v.numpy() for v in make_model(seed).trainable_variables]
        for seed in range(different or seeds)
    ]
    starts = [starts[lane % len(starts)] for lane in range(seeds)]
    weights = [np.stack(values) for values in zip(*starts, strict=True)]
    state = [
        rates if v is inner.learning_rate else np.stack([v.numpy()] * seeds)
        for v in optimizer.variables
    ]
    assert any(values is rates for values in state)  # noqa: S101
    fixed = [v.value for v in model.non_trainable_variables]

    def loss_of(weights, x, y, factor):
        outputs, _ = model.stateless_call(weights, fixed, x, training=True)
        loss = loss_fn(y, outputs)
        return loss * factor, loss

    def step(carry, batch):
        weights, state = carry
        gradients, loss = jax.grad(loss_of, has_aux=True)(weights, *batch)
        return optimizer.stateless_apply(state, gradients, weights), loss

    @jax.jit
    @jax.vmap
    def run(weights, state, data):
        (weights, state), losses = jax.lax.scan(step, (weights, state), data)
        return weights, losses

    weights, losses = run(weights, state, data)
    return model, fixed, weights, np.asarray(losses)


def test_losses(model, fixed, weights, loss_fn, x, y):
    """Loss on clean data, one per seed."""

    @jax.jit
    @jax.vmap
    def evaluate(weights):
        outputs, _ = model.stateless_call(weights, fixed, x, training=False)
        return loss_fn(y, outputs)

    return np.asarray(evaluate(weights))


def mse(y, outputs):
    return ops.mean(ops.square(y - outputs))


def crossentropy(y, outputs):
    return ops.mean(
        keras.losses.sparse_categorical_crossentropy(
            y, outputs, from_logits=True
        )
    )


def mlp(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((32,)),
            layers.Dense(64, activation="tanh"),
            layers.Dense(64, activation="tanh"),
            layers.Dense(1),
        ]
    )


def lstm(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [keras.Input((24, 2)), layers.LSTM(24), layers.Dense(1)]
    )


def gru(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((24,)),
            layers.Embedding(96, 24),
            layers.GRU(48, return_sequences=True),
            layers.Dense(96),
        ]
    )


class _Tokens(layers.Layer):
    """Embeds characters and where they stand."""

    def __init__(self, width):
        super().__init__()
        self.token = layers.Embedding(96, width)
        self.place = layers.Embedding(24, width)

    def call(self, x):
        return self.token(x) + self.place(ops.arange(24))


def transformer(seed):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((24,), dtype="int32")
    x = _Tokens(32)(inputs)
    for _ in range(2):
        attend = layers.MultiHeadAttention(2, 16)
        y = layers.LayerNormalization()(x)
        x = layers.add([x, attend(y, y, use_causal_mask=True)])
        y = layers.LayerNormalization()(x)
        y = layers.Dense(64, activation="gelu")(y)
        x = layers.add([x, layers.Dense(32)(y)])
    x = layers.LayerNormalization()(x)
    return keras.Model(inputs, layers.Dense(96)(x))


TRANSFORMER = {
    "rate 3e-3": (3e-3, False),
    "rate 3e-3, corrupt batches": (3e-3, True),
    "rate 1e-2": (1e-2, False),
    "rate 3e-2": (3e-2, False),
    "rate 3e-2, corrupt batches": (3e-2, True),
}


def tested(path, train_all, test, **what):
    """Test losses of each method, kept in a file that may be taken up again.

    Args:
        path: File of JSON lines, or None. Methods that it holds are not run.
        train_all: Function from a wrap to what `train` returns.
        test: Loss, inputs and targets of clean data.
        what: More for each row; `part` methods are run at most.

    Returns:
        Dict from a method to its row, and whether none is missing.
    """
    part = what.pop("part", None)
    rows = {}
    if path is not None and path.exists():
        lines = path.read_text().splitlines()
        rows = {row["method"]: row for row in map(json.loads, lines)}
    for name in [name for name in METHODS if name not in rows][:part]:
        started = time.process_time()
        losses = test_losses(*train_all(METHODS[name])[:3], *test)
        rows[name] = {
            "method": name,
            **what,
            "losses": losses.reshape(-1, what["seeds"]).tolist(),
            "cpu_seconds": time.process_time() - started,
        }
        print(rows[name], flush=True)
        if path is not None:
            with path.open("a") as file:
                file.write(json.dumps(rows[name]) + "\n")
    return rows, all(name in rows for name in METHODS)


def transformer_rows(path, seeds, steps, part):
    rng = np.random.default_rng(5)
    test = character_data(rng, (200,))
    x, y = character_data(rng, (seeds, steps, 16))
    bad_y, factors = corrupt(rng, y.copy(), 1 / 60)
    ones = np.ones_like(factors)
    lanes = [
        (x, bad_y, factors) if bad else (x, y, ones)
        for _, bad in TRANSFORMER.values()
    ]
    data = tuple(np.concatenate(parts) for parts in zip(*lanes, strict=True))
    rates = np.repeat([rate for rate, _ in TRANSFORMER.values()], seeds)
    return tested(
        path,
        lambda w: train(transformer, crossentropy, w, data, rates, seeds),
        (crossentropy, *test),
        seeds=seeds,
        steps=steps,
        part=part,
    )


class OptaxClipper(kgg.clippers.Clipper):
    """What a transformation of optax, without state, does to gradients."""

    def __init__(self, transformation):
        self.transformation = transformation

    def state_shapes(self, variables):
        return {}

    def clip(self, gradients, variables, norm, state):
        weights = [ops.convert_to_tensor(v) for v in variables]
        start = self.transformation.init(weights)
        clipped, _ = self.transformation.update(gradients, start, weights)
        return kgg.clippers.Clipped(clipped, norm, norm > 0, state)

    def get_config(self):
        return {}


def optax_methods():
    try:
        import optax
    except ImportError:
        return {}
    return {
        "optax.clip_by_global_norm(1)": _peer(
            OptaxClipper(optax.clip_by_global_norm(1.0))
        ),
        "optax.adaptive_grad_clip(0.01)": _peer(
            OptaxClipper(optax.adaptive_grad_clip(0.01))
        ),
    }


METHODS.update(optax_methods())


def corrupt(rng, y, share=0.005):
    """Shuffle the targets of some batches, with a loss times 1000."""
    corrupted = rng.random(y.shape[:2]) < share
    y[corrupted] = rng.permuted(y[corrupted], axis=-1)
    return y, np.where(corrupted, 1000.0, 1.0).astype("float32")


def _teacher(x):
    rng = np.random.default_rng(11)
    hidden = np.tanh(x @ rng.normal(size=(32, 8)) / np.sqrt(32))
    return (hidden @ rng.normal(size=(8, 1))).astype("float32")


def regression_data(seeds, steps, spikes, bad):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(seeds, steps, 32, 32)).astype("float32")
    y = _teacher(x) + 0.45 * rng.normal(size=(seeds, steps, 32, 1))
    if spikes:
        y[rng.random((seeds, steps)) < 0.01] *= 1000
    if bad:
        where = rng.random((seeds, steps))
        x[where < 0.005] = np.nan
        x[where > 0.995] = np.inf
    return x, y.astype("float32")


def adding_data(rng, shape):
    values = rng.random((*shape, 24)).astype("float32")
    marks = np.zeros_like(values)
    first = rng.integers(0, 12, shape)[..., None]
    second = rng.integers(12, 24, shape)[..., None]
    np.put_along_axis(marks, first, 1.0, -1)
    np.put_along_axis(marks, second, 1.0, -1)
    return np.stack([values, marks], -1), (values * marks).sum(-1)[..., None]


def character_data(rng, shape):
    text = "".join(
        thing.__doc__ or "" for _, thing in sorted(vars(layers).items())
    )
    codes = np.array([min(max(ord(c) - 32, 0), 95) for c in text], "int32")
    starts = rng.integers(0, len(codes) - 26, shape)
    windows = codes[starts[..., None] + np.arange(25)]
    return windows[..., :-1], windows[..., 1:]


REGRESSION = {
    "no spikes": (False, False, 1.0),
    "spikes": (True, False, 1.0),
    "spikes, loss x 1e-4": (True, False, 1e-4),
    "spikes, loss x 1e4": (True, False, 1e4),
    "spikes, NaN and Inf": (True, True, 1.0),
}


def regression_rows(path, seeds, steps):
    x_test = np.random.default_rng(2).normal(size=(2000, 32)).astype("float32")
    lanes = [
        (
            *regression_data(seeds, steps, spikes, bad),
            np.full((seeds, steps), factor, "float32"),
        )
        for spikes, bad, factor in REGRESSION.values()
    ]
    data = tuple(np.concatenate(parts) for parts in zip(*lanes, strict=True))
    return tested(
        path,
        lambda wrap: train(mlp, mse, wrap, data, 3e-3, seeds),
        (mse, x_test, _teacher(x_test)),
        seeds=seeds,
        steps=steps,
    )[0]


CURVES = (
    "none",
    "global_clipnorm=1",
    "optax.adaptive_grad_clip(0.01)",
    "AutoClip()",
    "AutoClip('per_tensor')",
    "AutoClip(percentile=10)",
    "AutoClip(percentile=90)",
    "AutoClip('zscore')",
    "AutoClip('zscore', warmup_ratio=None)",
)


def curves(seeds, steps):
    """Training losses and clean test losses of the two recurrent models."""
    rng = np.random.default_rng(3)
    x, y = adding_data(rng, (seeds, steps, 16))
    y[rng.random((seeds, steps)) < 0.01] *= 1000
    ones = np.ones((seeds, steps), "float32")
    adding = (x, y.astype("float32"), ones)
    x, y = character_data(rng, (seeds, steps, 16))
    characters = (x, *corrupt(rng, y))
    tasks = {
        "adding problem, LSTM": (
            lstm,
            mse,
            adding,
            adding_data(rng, (500,)),
            1e-2,
        ),
        "characters, GRU": (
            gru,
            crossentropy,
            characters,
            character_data(rng, (500,)),
            3e-3,
        ),
    }
    results = {}
    for task, (make, loss_fn, data, test, rate) in tasks.items():
        for name in filter(METHODS.__contains__, CURVES):
            model, fixed, weights, losses = train(
                make, loss_fn, METHODS[name], data, rate
            )
            final = test_losses(model, fixed, weights, loss_fn, *test)
            results[task, name] = (losses, np.median(final))
    return list(tasks), results


def draw(tasks, results):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(tasks), figsize=(11, 5.6), layout="constrained"
    )
    for axis, task in zip(axes, tasks, strict=True):
        for name in filter(METHODS.__contains__, CURVES):
            losses, final = results[task, name]
            # Bad batches would hide the rest: the median over 50 steps.
            middle = np.median(losses, axis=0)
            count = len(middle) // 50
            middle = np.median(middle[: count * 50].reshape(count, 50), 1)
            axis.plot(
                50 * np.arange(1, count + 1),
                middle,
                label=f"{name}: {final:.3g}",
            )
        axis.set(title=task, xlabel="step", ylabel="training loss")
        axis.set_yscale("log")
        axis.legend(
            title="test loss at the end",
            fontsize=8,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.14),
        )
    figure.savefig(RESULTS / "clipping.png", dpi=110)


def rows(columns, table, seeds):
    lines = [
        "| | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name, cells in table.items():
        shown = [
            f"{value:.4f}" if good == seeds else f"{good} of {seeds} finite"
            for value, good in cells
        ]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return lines


def loss_rows(columns, found):
    """Return the table of what `tested` found, and the CPU seconds of it."""
    cells = {
        name: [
            (np.median(losses), int(np.isfinite(losses).sum()))
            for losses in row["losses"]
        ]
        for name, row in found.items()
    }
    some = next(iter(found.values()))
    seconds = sum(row["cpu_seconds"] for row in found.values())
    return rows(list(columns), cells, some["seeds"]), some, seconds


def report_transformer(found):
    table, some, seconds = loss_rows(TRANSFORMER, found)
    lines = [
        "# Clipping of a small Transformer",
        "",
        f"`benchmarks/clipping.py transformer`, {some['steps']} steps, "
        f"{some['seeds']} seeds, Keras {keras.__version__} on JAX, "
        f"{seconds:.0f} CPU seconds. Median over the seeds of the loss on "
        "clean test data.",
        "",
        *table,
        "",
    ]
    text = "\n".join(lines)
    (RESULTS / "clipping_transformer.md").write_text(text)
    print(text)


def report(found, tasks, results):
    table, some, seconds = loss_rows(REGRESSION, found)
    lines = [
        "# Clipping",
        "",
        f"`benchmarks/clipping.py --seeds {some['seeds']}`, {some['steps']} "
        f"steps, Keras {keras.__version__} on JAX, {seconds:.0f} CPU seconds "
        "for the first table. Median over the seeds (three in the second "
        "table) of the loss on clean test data.",
        "",
        "## Spiky regression",
        "",
        *table,
        "",
        "## Recurrent models with bad batches",
        "",
        "| | " + " | ".join(tasks) + " |",
        "|---" * (len(tasks) + 1) + "|",
    ]
    for name in filter(METHODS.__contains__, CURVES):
        shown = [f"{results[task, name][1]:.4f}" for task in tasks]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    lines += ["", "![training losses](clipping.png)", ""]
    text = "\n".join(lines)
    (RESULTS / "clipping.md").write_text(text)
    print(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="?", choices=["transformer"])
    parser.add_argument("--rows", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--part", type=int)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    seeds = 2 if arguments.quick else arguments.seeds
    steps = 200 if arguments.quick else arguments.steps
    RESULTS.mkdir(exist_ok=True)
    if arguments.only:
        found, complete = transformer_rows(
            arguments.rows, min(seeds, 3), steps, arguments.part
        )
        if complete:
            report_transformer(found)
        return
    found = regression_rows(arguments.rows, seeds, steps)
    tasks, results = curves(min(seeds, 3), steps)
    draw(tasks, results)
    report(found, tasks, results)


if __name__ == "__main__":
    main()
