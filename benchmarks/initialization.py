"""Which initialization lets a 24-layer plain MLP learn the digits.

KERAS_BACKEND=jax python benchmarks/initialization.py [--seeds 10]
    [--epochs 8] [--only gelu,silu] [--plots docs/images] [--results FILE]

Each cell is the test accuracy: the median over the seeds and, in brackets,
the lowest and highest, at the better of two learning rates. With a file for
the results a run that was stopped goes on where it was. Weights come from
Keras's initializers or from this package as a user would call it; training is
one compiled loop over them, so that the table takes minutes.
"""

import argparse
import functools
import itertools
import json
import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_gradguard import presets
from keras_gradguard.presets import theory

WIDTH, DEPTH, BATCH = 128, 24, 64
RATES = (0.02, 0.004)
# activation: the pairing, as this package advises it for this depth.
OURS = {
    "relu": "relu_deep",
    "leaky_relu": "leaky_relu_deep",
    "elu": "elu",
    "selu": "lecun_selu",
    "gelu": "gelu_deep",
    "silu": "silu_deep",
    "mish": "mish_deep",
    "hard_silu": "hard_silu_deep",
    "tanh": "glorot_tanh",
    "softplus": "softplus",
    "sigmoid": "sigmoid",
    "squared_relu": "squared_relu",
}
PLAIN = ("glorot", "he", "lecun", "ours", "ours orthogonal", "LSUV")
HELPED = ("ours + residual", "ours + batch norm")
# Those that a plain stack of this depth does not suit.
NEED_HELP = (
    "gelu",
    "silu",
    "mish",
    "hard_silu",
    "softplus",
    "sigmoid",
    "squared_relu",
)


def digits():
    x, y = load_digits(return_X_y=True)
    x = (x - x.mean()) / x.std()
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype("float32"), y[order]
    return x[:1400], y[:1400], x[1400:], y[1400:]


DATA = digits()


def function(activation):
    if activation == "squared_relu":
        return presets.squared_relu
    return keras.activations.get(activation)


def build(activation, kind, seed):
    """Make the MLP with its starting weights; return them stacked."""
    keras.utils.set_random_seed(seed)
    act = function(activation)
    fixed = {"glorot": "glorot_uniform", "he": "he_normal"}
    start = fixed.get(kind, "lecun_normal")
    model = keras.Sequential(
        [keras.Input((64,))]
        + [
            keras.layers.Dense(WIDTH, act, kernel_initializer=start)
            for _ in range(DEPTH)
        ]
        + [keras.layers.Dense(10)]
    )
    if kind.startswith("ours"):
        name = OURS[activation]
        if kind == "ours orthogonal":
            name += "_orthogonal"
        if kind in HELPED:
            name = name.removesuffix("_deep")  # "relu" is "he_relu" too.
        model = presets.convert(
            model,
            name,
            residual=kind == HELPED[0],
            normalization="batch" if kind == HELPED[1] else None,
            seed=seed,
        )
    elif kind == "LSUV":
        presets.lsuv(model, DATA[0][:256], seed=seed)
    dense = [x for x in model.layers if isinstance(x, keras.layers.Dense)]
    weights = [[np.asarray(w) for w in x.get_weights()] for x in dense]
    return {
        "first": weights[0],
        "kernels": np.stack([k for k, _ in weights[1:-1]]),
        "biases": np.stack([b for _, b in weights[1:-1]]),
        "scales": np.zeros(DEPTH - 1, "float32"),
        "gains": np.ones((DEPTH - 1, WIDTH), "float32"),
        "last": weights[-1],
    }


def forward(p, x, act, kind):
    def layer(h, own):
        kernel, bias, scale, gain = own
        z = act(h @ kernel + bias)
        if kind == HELPED[0]:
            z = h + scale * z
        if kind == HELPED[1]:
            # Of the batch at hand, in testing too: it is a large one.
            z = h @ kernel
            z = (z - z.mean(0)) / jnp.sqrt(z.var(0) + 1e-3)
            z = act(z * gain + bias)
        return z, None

    h = act(x @ p["first"][0] + p["first"][1])
    own = (p["kernels"], p["biases"], p["scales"], p["gains"])
    h, _ = jax.lax.scan(layer, h, own)
    return h @ p["last"][0] + p["last"][1]


@functools.partial(jax.jit, static_argnames=("activation", "kind", "epochs"))
def train(p, rate, key, activation, kind, epochs):
    act = function(activation)
    x, y, x_test, y_test = map(jnp.asarray, DATA)
    steps = len(x) // BATCH

    def loss(p, x, y):
        logs = jax.nn.log_softmax(forward(p, x, act, kind))
        return -jnp.mean(jnp.take_along_axis(logs, y[:, None], 1))

    def step(state, rows):
        p, velocity = state
        g = jax.grad(loss)(p, x[rows], y[rows])
        velocity = jax.tree.map(lambda v, g: 0.9 * v - rate * g, velocity, g)
        return (jax.tree.map(jnp.add, p, velocity), velocity), None

    def epoch(state, key):
        rows = jax.random.permutation(key, len(x))[: steps * BATCH]
        return jax.lax.scan(step, state, rows.reshape(steps, BATCH))[0], None

    start = (p, jax.tree.map(jnp.zeros_like, p))
    (p, _), _ = jax.lax.scan(epoch, start, jax.random.split(key, epochs))
    return jnp.mean(forward(p, x_test, act, kind).argmax(-1) == y_test)


def run(activation, kind, seed, epochs):
    """Accuracy of one seed at each learning rate."""
    p = build(activation, kind, seed)
    way = kind if kind in HELPED else "plain"
    key = jax.random.key(seed)
    return [
        float(train(p, rate, key, activation, way, epochs)) for rate in RATES
    ]


class Results:
    """Accuracies by cell and seed, in a file that a later run goes on with."""

    def __init__(self, path):
        self.path, self.found = path, {}
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as lines:
                for line in map(json.loads, lines):
                    self.found[tuple(line["of"])] = line["accuracy"]

    def add(self, of, accuracy):
        self.found[of] = accuracy
        if self.path:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"of": of, "accuracy": accuracy}) + "\n")

    def cell(self, activation, kind, epochs):
        """All seeds at the learning rate whose median is better."""
        rows = np.array(
            [
                accuracy
                for (*of, _), accuracy in self.found.items()
                if of == [activation, kind, epochs]
            ]
        )
        if not len(rows):
            return ""
        a = rows[:, np.median(rows, axis=0).argmax()]
        return f"{np.median(a):.3f} ({a.min():.2f}-{a.max():.2f}, {len(a)})"


def measure(row, depth, width, seed=0):
    """Second moments of signal and gradient in one wide random stack."""
    rng = np.random.default_rng(seed)
    act = keras.activations.get(row.activation)
    kernels = rng.normal(size=(depth, width, width)) * np.sqrt(
        row.scale / width
    )
    biases = rng.normal(size=(depth, width)) * np.sqrt(row.bias_variance)
    h = rng.normal(size=(64, width)) * np.sqrt(row.point)

    def run(h, bumps):
        signal = []
        for kernel, bias, bump in zip(kernels, biases, bumps, strict=True):
            h = act(h) @ jnp.asarray(kernel, "float32") + bias + bump
            signal.append(jnp.mean(h**2))
        return h, jnp.stack(signal)

    h = jnp.asarray(h, "float32")
    bumps = jnp.zeros((depth, 64, width))
    _, back, signal = jax.vjp(lambda b: run(h, b), bumps, has_aux=True)
    probe = jnp.asarray(rng.normal(size=(64, width)), "float32")
    (gradient,) = back(probe)
    return np.asarray(signal), np.asarray(jnp.mean(gradient**2, (1, 2)))


def plot(folder, depth=50, width=512):
    import matplotlib.pyplot as plt

    rows = [presets.pairing(n) for n in presets.names()]
    rows = list({r.name: r for r in rows if r.name != "he_prelu"}.values())
    figure, axes = plt.subplots(
        7, 3, figsize=(9, 15), sharex=True, sharey=True, layout="constrained"
    )
    layers = np.arange(1, depth + 1)
    for axis, row in zip(axes.flat, rows, strict=False):
        q, chi = theory.propagate(
            row.activation,
            row.scale,
            depth,
            bias_variance=row.bias_variance,
            start=row.point,
        )
        signal, gradient = measure(row, depth, width)
        # `propagate` stands still where the signal leaves float32's range.
        q = np.where((q > 1e-38) & (q < 1e38), q, np.nan)
        # Each relative to where it starts: the input, and the last layer.
        back = np.where(np.isnan(q), np.nan, chi[-1] / chi)
        axis.plot(layers, np.sqrt(q / row.point), "C0", lw=1.5)
        axis.plot(layers, np.sqrt(back), "C1", lw=1.5)
        axis.plot(layers[::3], np.sqrt(signal / row.point)[::3], "C0.", ms=5)
        axis.plot(layers[::3], np.sqrt(gradient)[::3], "C1.", ms=5)
        axis.axhline(1.0, color="0.7", lw=0.6, zorder=0)
        axis.set_title(row.name, fontsize=10)
        axis.set_yscale("log")
        axis.set_ylim(1e-3, 1e3)
    for axis in axes.flat[len(rows) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("relative size")
    for axis in axes[-1]:
        axis.set_xlabel("layer")
    figure.legend(
        handles=[
            plt.Line2D([], [], color="C0", label="signal going in"),
            plt.Line2D([], [], color="C1", label="gradient coming back"),
            plt.Line2D([], [], color="0.4", label="theory, infinite width"),
            plt.Line2D(
                [], [], color="0.4", marker=".", ls="", label="width 512"
            ),
        ],
        loc="outside upper center",
        ncols=4,
        frameon=False,
    )
    path = os.path.join(folder, "signal_and_gradient.png")
    figure.savefig(path, dpi=90)
    print("wrote", path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--only", default=",".join(OURS))
    parser.add_argument("--plots", default=None)
    parser.add_argument("--results", default=None)
    options = parser.parse_args()
    if keras.backend.backend() != "jax":
        raise SystemExit("Run with KERAS_BACKEND=jax: training is in JAX.")
    if options.plots:
        plot(options.plots)
        return
    begin = time.time()
    kinds = (*PLAIN, *HELPED)
    chosen = options.only.split(",")
    results = Results(options.results)
    # Seeds outermost: stopped early, all cells have about as many.
    for seed, activation, kind in itertools.product(
        range(options.seeds), chosen, kinds
    ):
        of = (activation, kind, options.epochs, seed)
        if (
            kind in HELPED and activation not in NEED_HELP
        ) or of in results.found:
            continue
        results.add(of, run(activation, kind, seed, options.epochs))
    print(
        f"{DEPTH} plain layers of {WIDTH}, digits, {options.epochs} epochs: "
        "median (lowest-highest, seeds)\n"
    )
    print("| activation | " + " | ".join(kinds) + " |")
    print("|---" * (len(kinds) + 1) + "|")
    for activation in chosen:
        cells = [results.cell(activation, k, options.epochs) for k in kinds]
        print(f"| {activation} | " + " | ".join(cells) + " |")
    print(f"\n{time.time() - begin:.0f} s")


if __name__ == "__main__":
    main()
