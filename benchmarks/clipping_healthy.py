"""What `AutoClip()` does to trainings that need no clipping.

    KERAS_BACKEND=torch python benchmarks/clipping_healthy.py run ROWS.jsonl
        [--seconds 500] [--seeds 4]
    python benchmarks/clipping_healthy.py table ROWS.jsonl

Twenty-six small trainings: rare classes, sparse rewards, embeddings, warm-up,
GANs, fine-tuning, heavy tails, recurrent nets. Each is trained plain and with
AutoClip around the same optimizer, from the same weights on the same batches.
`run` takes up where it was left and ends after some seconds. Lower is better in
all scores; the noise is the standard deviation of plain runs over the seeds.
"""

import argparse
import json
import pathlib
import time

import numpy as np

STEPS, BATCH = 300, 32


def sequential(*stack, inputs):
    import keras

    return keras.Sequential([keras.Input(inputs), *stack])


def dense(*widths, out=1, activation=None, inputs=(10,), hidden="relu"):
    from keras import layers

    return sequential(
        *(layers.Dense(width, hidden) for width in widths),
        layers.Dense(out, activation),
        inputs=inputs,
    )


def fitted(model, optimizer, loss, x, y, batch=BATCH, steps=STEPS, **more):
    """Train for some steps."""
    size = len(y[0]) if isinstance(y, list) else len(y)
    epochs = max(1, round(steps * batch / size))
    model.compile(optimizer, loss)
    model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0, **more)
    return model


def logloss(model, x, y):
    return float(model.evaluate(x, y, batch_size=512, verbose=0))


def ranking_error(model, x, y):
    from sklearn.metrics import roc_auc_score

    scores = model.predict(x, batch_size=512, verbose=0)[:, 0]
    return 1 - float(roc_auc_score(y, scores))


def rare(rng, share, rows=3000):
    x = rng.normal(size=(2 * rows, 10)).astype("float32")
    value = x[:, 0] + x[:, 1] * x[:, 2]
    y = (value > np.quantile(value, 1 - share)).astype("float32")
    return x[:rows], y[:rows], x[rows:], y[rows:]


def digits(rng):
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = rng.permutation(len(x))
    return (x[order] / 16).astype("float32"), y[order]


def rare_class_weighted(rng, wrap, keras):
    x, y, x_test, y_test = rare(rng, 0.03)
    model = dense(32, 32, activation="sigmoid")
    weights = {0: 1.0, 1: float((y == 0).sum() / y.sum())}
    fitted(
        *(model, wrap(keras.optimizers.Adam(1e-3)), "binary_crossentropy"),
        *(x, y),
        steps=900,
        class_weight=weights,
    )
    return ranking_error(model, x_test, y_test)


def rare_class(rng, wrap, keras):
    x, y, x_test, y_test = rare(rng, 0.02)
    model = dense(32, 32, activation="sigmoid")
    adam = wrap(keras.optimizers.Adam(3e-3))
    fitted(model, adam, "binary_crossentropy", x, y, steps=600)
    return logloss(model, x_test, y_test)


def rare_class_focal(rng, wrap, keras):
    x, y, x_test, y_test = rare(rng, 0.02)
    model = dense(32, 32, activation="sigmoid")
    adam = wrap(keras.optimizers.Adam(3e-3))
    loss = keras.losses.BinaryFocalCrossentropy(apply_class_balancing=True)
    fitted(model, adam, loss, x, y, steps=600)
    return ranking_error(model, x_test, y_test)


def long_tail(rng, wrap, keras):
    x, y = digits(rng)
    keep = rng.random(len(x)) < 0.7**y
    keep[1200:] = False
    model = dense(64, out=10, inputs=(64,))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    adam = wrap(keras.optimizers.Adam(3e-3))
    fitted(model, adam, loss, x[keep], y[keep])
    return logloss(model, x[1200:], y[1200:])


def rare_labels(rng, wrap, keras):
    x = rng.normal(size=(4000, 10)).astype("float32")
    y = (x @ rng.normal(size=(10, 20)) > 6.5).astype("float32")
    model = dense(64, out=20, activation="sigmoid")
    adam = wrap(keras.optimizers.Adam(3e-3))
    fitted(model, adam, "binary_crossentropy", x[:2000], y[:2000])
    return logloss(model, x[2000:], y[2000:])


def sparse_value(rng, wrap, keras):
    x, y, x_test, y_test = rare(rng, 0.02)
    model = dense(32, 32)
    adam = wrap(keras.optimizers.Adam(3e-3))
    fitted(model, adam, "mse", x, 10 * y, steps=600)
    return logloss(model, x_test, 10 * y_test)


def policy_gradient(rng, wrap, keras):
    """REINFORCE: one action of ten is rewarded, so most batches say little."""
    x = rng.normal(size=(STEPS * BATCH, 10)).astype("float32")
    best = np.argmax(x, axis=1)
    model = dense(32, out=10)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(wrap(keras.optimizers.Adam(1e-2)), loss)
    for at in range(0, len(x), BATCH):
        rows = slice(at, at + BATCH)
        logits = model.predict_on_batch(x[rows])
        noise = rng.gumbel(size=logits.shape)
        action = np.argmax(logits + noise, axis=1)
        reward = np.eye(10)[action] * (action == best[rows])[:, None]
        model.train_on_batch(x[rows], reward.astype("float32"))
    fresh = rng.normal(size=(2000, 10)).astype("float32")
    chosen = np.argmax(model.predict(fresh, batch_size=512, verbose=0), axis=1)
    return 1 - float((chosen == np.argmax(fresh, axis=1)).mean())


def q_learning(rng, wrap, keras):
    """A chain of ten states with a reward at its end alone."""
    states = np.eye(10, dtype="float32")
    model = dense(32, out=2)
    model.compile(wrap(keras.optimizers.Adam(3e-3)), "mse")
    for _ in range(STEPS):
        values = model.predict_on_batch(states)
        at, move = rng.integers(0, 10, BATCH), rng.integers(0, 2, BATCH)
        after = np.clip(at + 2 * move - 1, 0, 9)
        end = (at == 9) & (move == 1)
        target = values[at].copy()
        later = np.where(end, 1.0, 0.9 * values[after].max(axis=1))
        target[np.arange(BATCH), move] = later
        model.train_on_batch(states[at], target)
    true = 0.9 ** np.arange(9, -1, -1)
    got = model.predict_on_batch(states)[:, 1]
    return float(np.mean((got - true) ** 2))


def words(rng, rows, vocabulary=2000, length=20):
    rank = rng.zipf(1.3, size=(rows, length))
    return np.minimum(rank, vocabulary - 1).astype("int32")


def bag_of_words(rng, wrap, keras):
    from keras import layers

    tone = rng.normal(size=2000)
    x = words(rng, 4000)
    y = (tone[x].mean(axis=1) > 0).astype("float32")
    model = sequential(
        layers.Embedding(2000, 16),
        layers.GlobalAveragePooling1D(),
        layers.Dense(1, "sigmoid"),
        inputs=(20,),
    )
    adam = wrap(keras.optimizers.Adam(1e-2))
    fitted(model, adam, "binary_crossentropy", x[:3000], y[:3000])
    return logloss(model, x[3000:], y[3000:])


def pairs_model(keras, left, right, width=8):
    from keras import layers

    first, second = (
        keras.Input((), dtype="int32"),
        keras.Input((), dtype="int32"),
    )
    a = layers.Embedding(left, width)(first)
    b = layers.Embedding(right, width)(second)
    return keras.Model([first, second], layers.Dot(1)([a, b]))


def factorization(rng, wrap, keras):
    users, items = rng.normal(size=(300, 4)), rng.normal(size=(500, 4))
    u = np.minimum(rng.zipf(1.4, 8000), 299).astype("int32")
    i = np.minimum(rng.zipf(1.4, 8000), 499).astype("int32")
    y = (users[u] * items[i]).sum(axis=1).astype("float32") / 2
    model = pairs_model(keras, 300, 500)
    adam = wrap(keras.optimizers.Adam(1e-2))
    fitted(model, adam, "mse", [u[:6000], i[:6000]], y[:6000])
    return logloss(model, [u[6000:], i[6000:]], y[6000:])


def skip_gram(rng, wrap, keras):
    centre = words(rng, 9000, 500, 1)[:, 0]
    near = (centre + rng.integers(1, 4, 9000)) % 500
    other = words(rng, 9000, 500, 1)[:, 0]
    real = rng.random(9000) < 0.3
    context = np.where(real, near, other).astype("int32")
    y = real.astype("float32")
    model = pairs_model(keras, 500, 500)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    adam = wrap(keras.optimizers.Adam(1e-2))
    fitted(model, adam, loss, [centre[:7000], context[:7000]], y[:7000])
    return logloss(model, [centre[7000:], context[7000:]], y[7000:])


def markov(rng, rows, length=16, states=20):
    table = rng.dirichlet(np.full(states, 0.2), size=states).cumsum(axis=1)
    x = np.zeros((rows, length + 1), "int32")
    x[:, 0] = rng.integers(0, states, rows)
    for at in range(length):
        draw = rng.random((rows, 1))
        x[:, at + 1] = (draw > table[x[:, at]]).sum(axis=1).clip(0, states - 1)
    return x[:, :-1], x[:, 1:]


def warm_up(keras, peak, cosine=False):
    from keras.optimizers import schedules

    if cosine:
        return schedules.CosineDecay(
            0.0, STEPS - 50, warmup_target=peak, warmup_steps=50
        )
    return schedules.PiecewiseConstantDecay(
        [20, 40, 60], [peak / 20, peak / 5, peak / 2, peak]
    )


def transformer_warm_up(rng, wrap, keras):
    from keras import layers

    x, y = markov(rng, 2500)
    inputs = keras.Input((16,), dtype="int32")
    h = layers.Embedding(20, 32)(inputs)
    for _ in range(2):
        n = layers.LayerNormalization()(h)
        attend = layers.MultiHeadAttention(2, 16)
        h = layers.add([h, attend(n, n, use_causal_mask=True)])
        n = layers.Dense(64, "gelu")(layers.LayerNormalization()(h))
        h = layers.add([h, layers.Dense(32)(n)])
    model = keras.Model(inputs, layers.Dense(20)(h))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    adam = wrap(keras.optimizers.Adam(warm_up(keras, 5e-3)))
    fitted(model, adam, loss, x[:2000], y[:2000])
    return logloss(model, x[2000:], y[2000:])


def cosine_warm_up(rng, wrap, keras):
    x, y = digits(rng)
    model = dense(64, 64, out=10, inputs=(64,))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    adam = wrap(keras.optimizers.AdamW(warm_up(keras, 1e-2, True)))
    fitted(model, adam, loss, x[:1200], y[:1200])
    return logloss(model, x[1200:], y[1200:])


def cnn_momentum(rng, wrap, keras):
    from keras import layers

    x, y = digits(rng)
    model = sequential(
        layers.Reshape((8, 8, 1)),
        layers.Conv2D(16, 3, activation="relu"),
        layers.BatchNormalization(),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(10),
        inputs=(64,),
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    sgd = wrap(keras.optimizers.SGD(0.02, momentum=0.9))
    fitted(model, sgd, loss, x[:1200], y[:1200])
    return logloss(model, x[1200:], y[1200:])


def ring(rng, rows):
    angle = rng.integers(0, 8, rows) * np.pi / 4
    points = np.stack([np.cos(angle), np.sin(angle)], 1)
    return (points + 0.05 * rng.normal(size=(rows, 2))).astype("float32")


def energy_distance(a, b):
    def apart(u, v):
        return float(np.linalg.norm(u[:, None] - v[None], axis=2).mean())

    return 2 * apart(a, b) - apart(a, a) - apart(b, b)


def gan(rng, wrap, keras, hinge=False):
    from keras import ops

    maker = dense(64, 64, out=2, inputs=(8,))
    critic = dense(64, 64, inputs=(2,), hidden="leaky_relu")
    adams = [wrap(keras.optimizers.Adam(1e-3, beta_1=0.5)) for _ in range(2)]

    def of_critic(real, noise):
        on_real, on_made = critic(real), critic(maker(noise))
        if hinge:
            return ops.mean(ops.relu(1 - on_real) + ops.relu(1 + on_made))
        return ops.mean(ops.softplus(-on_real) + ops.softplus(on_made))

    def of_maker(real, noise):
        scores = critic(maker(noise))
        return -ops.mean(scores) if hinge else ops.mean(ops.softplus(-scores))

    for _ in range(STEPS * 2):
        for model, adam, loss in (
            (critic, adams[0], of_critic),
            (maker, adams[1], of_maker),
        ):
            for other in (maker, critic):
                other.zero_grad()
            noise = rng.normal(size=(64, 8)).astype("float32")
            loss(ring(rng, 64), noise).backward()
            variables = model.trainable_variables
            adam.apply([v.value.grad for v in variables], variables)
    made = maker.predict_on_batch(rng.normal(size=(500, 8)).astype("float32"))
    return energy_distance(np.asarray(made), ring(rng, 500))


def gan_hinge(rng, wrap, keras):
    return gan(rng, wrap, keras, hinge=True)


def fine_tune(rng, wrap, keras, frozen=False):
    from keras import layers

    x, y = digits(rng)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    body = [layers.Dense(64, "relu"), layers.Dense(64, "relu")]
    low, high = y < 5, y >= 5
    first = sequential(*body, layers.Dense(5), inputs=(64,))
    fitted(first, keras.optimizers.Adam(3e-3), loss, x[low], y[low])
    for layer in body:
        layer.trainable = not frozen
    model = sequential(*body, layers.Dense(5), inputs=(64,))
    adam = wrap(keras.optimizers.Adam(1e-2 if frozen else 3e-4))
    x, y = x[high], y[high] - 5
    fitted(model, adam, loss, x[:600], y[:600])
    return logloss(model, x[600:], y[600:])


def fine_tune_head(rng, wrap, keras):
    return fine_tune(rng, wrap, keras, frozen=True)


def numbers(rng, rows=3000):
    x = rng.normal(size=(rows, 10)).astype("float32")
    return x, (x[:, 0] + x[:, 1] * x[:, 2]).astype("float32")


def batches_of_one(rng, wrap, keras):
    x, y = numbers(rng)
    model = dense(32)
    sgd = wrap(keras.optimizers.SGD(0.01))
    fitted(model, sgd, "mse", x[:600], y[:600], batch=1, steps=600)
    return logloss(model, x[2000:], y[2000:])


def heavy_tails(rng, wrap, keras):
    x, y = numbers(rng)
    noisy = (y + rng.standard_t(1.5, len(y))).astype("float32")
    model = dense(32, 32)
    adam = wrap(keras.optimizers.Adam(3e-3))
    fitted(model, adam, "huber", x[:2000], noisy[:2000])
    return logloss(model, x[2000:], y[2000:])


def counts(rng, wrap, keras):
    x, y = numbers(rng)
    y = rng.poisson(np.exp(np.clip(1.2 * y, -4, 4))).astype("float32")
    model = dense(32, 32, activation="exponential")
    adam = wrap(keras.optimizers.Adam(3e-3))
    fitted(model, adam, "poisson", x[:2000], y[:2000])
    return logloss(model, x[2000:], y[2000:])


def large_targets(rng, wrap, keras):
    x, y = numbers(rng)
    model = dense(32, 32)
    adam = wrap(keras.optimizers.Adam(1e-2))
    fitted(model, adam, "mse", x[:2000], 100 * y[:2000])
    return logloss(model, x[2000:], 100 * y[2000:])


def adding(rng, wrap, keras):
    from keras import layers

    values = rng.random((3000, 12)).astype("float32")
    marks = np.zeros_like(values)
    rows = np.arange(3000)
    marks[rows, rng.integers(0, 6, 3000)] = 1
    marks[rows, rng.integers(6, 12, 3000)] = 1
    x, y = np.stack([values, marks], -1), (values * marks).sum(-1)
    model = sequential(layers.LSTM(24), layers.Dense(1), inputs=(12, 2))
    adam = wrap(keras.optimizers.Adam(1e-2))
    fitted(model, adam, "mse", x[:2000], y[:2000])
    return logloss(model, x[2000:], y[2000:])


def gru_text(rng, wrap, keras):
    from keras import layers

    x, y = markov(rng, 2500, length=12)
    model = sequential(
        layers.Embedding(20, 16),
        layers.GRU(32, return_sequences=True),
        layers.Dense(20),
        inputs=(12,),
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    adam = wrap(keras.optimizers.Adam(1e-2))
    fitted(model, adam, loss, x[:2000], y[:2000])
    return logloss(model, x[2000:], y[2000:])


def autoencoder(rng, wrap, keras):
    from keras import layers

    x, _ = digits(rng)
    model = sequential(
        layers.Dropout(0.2),
        layers.Dense(64, "relu"),
        layers.Dense(8),
        layers.Dense(64, "relu"),
        layers.Dense(64, "sigmoid"),
        inputs=(64,),
    )
    adam = wrap(keras.optimizers.Adam(3e-3))
    fitted(model, adam, "binary_crossentropy", x[:1200], x[:1200])
    return logloss(model, x[1200:], x[1200:])


def two_losses(rng, wrap, keras):
    from keras import layers

    x, y = numbers(rng)
    label = (y > 0).astype("float32")
    inputs = keras.Input((10,))
    h = layers.Dense(64, "relu")(inputs)
    model = keras.Model(
        inputs, [layers.Dense(1)(h), layers.Dense(1, "sigmoid")(h)]
    )
    adam = wrap(keras.optimizers.Adam(3e-3))
    loss = ["mse", "binary_crossentropy"]
    fitted(model, adam, loss, x[:2000], [30 * y[:2000], label[:2000]])
    found = model.predict(x[2000:], batch_size=512, verbose=0)[1][:, 0]
    wrong = np.clip(np.abs(label[2000:] - found), 0, 1 - 1e-6)
    return float(-np.log(1 - wrong).mean())


TASKS = (
    rare_class_weighted,
    rare_class,
    rare_class_focal,
    long_tail,
    rare_labels,
    sparse_value,
    policy_gradient,
    q_learning,
    bag_of_words,
    factorization,
    skip_gram,
    transformer_warm_up,
    cosine_warm_up,
    cnn_momentum,
    gan,
    gan_hinge,
    fine_tune,
    fine_tune_head,
    batches_of_one,
    heavy_tails,
    counts,
    large_targets,
    adding,
    gru_text,
    autoencoder,
    two_losses,
)


def run(path, seeds, seconds):
    import keras

    import keras_gradguard as kgg

    arms = {"plain": lambda inner: inner, "AutoClip()": kgg.AutoClip}
    done = set()
    if path.exists():
        rows = map(json.loads, path.read_text().splitlines())
        done = {(row["task"], row["seed"]) for row in rows}
    started = time.perf_counter()
    with path.open("a") as file:
        for seed in range(seeds):
            for task in TASKS:
                if (task.__name__, seed) in done:
                    continue
                if time.perf_counter() - started > seconds:
                    return
                row = {"task": task.__name__, "seed": seed}
                for name, wrap in arms.items():
                    keras.utils.set_random_seed(seed)
                    rng = np.random.default_rng(seed)
                    row[name] = task(rng, wrap, keras)
                file.write(json.dumps(row) + "\n")
                file.flush()


def table(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    print("| training | seeds | plain | AutoClip() | noise |")
    print("|---|---|---|---|---|")
    for name in dict.fromkeys(row["task"] for row in rows):
        own = [row for row in rows if row["task"] == name]
        plain = np.array([row["plain"] for row in own])
        ours = np.array([row["AutoClip()"] for row in own])
        noise = plain.std(ddof=1) if len(own) > 1 else np.nan
        shown = f"{ours.mean():.4g}"
        if (ours == plain).all():
            shown = "the same"
        elif (ours - plain).mean() > noise:
            shown += ", worse"
        print(
            f"| {name.replace('_', ' ')} | {len(own)} | {plain.mean():.4g} | "
            f"{shown} | {noise:.2g} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("rows", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args()
    if options.what == "run":
        run(options.rows, options.seeds, options.seconds)
    else:
        table(options.rows)


if __name__ == "__main__":
    main()
