"""`DeadReLUDetector` against a forward pass over the very batches."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg

BATCH = 32
IS_TORCH = keras.backend.backend() == "torch"
IS_TF = keras.backend.backend() == "tensorflow"
METHODS = ("activation", "gradient")


class Twin(keras.callbacks.Callback):
    """Runs each batch through the layers before the step, and counts."""

    def __init__(self, x, watched):
        super().__init__()
        self.x, self.watched = x, watched
        self.active = []

    def on_epoch_begin(self, epoch, logs=None):
        self.active.append({})

    def on_train_batch_begin(self, batch, logs=None):
        part = self.x[batch * BATCH : (batch + 1) * BATCH]
        for path, outputs in self.watched(self.model, part).items():
            outputs = np.asarray(outputs)
            outputs = outputs.reshape(len(outputs), -1, outputs.shape[-1])
            active = (outputs != 0).any(axis=1)
            self.active[-1].setdefault(path, []).append(active)

    @property
    def alive(self):
        return [
            {p: np.concatenate(a).any(axis=0) for p, a in epoch.items()}
            for epoch in self.active
        ]

    @property
    def share(self):
        latest = self.active[-1].items()
        return {p: np.concatenate(a).mean(axis=0) for p, a in latest}

    @property
    def dead(self):
        return {p: np.flatnonzero(~a) for p, a in self.alive[-1].items()}


def mlp_float64(model, x):
    """Outputs of the hidden ReLU layers of an MLP, in NumPy float64."""
    h, outputs = x.astype("float64"), {}
    for layer in model.layers:
        kernel, bias = (np.asarray(w, "float64") for w in layer.get_weights())
        h = h @ kernel + bias
        if layer.activation is keras.activations.relu:
            h = np.maximum(h, 0)
            outputs[layer.path] = h
    return outputs


def through(*names):
    """Outputs of named layers of a functional model in training mode."""

    def watched(model, x):
        tapped = [model.get_layer(name) for name in names]
        inner = keras.Model(model.inputs, [t.output for t in tapped])
        state = [v for v in model.non_trainable_variables]
        kept = [keras.ops.convert_to_numpy(v.value).copy() for v in state]
        given = inner(x, training=True)
        for variable, value in zip(state, kept, strict=True):
            variable.assign(value)
        given = given if isinstance(given, list) else [given]
        return {
            getattr(t, "path", None) or t.name: keras.ops.convert_to_numpy(g)
            for t, g in zip(tapped, given, strict=True)
        }

    return watched


def deep_mlp(width=6, depth=9, activation="relu", **arguments):
    model = keras.Sequential([keras.Input((5,))])
    for _ in range(depth):
        model.add(
            layers.Dense(
                width,
                activation=activation,
                kernel_initializer="he_uniform",
                **arguments,
            )
        )
    model.add(layers.Dense(1))
    return model


def fit(model, x, y, callbacks, epochs=2, **arguments):
    return model.fit(
        x,
        y,
        batch_size=BATCH,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
        **arguments,
    )


def data(seed, rows=3 * BATCH, features=5):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, features)).astype("float32")
    return x, random.normal(size=(rows, 1)).astype("float32")


def check(model, x, y, watched, compile_arguments=None, **arguments):
    """Compile, fit, and compare the detector with the twin."""
    model.compile(
        keras.optimizers.SGD(0.05), "mse", **(compile_arguments or {})
    )
    return compare(model, x, y, watched, **arguments)


def compare(model, x, y, watched, others=(), **arguments):
    """Compare the detector with the twin, unit for unit."""
    detector = kgg.DeadReLUDetector(verbose=0, **arguments)
    twin = Twin(x, watched)
    fit(model, x, y, [twin, *others, detector])
    assert set(detector.dead_units) == set(twin.dead)
    for path, dead in twin.dead.items():
        np.testing.assert_array_equal(detector.dead_units[path], dead, path)
        units = len(twin.alive[-1][path])
        if detector.method != "gradient":
            given, wanted = detector.share[path], twin.share[path]
            np.testing.assert_allclose(given, wanted, rtol=1e-6)
        assert detector.dead_fraction[path] == len(dead) / units
        for epoch, alive in enumerate(twin.alive):
            share = (~alive[path]).mean()
            assert detector.history[path][epoch] == pytest.approx(share)
    return detector


def test_ten_layer_mlp_over_several_seeds():
    model = deep_mlp()
    model.compile(keras.optimizers.SGD(0.05), "mse")
    dead = 0
    seeds = 6
    for seed in range(seeds):
        draw = keras.initializers.HeUniform(seed=seed)
        for layer in model.layers:
            layer.kernel.assign(draw(layer.kernel.shape))
            layer.bias.assign(np.zeros(layer.bias.shape))
            draw = keras.initializers.HeUniform(seed=draw.seed + 100)
        detector = compare(model, *data(seed), mlp_float64)
        assert len(detector.dead_units) == 9
        dead += sum(len(units) for units in detector.dead_units.values())
    assert dead > seeds  # there is something to find


def of_seeds(build, seeds=2):
    """One model, compiled once, with the weights of each seed in turn."""
    model = build()
    model.compile(keras.optimizers.SGD(0.05), "mse")
    for seed in range(seeds):
        keras.utils.set_random_seed(seed)
        model.set_weights(build().get_weights())
        yield seed, model


def test_regularized_and_frozen_layers():
    def build():
        model = deep_mlp(
            depth=4, kernel_regularizer="l2", bias_regularizer="l1"
        )
        model.layers[2].trainable = False
        return model

    for seed, model in of_seeds(build):
        compare(model, *data(seed), mlp_float64)


def test_blocked_path_is_not_dead():
    keras.utils.set_random_seed(1)
    model = deep_mlp(width=8, depth=4)
    model.layers[2].bias.assign(np.full(8, -1e3))
    x, y = data(1)
    by_gradient = kgg.DeadReLUDetector(method="gradient", verbose=0)
    detector = check(model, x, y, mlp_float64, others=[by_gradient])
    paths = [layer.path for layer in model.layers]
    assert detector.dead_fraction[paths[2]] == 1.0
    alive = np.flatnonzero(detector.share[paths[0]])
    assert len(alive)
    np.testing.assert_array_equal(detector.blocked[paths[0]], alive)
    assert by_gradient.dead_fraction[paths[2]] == 1.0
    np.testing.assert_array_equal(by_gradient.blocked[paths[0]], alive)
    np.testing.assert_array_equal(
        by_gradient.dead_units[paths[0]], detector.dead_units[paths[0]]
    )


def test_gradient_names_the_same_units():
    for seed, model in of_seeds(lambda: deep_mlp(width=12, depth=3)):
        detector = compare(model, *data(seed), mlp_float64, method="gradient")
        assert not detector.skipped


def test_gradient_says_where_it_cannot_tell():
    model = deep_mlp(width=4, depth=3)
    model.layers[0].trainable = False
    model.layers[1].kernel_regularizer = keras.regularizers.L2(0.1)
    model.layers[1].bias_regularizer = keras.regularizers.L2(0.1)
    model.layers[1].kernel.regularizer = keras.regularizers.L2(0.1)
    model.layers[1].bias.regularizer = keras.regularizers.L2(0.1)
    model.compile("sgd", "mse")
    detector = kgg.DeadReLUDetector(method="gradient", verbose=0)
    fit(model, *data(0), [detector])
    paths = [layer.path for layer in model.layers]
    assert detector.skipped == {
        paths[0]: "its weights are frozen",
        paths[1]: "a regularizer adds to its gradients",
    }
    assert list(detector.dead_units) == [paths[2]]


def cnn():
    inputs = keras.Input((8, 8, 2))
    h = layers.Conv2D(6, 3, use_bias=False, name="conv")(inputs)
    h = layers.BatchNormalization(name="norm")(h)
    h = layers.ReLU(name="first")(h)
    h = layers.SeparableConv2D(4, 3, activation="relu6", name="second")(h)
    h = layers.DepthwiseConv2D(3, name="depth", padding="same")(h)
    h = layers.Activation("relu", name="third")(h)
    h = layers.Flatten()(h)
    return keras.Model(inputs, layers.Dense(1)(h))


def test_convolutions_with_batch_normalization():
    for seed, model in of_seeds(cnn):
        random = np.random.default_rng(seed)
        x = random.normal(size=(3 * BATCH, 8, 8, 2)).astype("float32")
        model.get_layer("norm").beta.assign([0, -50, 0, 0, -50, 0])
        detector = compare(
            model, x, x[:, 0, 0, :1], through("first", "second", "third")
        )
        np.testing.assert_array_equal(detector.dead_units["first"], [1, 4])


def test_residual_shared_and_other_activations():
    keras.utils.set_random_seed(3)
    inputs = keras.Input((5,))
    shared = layers.Dense(5, activation="relu", name="shared")
    h = shared(inputs)
    h = layers.Dropout(0.5)(shared(h))
    h = layers.Add()([h, layers.Dense(5, activation="gelu")(inputs)])
    h = layers.ReLU(name="after_add")(h)
    h = layers.Dense(7, activation=lambda t: keras.ops.relu(t) ** 2)(h)
    h = layers.LeakyReLU()(h)
    outputs = layers.Dense(1, activation="tanh")(h)
    model = keras.Model(inputs, outputs)
    shared.bias.assign([0, -99, 0, -99, 0])
    model.compile("sgd", "mse")
    detector = kgg.DeadReLUDetector(verbose=0)
    fit(model, *data(3), [detector])
    squared = model.layers[-3].path
    assert set(detector.dead_units) == {"shared", "after_add", squared}
    np.testing.assert_array_equal(detector.dead_units["shared"], [1, 3])
    assert set(detector.trace.sites) > {"shared", "leaky_re_lu"}


@pytest.mark.parametrize("whole", [True, False])
def test_relu_rnn(whole):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 5))
    rnn = layers.SimpleRNN(
        7, activation="relu", return_sequences=whole, name="rnn"
    )
    h = rnn(inputs)
    h = layers.Flatten()(h)
    model = keras.Model(inputs, layers.Dense(1)(h))
    bias = np.zeros(7)
    bias[[2, 5]] = -100
    rnn.cell.bias.assign(bias)
    x = np.random.default_rng(0).normal(size=(96, 6, 5)).astype("float32")
    model.compile("sgd", "mse")
    detector = kgg.DeadReLUDetector(verbose=0)
    fit(model, x, x[:, 0, :1], [detector])
    np.testing.assert_array_equal(detector.dead_units["rnn"], [2, 5])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.block = keras.Sequential(
            [layers.Dense(6, name="inner"), layers.ReLU(name="act")]
        )
        self.hidden = layers.Dense(8, activation="relu", name="hidden")
        self.head = layers.Dense(1)

    def call(self, x):
        return self.head(self.hidden(self.block(x)))


def test_subclassed_model_and_threshold():
    keras.utils.set_random_seed(0)
    model = Subclassed()
    x, y = data(0)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model(x[:2])
    bias = np.zeros(8)
    bias[3] = -100
    model.hidden.bias.assign(bias)
    detector = kgg.DeadReLUDetector(verbose=0, threshold=0.0)
    fit(model, x, y, [detector])
    path = model.hidden.path
    hidden = np.asarray(model.hidden.bias) < -50
    assert set(np.flatnonzero(hidden)) <= set(detector.dead_units[path])
    assert detector.dead_units["act"] is not None
    share = detector.share[path]
    rare = float(np.sort(share)[len(detector.dead_units[path])])
    again = kgg.DeadReLUDetector(verbose=0, threshold=rare + 1e-6)
    fit(model, x, y, [again], epochs=1)
    more = set(again.dead_units[path]) - set(detector.dead_units[path])
    assert more == {int(np.flatnonzero(np.isclose(share, rare))[0])}


def test_share_counts_samples_also_of_the_last_smaller_batch():
    keras.utils.set_random_seed(0)
    model = deep_mlp(width=5, depth=1)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x, y = data(0, rows=BATCH + 7)
    detector = kgg.DeadReLUDetector(verbose=0)
    fit(model, x, y, [detector], epochs=1)
    (outputs,) = mlp_float64(model, x).values()
    (share,) = detector.share.values()
    np.testing.assert_allclose(share, (outputs > 0).mean(axis=0), rtol=1e-6)


def test_share_where_a_smaller_batch_is_laid_out_otherwise():
    # 200 x 100 outputs are looked at by themselves, 40 x 100 with others.
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(7, activation="relu", name="narrow"),
            layers.Dense(100, activation="relu", name="wide"),
            layers.Dense(5, activation="relu", name="last"),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x, y = data(0, rows=240, features=4)
    detector = kgg.DeadReLUDetector(verbose=0)
    model.fit(x, y, batch_size=200, verbose=0, callbacks=[detector])
    for path, outputs in mlp_float64(model, x).items():
        expected = (outputs > 0).mean(axis=0)
        np.testing.assert_allclose(detector.share[path], expected, rtol=1e-6)


class OneActivation(keras.Model):
    """Calls one ReLU behind layers of different widths."""

    def __init__(self):
        super().__init__()
        self.wide, self.narrow = layers.Dense(8), layers.Dense(5)
        self.act = layers.ReLU(name="act")
        self.head = layers.Dense(1)

    def call(self, x):
        return self.head(self.act(self.narrow(self.act(self.wide(x)))))


def test_one_activation_layer_behind_layers_of_different_widths():
    keras.utils.set_random_seed(0)
    model = OneActivation()
    x, y = data(0, rows=2 * BATCH + 5)
    model(x[:2])
    model.wide.bias.assign([-1e3, *[0] * 7])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    detector = kgg.DeadReLUDetector(verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", kgg.GradGuardWarning)
        fit(model, x, y, [detector], epochs=1)
    h, wanted = x.astype("float64"), []
    for layer in (model.wide, model.narrow):
        kernel, bias = (np.asarray(w, "float64") for w in layer.get_weights())
        h = np.maximum(h @ kernel + bias, 0)
        wanted += list((h > 0).mean(axis=0))
    (share,), (dead,) = detector.share.values(), detector.dead_units.values()
    np.testing.assert_allclose(share, wanted, rtol=1e-6)
    np.testing.assert_array_equal(dead, np.flatnonzero(np.equal(wanted, 0)))
    assert 0 in dead


class Interrupts(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            raise RuntimeError("enough")


def both_methods():
    return [kgg.DeadReLUDetector(m, verbose=0) for m in METHODS]


def test_what_a_fit_counted_that_broke_off_is_not_told_of_the_next():
    keras.utils.set_random_seed(0)
    model = deep_mlp(width=5, depth=1)
    x, y = data(0)
    model.layers[0].bias.assign([0, 0, -1e3, 0, 0])
    bright = x.copy()
    bright[:2] = 1e6 * np.sign(model.layers[0].kernel.numpy()[:, 2])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    with pytest.raises(RuntimeError, match="enough"):
        fit(model, bright, y, [*both_methods(), Interrupts()], epochs=1)
    detectors = both_methods()
    fit(model, x, y, detectors, epochs=1)
    for detector in detectors:
        (units,) = detector.dead_units.values()
        (share,) = detector.share.values()
        assert list(units) == [2]
        assert share[2] == 0


class Float64(layers.Layer):
    """Gives the same three outputs for every sample."""

    def __init__(self, values):
        super().__init__(dtype="float64")
        self.values = values

    def call(self, inputs):
        values = keras.ops.convert_to_tensor(self.values, "float64")
        return keras.ops.broadcast_to(values, keras.ops.shape(inputs))


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="has no float64")
def test_outputs_that_float32_would_call_zero():
    # A layer of ReLU alone keeps float64. After 3.15 Keras on torch computes
    # a float64 Dense in float32, watched or not: its outputs tell.
    bias = np.array([1.0, 1e-60, -1.0])
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="float64"),
            layers.Dense(3, "relu", dtype="float64"),
            Float64(bias),
            layers.ReLU(dtype="float64"),
            layers.Dense(2, "relu", dtype="float32"),
            layers.Dense(1),
        ]
    )
    dense, _, relu = model.layers[:3]
    dense.set_weights([np.zeros((4, 3)), bias])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    detector = kgg.DeadReLUDetector(verbose=0)
    x, y = data(0, features=4)
    outputs = keras.ops.convert_to_numpy(dense(keras.ops.convert_to_tensor(x)))
    fit(model, x, y, [detector], epochs=1)
    np.testing.assert_array_equal(detector.share[relu.name], [1, 1, 0])
    np.testing.assert_array_equal(
        detector.share[dense.path], np.mean(outputs > 0, axis=0)
    )
    if outputs.dtype == np.float64:
        np.testing.assert_array_equal(detector.share[dense.path], [1, 1, 0])


def test_layers_of_several_ranks_and_dtypes_side_by_side():
    random = np.random.default_rng(0)
    image = keras.Input((6, 6, 2))
    h = layers.Conv2D(5, 3, activation="relu", name="first")(image)
    h = layers.Conv2D(7, 2, name="second", dtype="bfloat16")(h)
    h = layers.ReLU(max_value=0.1, name="third")(h)
    h = layers.Dense(4, activation="relu", name="fourth", dtype="float16")(h)
    h = layers.GlobalAveragePooling2D()(h)
    h = layers.Dense(6, activation="relu", name="fifth")(h)
    model = keras.Model(image, layers.Dense(1)(h))
    x = random.normal(size=(2 * BATCH + 3, 6, 6, 2)).astype("float32")
    y = random.normal(size=(len(x), 1)).astype("float32")
    names = "first", "third", "fourth", "fifth"
    check(model, x, y, through(*names))


class Folded(keras.Model):
    """Treats the steps of a sequence as samples, and then no more."""

    def __init__(self):
        super().__init__()
        self.of_steps = layers.Dense(8, activation="relu")
        self.of_samples = layers.Dense(6, activation="relu")
        self.top = layers.Dense(1)

    def call(self, inputs):
        steps = self.of_steps(keras.ops.reshape(inputs, (-1, 4)))
        return self.top(self.of_samples(keras.ops.reshape(steps, (-1, 40))))


def test_layers_that_see_other_numbers_of_samples():
    random = np.random.default_rng(0)
    x = random.normal(size=(BATCH * 2 + 5, 5, 4)).astype("float32")
    model = Folded()
    model.compile(keras.optimizers.SGD(0.0), "mse")
    detector = kgg.DeadReLUDetector(verbose=0)
    monitor = kgg.GradientMonitor(verbose=0)
    fit(model, x, np.ones((len(x), 1)), [detector, monitor])
    h, wanted = x.astype("float64").reshape(-1, 4), []
    for layer, width in ((model.of_steps, 40), (model.of_samples, 1)):
        kernel, bias = (np.asarray(w, "float64") for w in layer.get_weights())
        h = np.maximum(h @ kernel + bias, 0)
        wanted.append((h > 0).mean(axis=0))
        h = h.reshape(-1, width)
    given = list(detector.share.values())
    assert [share.shape for share in given] == [(8,), (6,)]
    for share, expected in zip(given, wanted, strict=True):
        np.testing.assert_allclose(share, expected, rtol=1e-6)


@pytest.mark.once
def test_patience_and_rare_units():
    keras.utils.set_random_seed(0)
    model = deep_mlp(width=4, depth=1)
    model.layers[0].bias.assign([0, -100, 0, 0])
    x, y = data(0)
    x[0] = 1e3 * np.sign(model.layers[0].kernel.numpy()[:, 1])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    detector = kgg.DeadReLUDetector(verbose=0, patience=2)
    fit(model, x, y, [detector])
    assert not len(detector.dead_units[model.layers[0].path])  # merely rare
    model.layers[0].bias.assign([0, -1e9, 0, 0])
    detector = kgg.DeadReLUDetector(verbose=0, patience=3)
    fit(model, x, y, [detector])
    assert not len(detector.dead_units[model.layers[0].path])
    detector = kgg.DeadReLUDetector(verbose=0, patience=2)
    fit(model, x, y, [detector])
    np.testing.assert_array_equal(
        detector.dead_units[model.layers[0].path], [1]
    )


def test_dormant_units_of_any_activation():
    keras.utils.set_random_seed(0)
    model = deep_mlp(width=4, depth=1, activation="elu")
    kernel = model.layers[0].kernel.numpy()
    kernel[:, 2] = 1e-6
    model.layers[0].kernel.assign(kernel)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    detector = kgg.DeadReLUDetector(verbose=0, dormant_threshold=0.025)
    fit(model, *data(0), [detector])
    assert not detector.dead_units
    path = model.layers[0].path
    np.testing.assert_array_equal(detector.dormant[path], [2])


@pytest.mark.skipif(IS_TORCH, reason="torch takes one step per execution")
def test_several_steps_per_execution():
    keras.utils.set_random_seed(2)
    model = deep_mlp(width=12, depth=2)
    x, y = data(2, rows=6 * BATCH)
    model.compile(keras.optimizers.SGD(0.0), "mse", steps_per_execution=3)
    detectors = both_methods()
    fit(model, x, y, detectors)
    for path, values in mlp_float64(model, x).items():
        share = (values > 0).mean(axis=0)
        dead = np.flatnonzero(share == 0)
        for detector in detectors:
            np.testing.assert_array_equal(detector.dead_units[path], dead)
        given = detectors[0].share[path]
        np.testing.assert_allclose(given, share, rtol=1e-6)


@pytest.mark.skipif(not IS_TF, reason="XLA is optional on TensorFlow only")
def test_xla():
    keras.utils.set_random_seed(4)
    check(deep_mlp(depth=3), *data(4), mlp_float64, {"jit_compile": True})


def test_run_eagerly():
    keras.utils.set_random_seed(4)
    # One layer: on JAX each operation of each shape is compiled.
    check(deep_mlp(depth=1), *data(4), mlp_float64, {"run_eagerly": True})


def test_accumulated_gradients():
    keras.utils.set_random_seed(5)
    model = deep_mlp(width=12, depth=2)
    optimizer = keras.optimizers.SGD(0.0, gradient_accumulation_steps=2)
    model.compile(optimizer, "mse")
    x, y = data(5, rows=4 * BATCH)
    detectors = both_methods()
    fit(model, x, y, detectors)
    for path, values in mlp_float64(model, x).items():
        dead = np.flatnonzero((values == 0).all(axis=0))
        for detector in detectors:
            np.testing.assert_array_equal(detector.dead_units[path], dead)


class Batches(keras.utils.PyDataset):
    """Batches by their number."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x) // BATCH

    def __getitem__(self, at):
        part = slice(at * BATCH, (at + 1) * BATCH)
        return self.x[part], self.y[part]


def sources(x, y):
    def generator():
        while True:
            for start in range(0, len(x), BATCH):
                yield x[start : start + BATCH], y[start : start + BATCH]

    yield generator(), len(x) // BATCH
    yield Batches(x, y), None
    if IS_TF:
        import tensorflow as tf

        yield tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH), None


def test_generators_and_data_sets():
    x, y = data(3)
    keras.utils.set_random_seed(3)
    model = deep_mlp(depth=2)
    model.layers[1].bias.assign([0, -1e3, 0, 0, 0, 0])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    start = model.get_weights()

    def detect(source, **arguments):
        model.set_weights(start)
        detectors = both_methods()
        model.fit(source, verbose=0, callbacks=detectors, **arguments)
        return [
            [units.tolist() for units in detector.dead_units.values()]
            for detector in detectors
        ]

    expected = detect(x, y=y, batch_size=BATCH, shuffle=False)
    for units in expected:
        assert sum(map(len, units))
    for source, steps in sources(x, y):
        assert detect(source, steps_per_epoch=steps, shuffle=False) == expected


def test_mixed_precision():
    keras.utils.set_random_seed(6)
    model = deep_mlp(width=8, depth=2, dtype="mixed_float16")
    model.layers[0].bias.assign([0, -100, 0, 0, 0, 0, 0, 0])
    model.compile("sgd", "mse")
    detector, by_gradient = both_methods()
    fit(model, *data(6), [detector, by_gradient])
    assert 1 in detector.dead_units[model.layers[0].path]
    assert set(by_gradient.skipped.values()) == {
        "gradients in float16 underflow to zero"
    }


def weights_after(callbacks, build):
    keras.utils.set_random_seed(7)
    model = build()
    random = np.random.default_rng(7)
    x = random.normal(size=(3 * BATCH, *model.input_shape[1:]))
    x = x.astype("float32")
    y = x.reshape(len(x), -1)[:, :1]
    model.compile(keras.optimizers.Adam(0.01), "mse")
    history = fit(model, x, y, callbacks)
    state = [*model.variables, *model.optimizer.variables]
    state = [np.array(keras.ops.convert_to_numpy(v.value)) for v in state]
    return state, history.history, model


@pytest.mark.optimized
@pytest.mark.parametrize(
    ("build", "method"),
    [(cnn, "activation"), (lambda: deep_mlp(depth=3), "gradient")],
    ids=METHODS,
)
def test_watching_changes_nothing(build, method):
    plain, history, _ = weights_after([], build)
    detector = kgg.DeadReLUDetector(method=method, verbose=0)
    watched, watched_history, model = weights_after([detector], build)
    assert history == watched_history
    assert len(plain) == len(watched)
    for a, b in zip(plain, watched, strict=True):
        np.testing.assert_array_equal(a, b)
    for layer in model.layers:
        assert "call" not in layer.__dict__
        assert getattr(layer, "activation", None) in (
            None,
            keras.activations.relu,
            keras.activations.relu6,
            keras.activations.linear,
        )


def test_nothing_stays_behind_after_an_exception():
    class Boom(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model = deep_mlp(depth=2)
    model.compile("sgd", "mse")
    x, y = data(0)
    with pytest.raises(KeyboardInterrupt):
        fit(model, x, y, [kgg.DeadReLUDetector(verbose=0), Boom()])
    for layer in model.layers:
        assert "call" not in layer.__dict__
    assert "compute_loss" not in model.__dict__
    assert "apply" not in model.optimizer.__dict__
    detector = kgg.DeadReLUDetector(verbose=0)
    fit(model, x, y, [detector])
    assert len(detector.dead_units) == 2


def test_beside_a_monitor():
    keras.utils.set_random_seed(0)
    model = deep_mlp(width=8, depth=3)
    model.layers[1].bias.assign(np.full(8, -1e3))
    model.compile("sgd", "mse")
    monitor = kgg.GradientMonitor(verbose=0)
    detector = kgg.DeadReLUDetector(verbose=0)
    x, y = data(0, rows=40 * BATCH)
    fit(model, x, y, [monitor, detector], epochs=3)
    assert detector.dead_fraction[model.layers[1].path] == 1.0
    assert len(monitor.trace.steps) == 120
    at = list(monitor.trace.sites).index(model.layers[1].path)
    assert monitor.trace.activation("dead_fraction")[-1, at] == 1.0


def test_revive_and_what_it_cannot_do():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    h = layers.Conv2D(4, 3, name="conv")(inputs)
    h = layers.BatchNormalization(name="norm")(h)
    h = layers.ReLU(name="act")(h)
    h = layers.MaxPooling2D()(h)
    h = layers.Flatten()(h)
    h = layers.Dense(6, activation="relu", name="hidden")(h)
    a = layers.Dense(6, activation="relu", name="branch")(h)
    h = layers.Add()([h, a])
    model = keras.Model(inputs, layers.Dense(1, name="head")(h))
    model.get_layer("norm").beta.assign([0, 0, -60, 0])
    bias = np.zeros(6)
    bias[1] = -1e3
    model.get_layer("branch").bias.assign(bias)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    x = np.random.default_rng(0).normal(size=(96, 8, 8, 1)).astype("float32")
    before = model.get_layer("conv").kernel.numpy()[..., 2]
    detector = kgg.DeadReLUDetector(verbose=0, revive=True, seed=1)
    fit(model, x, x[:, 0, 0], [detector], epochs=1)
    assert detector.revived == [
        {
            "act": 1,
            "branch": "its output goes into a Add, from which it cannot be "
            "taken out",
        }
    ]
    kernel = model.get_layer("conv").kernel.numpy()
    assert np.abs(kernel[..., 2] - before).max() > 1e-3
    assert model.get_layer("norm").beta.numpy()[2] == 0
    outgoing = model.get_layer("hidden").kernel.numpy()
    rows = np.arange(len(outgoing)) % 4 == 2
    assert (outgoing[rows] == 0).all()
    assert (outgoing[~rows] != 0).any()
    fit(model, x, x[:, 0, 0], [again := kgg.DeadReLUDetector(verbose=0)], 1)
    assert not len(again.dead_units["act"])


def test_revive_is_deterministic_and_resets_moments():
    def run():
        keras.utils.set_random_seed(3)
        model = deep_mlp(width=6, depth=2)
        bias = np.zeros(6)
        bias[4] = -1e3
        model.layers[0].bias.assign(bias)
        model.compile(keras.optimizers.Adam(0.01), "mse")
        x, y = data(3)
        detector = kgg.DeadReLUDetector(verbose=0, revive=True)
        fit(model, x, y, [detector], epochs=2)
        return model, detector

    first, detector = run()
    second, _ = run()
    for a, b in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(a.value),
            keras.ops.convert_to_numpy(b.value),
        )
    assert detector.revived[0][first.layers[0].path] >= 1


@pytest.mark.once
def test_summary_plot_and_bad_arguments(capsys):
    keras.utils.set_random_seed(0)
    model = deep_mlp(width=8, depth=3)
    model.layers[1].bias.assign([0, -1e3, 0, 0, 0, 0, 0, -1e3])
    model.compile("sgd", "mse")
    detector = kgg.DeadReLUDetector()
    fit(model, *data(0), [detector])
    out = capsys.readouterr().out
    assert model.layers[1].path in out
    assert out.strip().startswith("GradGuard: ")
    assert "were never active" in out
    # A line on all, and one on the layer that stands out.
    assert len(out.strip().splitlines()) == 2
    assert max(map(len, out.splitlines())) <= 80
    assert model.layers[1].path in detector.summary()
    assert len(detector.plot().axes) == 2
    for bad in ({"method": "x"}, {"threshold": 2}, {"patience": 0}):
        with pytest.raises(ValueError, match="DeadReLUDetector"):
            kgg.DeadReLUDetector(**bad)
    with pytest.raises(TypeError, match="revive"):
        kgg.DeadReLUDetector(revive="yes")


def test_a_wholly_dead_layer_is_told_early_and_written(tmp_path, capsys):
    keras.utils.set_random_seed(0)
    model = deep_mlp(width=8, depth=3)
    model.layers[1].bias.assign(np.full(8, -1e3))
    model.compile("sgd", "mse")
    x, y = data(0, rows=30 * BATCH)
    detector = kgg.DeadReLUDetector(log_dir=tmp_path)
    fit(model, x, y, [detector], epochs=1)
    finding = detector.findings[0]
    assert finding.rule == "dead_relu"
    assert finding.severity == "critical"
    assert finding.layers[0] == model.layers[1].path
    assert finding.first_step == 0
    out = capsys.readouterr().out
    assert f"dead_relu  {model.layers[1].path}" in out
    assert ", since step 0" in out
    assert "wholly dead" in out
    assert not detector.report().healthy
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    tag = f"dead_share/{model.layers[1].path}"
    assert events.Scalars(tag)[-1].value == 1.0


@pytest.mark.once
def test_a_plot_of_many_layers_shows_all_of_them_and_each_dead_unit():
    pytest.importorskip("matplotlib")
    keras.utils.set_random_seed(0)
    heights = []
    for depth in (31, 60):
        model = deep_mlp(width=3, depth=depth)
        model.layers[4].bias.assign([0, -1e3, 0])
        model.compile(keras.optimizers.SGD(0.0), "mse")
        detector = kgg.DeadReLUDetector(verbose=0)
        fit(model, *data(0), [detector], epochs=1)
        figure = detector.plot()
        heights.append(figure.get_size_inches()[1])
        assert figure._repr_png_().startswith(b"\x89PNG")
        (image,) = figure.axes[0].images
        shown = np.asarray(image.get_array())
        assert shown.shape == (depth, 3)
        assert shown[4, 1] < 0
        for row, path in zip(shown, detector.share, strict=True):
            dead = detector.dead_units[path]
            np.testing.assert_array_equal(np.flatnonzero(row < 0), dead)
            left = np.delete(np.arange(3), dead)
            np.testing.assert_allclose(row[left], detector.share[path][left])
    assert heights[0] == heights[1]


@pytest.mark.once
def test_a_healthy_net_is_told_nothing(capsys):
    keras.utils.set_random_seed(0)
    model = deep_mlp(width=16, depth=2)
    model.compile("adam", "mse")
    x, _ = data(0, rows=30 * BATCH)
    detector = kgg.DeadReLUDetector(verbose=0)
    fit(model, x, np.tanh(x[:, :1]), [detector], epochs=5)
    assert detector.findings == []
    assert capsys.readouterr().out == ""


@pytest.mark.once
def test_layers_that_cannot_be_seen_are_named():
    inputs = keras.Input((3, 5))
    inner = layers.Dense(4, activation="relu", name="inner")
    deeper = keras.Sequential([keras.Input((5,)), inner], name="deeper")
    h = layers.TimeDistributed(deeper)(inputs)
    h = layers.Dense(3, activation="relu", name="seen")(h)
    model = keras.Model(inputs, layers.Dense(1)(h))
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(64, 3, 5)).astype("float32")
    detector = kgg.DeadReLUDetector(verbose=0)
    fit(model, x, x[..., :1], [detector])
    assert list(detector.dead_units) == ["seen"]
    (reason,) = detector.skipped.values()
    assert reason == "it runs inside of a TimeDistributed"
    assert reason in detector.summary()


@pytest.mark.once
def test_a_layer_at_each_step_is_judged_over_all_of_them():
    inputs = keras.Input((3, 5))
    low = keras.initializers.Constant(-50.0)
    inner = layers.Dense(4, "relu", bias_initializer=low)
    h = layers.TimeDistributed(inner, name="each")(inputs)
    model = keras.Model(inputs, layers.Dense(1)(layers.GRU(3)(h)))
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(64, 3, 5)).astype("float32")
    detector = kgg.DeadReLUDetector(verbose=0)
    fit(model, x, x[:, 0, :1], [detector], epochs=3)
    assert detector.skipped == {}
    assert len(detector.dead_units["each"]) == 4
    (finding,) = detector.findings
    namespace = {"model": model, "x": x, "y": x[:, 0, :1]}
    exec(finding.remedies[0].code, namespace)
    again = kgg.DeadReLUDetector(verbose=0)
    fit(namespace["model"], x, x[:, 0, :1], [again], epochs=1)
    assert len(again.dead_units["each"]) < 4


def test_a_layer_called_twice_is_active_in_either_call():
    hidden = keras.layers.Dense(6, "relu", name="hidden")
    first, second = keras.Input((3,)), keras.Input((3,))
    outputs = keras.layers.Dense(1)(hidden(first) + hidden(second))
    model = keras.Model([first, second], outputs)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 40, 3)).astype("float32")
    detector = kgg.DeadReLUDetector(verbose=0)
    model.fit(
        [a, b],
        np.zeros((40, 1)),
        batch_size=16,  # the last batch has eight
        verbose=0,
        callbacks=[detector],
    )
    kernel = hidden.get_weights()[0].astype("float64")
    active = (a @ kernel > 0) | (b @ kernel > 0)
    np.testing.assert_allclose(
        detector.share["hidden"], active.mean(0), rtol=1e-6
    )
