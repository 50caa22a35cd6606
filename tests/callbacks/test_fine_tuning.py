"""Models that were changed after they were built, and what `compile` weighs.

LoRA, int8 weights, rematerialized layers, several outputs, layers that are
frozen and let go between two fits: recorded, exact, and not a bit moves.
"""

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg
from tests import models
from tests import reference

ROWS, BATCH = 32, 8
IS_TF = keras.backend.backend() == "tensorflow"


def base():
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, "relu", name="a"),
            layers.Dense(16, "tanh", name="b"),
            layers.Dense(3, name="head"),
        ],
        name="net",
    )


def adapted():
    """LoRA of an embedding and of int8; other int8 stands still."""
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(20, 8, name="table"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(16, "relu", name="a"),
            layers.Dense(16, "tanh", name="b"),
            layers.Dense(16, name="c"),
            layers.Dense(3, name="head"),
        ],
        name="net",
    )
    for name in ("a", "b"):
        model.get_layer(name).quantize("int8")
    for name in ("table", "a", "c"):
        model.get_layer(name).enable_lora(2)
    return model


class Remat(layers.Layer):
    """Its own function runs again in the backward pass."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 8), name="kernel")

    def call(self, x):
        return keras.remat(lambda x: keras.ops.tanh(x @ self.kernel))(x)


def remat():
    """Keras's remat of a layer fails in a TensorFlow graph."""
    with keras.RematScope(mode=None if IS_TF else "full"):
        below = layers.Dense(8, "relu")
    return keras.Sequential(
        [keras.Input((8,)), below, Remat(), layers.Dense(3)]
    )


def several_outputs():
    inputs = keras.Input((8,))
    body = layers.Dense(16, "relu", name="body")(inputs)
    outputs = [layers.Dense(3, name=f"out_{i}")(body) for i in range(2)]
    return keras.Model(inputs, outputs, name="net")


CASES = {f.__name__: f for f in (adapted, remat, several_outputs)}


def data(kind):
    x, y = models.tokens(ROWS) if kind == "adapted" else models.dataset(ROWS)
    return x, [y, (y + 1) % 3] if kind == "several_outputs" else y


def compiled(kind, **arguments):
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(6)
    model = CASES[kind]()
    weights = {}
    if kind == "several_outputs":
        weights["loss_weights"] = [0.7, 0.2]
    losses = [models.crossentropy() for _ in model.outputs]
    model.compile(
        keras.optimizers.Adam(0.01),
        losses if len(losses) > 1 else losses[0],
        **weights,
        **arguments,
    )
    return model


def fit(model, kind, callbacks=(), epochs=2):
    history = model.fit(
        *data(kind),
        batch_size=BATCH,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )
    return history.history


def assert_same(plain, watched):
    for a, b in zip(plain.variables, watched.variables, strict=True):
        np.testing.assert_array_equal(*models.to_numpy([a, b]), err_msg=a.path)
    a, b = (m.optimizer.variables for m in (plain, watched))
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(*models.to_numpy([one, other]))


def assert_exact(trace, expected, model, first=0):
    """Compare with a tape's, from the step where both had equal weights."""
    paths = trace.variables.tolist()
    at = [paths.index(v.path) for v in model.trainable_variables]
    found = trace.get("grad_norm", by="variable")[:, at]
    np.testing.assert_allclose(
        found, expected["grad_norm"], rtol=1e-5, atol=1e-7
    )
    steps = np.flatnonzero(np.isin(trace.steps - first, (0, 1, 2)))
    weights = trace.get("weight_norm", by="variable")[:, at]
    np.testing.assert_allclose(
        weights[steps], expected["weight_norm"][steps], rtol=1e-5
    )


@pytest.mark.optimized
@pytest.mark.parametrize("kind", CASES)
def test_it_is_recorded_exactly_and_no_bit_moves(kind, recwarn):
    plain, watched, twin = (compiled(kind) for _ in range(3))
    monitor = kgg.GradientMonitor(verbose=0)
    callbacks = [monitor, kgg.DeadReLUDetector(verbose=0)]
    assert fit(plain, kind) == fit(watched, kind, callbacks)
    assert_same(plain, watched)
    trace = monitor.trace
    assert trace.steps.tolist() == list(range(2 * ROWS // BATCH))
    trained = {v.path for v in watched.trainable_variables}
    assert trained <= set(trace.variables.tolist())
    expected = reference.train(twin, *data(kind), BATCH, 2)
    assert_exact(trace, expected, watched)
    told = [w for w in recwarn if w.category is kgg.GradGuardWarning]
    assert not told


@pytest.mark.optimized
def test_layers_let_go_between_two_fits():
    """As one fine-tunes: head first, then all by another optimizer."""

    def tuned(callbacks, twin=False):
        keras.backend.clear_session(free_memory=False)
        keras.utils.set_random_seed(6)
        model, found = base(), []
        rules = keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.1)
        for free, rule in zip((False, True), rules, strict=True):
            for name in ("a", "b"):
                model.get_layer(name).trainable = free
            model.compile(rule, models.crossentropy())
            if twin:
                found.append(reference.train(model, *data("base"), BATCH))
            else:
                fit(model, "base", callbacks, epochs=1)
                found.append(callbacks[0].trace if callbacks else None)
        return model, found

    plain, _ = tuned([])
    monitor = kgg.GradientMonitor(verbose=0)
    watched, traces = tuned([monitor, kgg.DeadReLUDetector(verbose=0)])
    _, expected = tuned([], twin=True)
    assert_same(plain, watched)
    frozen, free = traces
    for trace in traces:
        assert trace.steps.tolist() == list(range(ROWS // BATCH))
    head = [v.path for v in watched.get_layer("head").trainable_variables]
    seen = frozen.variables[
        ~np.isnan(frozen.get("grad_norm", by="variable")[0])
    ]
    assert seen.tolist() == head
    np.testing.assert_allclose(
        frozen.get("grad_norm", by="variable")[:, -2:],
        expected[0]["grad_norm"],
        rtol=1e-5,
    )
    assert_exact(free, expected[1], watched)


def untrained(kind):
    """A base, and what it is trained on."""
    x, y = models.dataset(ROWS)
    if kind == "images":
        base = keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                layers.Conv2D(8, 3, activation="relu"),
                layers.BatchNormalization(),
                layers.GlobalAveragePooling2D(),
            ]
        )
        x = np.random.default_rng(0).normal(size=(ROWS, 8, 8, 3))
    else:
        base = keras.Sequential(
            [
                keras.Input((8,)),
                layers.Dense(64, "gelu"),
                layers.LayerNormalization(),
                layers.Dense(32, "tanh"),
            ]
        )
    return base, x, y


def pretrained(kind):
    """A base as a training leaves it, standing still below a new head."""
    base, x, y = untrained(kind)
    random = np.random.default_rng(6)
    # Averages and variances among them, which a training has moved.
    base.set_weights(
        [w + random.uniform(0.1, 0.5, w.shape) for w in base.get_weights()]
    )
    base.trainable = False
    inputs = keras.Input(base.input_shape[1:])
    outputs = base(inputs, training=False) if kind == "images" else base(inputs)
    outputs = layers.Dropout(0.2)(outputs)
    return keras.Model(inputs, layers.Dense(3)(outputs)), x, y


# Each base and each rule once, and on TensorFlow with XLA and without.
HEADS = (("images", "clipped", True), ("rows", "adam", False))


@pytest.mark.optimized
@pytest.mark.parametrize(("kind", "rule", "jit"), HEADS)
def test_a_head_on_a_frozen_base(kind, rule, jit):
    jit = jit if IS_TF else "auto"

    def tuned(callbacks):
        keras.backend.clear_session(free_memory=False)
        keras.utils.set_random_seed(6)
        model, x, y = pretrained(kind)
        optimizer = keras.optimizers.Adam(0.01)
        if rule == "clipped":
            optimizer = kgg.AutoClip(optimizer, percentile=100)
        model.compile(optimizer, models.crossentropy(), jit_compile=jit)
        history = model.fit(
            x, y, batch_size=BATCH, epochs=2, verbose=0, callbacks=callbacks
        )
        return history.history, model

    monitor = kgg.GradientMonitor(verbose=0)
    expected, plain = tuned([])
    shown, watched = tuned([monitor, kgg.DeadReLUDetector(verbose=0)])
    assert shown == expected
    assert_same(plain, watched)
    assert monitor.trace.steps.tolist() == list(range(2 * ROWS // BATCH))
    norms = monitor.trace.get("grad_norm")
    assert np.isfinite(norms[:, -1]).all()
    assert np.isnan(norms[:, :-1]).all()


@pytest.mark.optimized
@pytest.mark.parametrize("weight", [0.2, 0.7])
def test_a_weighted_loss_is_told_to_the_last_bit(weight, backend):
    """A TensorFlow graph folds its weight into what Keras does next."""
    if backend != "tensorflow":
        pytest.skip("several outputs show it elsewhere")

    def history(callbacks):
        keras.utils.set_random_seed(1)
        layer = layers.Dense(3, use_bias=False, kernel_initializer="ones")
        model = keras.Sequential([keras.Input((4,)), layer])
        model.compile(
            keras.optimizers.SGD(),
            "mse",
            metrics=["mse"],
            loss_weights=weight,
            jit_compile=False,
        )
        x, y = np.ones((40, 4), "float32"), np.zeros((40, 3), "float32")
        told = model.fit(
            *(x, y), batch_size=20, epochs=6, verbose=0, callbacks=callbacks
        )
        return told.history, model.get_weights()[0].tolist()

    assert history([]) == history([kgg.GradientMonitor(verbose=0)])
