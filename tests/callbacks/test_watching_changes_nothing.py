"""Bit for bit the same run, with and without the callback."""

import keras
import numpy as np
import pytest

from keras_gradguard import GradientMonitor
from tests import models


def small_cnn():
    """One convolution: XLA's time is dear."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(6, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )


def normalized():
    return keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(6, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(3),
        ]
    )


def products():
    """A scale, a layer used twice, and penalties."""
    shared = keras.layers.Dense(8, kernel_regularizer="l2")
    inputs = keras.Input((8,))
    x = keras.layers.BatchNormalization()(shared(inputs))
    x = keras.layers.LayerNormalization()(shared(keras.ops.relu(x)))
    return keras.Model(inputs, keras.layers.Dense(3)(x))


CASES = {
    "mlp, sgd": (models.mlp, models.dataset, lambda: keras.optimizers.SGD(0.1)),
    "cnn, adam": (small_cnn, models.images, lambda: keras.optimizers.Adam()),
    "mlp, global_clipnorm": (
        normalized,
        models.dataset,
        lambda: keras.optimizers.Adam(0.01, global_clipnorm=0.5),
    ),
    "embedding, adamw and clipnorm": (
        models.embedding,
        models.tokens,
        lambda: keras.optimizers.AdamW(0.01, clipnorm=0.1),
    ),
    "mlp, accumulation and ema": (
        models.mlp,
        models.dataset,
        lambda: keras.optimizers.Adam(
            0.01, gradient_accumulation_steps=2, use_ema=True
        ),
    ),
    # Of a gradient that is a product TensorFlow may make one with the rate.
    "products, momentum": (
        products,
        models.dataset,
        lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    ),
    "nested, lion and clipvalue": (
        models.nested_and_shared,
        models.dataset,
        lambda: keras.optimizers.Lion(0.01, clipvalue=0.01),
    ),
}


# What XLA on TensorFlow compiles in another way than it does the others.
BY_XLA = ("mlp, sgd", "cnn, adam", "embedding, adamw and clipnorm")


def compiled_cases():
    if keras.backend.backend() != "tensorflow":
        return [(case, "auto") for case in CASES]
    graphs = [(case, False) for case in CASES]
    return [*graphs, *((case, True) for case in BY_XLA)]


def run(case, jit_compile, callbacks):
    make, data, optimizer = CASES[case]
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(7)
    model = make()
    model.compile(
        optimizer(),
        models.crossentropy(),
        metrics=["accuracy"],
        jit_compile=jit_compile,
    )
    x, y = data()
    # A last batch that is smaller is compiled once more: one case has one.
    size = 10 if make is models.embedding else 16
    validates = case == "mlp, sgd" and jit_compile is not True
    history = model.fit(
        x,
        y,
        batch_size=size,
        epochs=2,
        verbose=0,
        # To compile that as well is dear, and shows no more of others.
        validation_split=0.25 if validates else 0,
        callbacks=callbacks,
    )
    state = {
        "weights": models.to_numpy(model.variables),
        "optimizer": models.to_numpy(model.optimizer.variables),
        "random": [np.random.random(3)],  # noqa: NPY002 what Keras seeds
        "seed": models.to_numpy([keras.random.SeedGenerator().state]),
    }
    return state, history.history, model


@pytest.mark.optimized
@pytest.mark.parametrize(("case", "jit_compile"), compiled_cases())
def test_weights_state_history_and_randomness_are_the_same(
    case, jit_compile, tmp_path, capfd
):
    plain = run(case, jit_compile, [])
    capfd.readouterr()
    # The first epoch has histograms, the second none.
    monitor = GradientMonitor(tmp_path, verbose=0, histogram_freq=2)
    watched = run(case, jit_compile, [monitor])
    printed = capfd.readouterr()
    assert printed.out == ""
    assert jit_compile is True or printed.err == ""
    assert_the_same(plain, watched, monitor)


def assert_the_same(unwatched, run_and_model, monitor):
    plain, plain_history, _ = unwatched
    watched, history, model = run_and_model
    taken = int(model.optimizer.iterations)
    assert monitor.trace.steps.tolist() == list(range(taken))
    assert np.isfinite(monitor.trace.get("update_ratio")).any()
    assert history == plain_history
    for name, arrays in plain.items():
        assert len(arrays) == len(watched[name])
        for a, b in zip(arrays, watched[name], strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_progress_bar_lines_are_the_same(capsys):
    def lines(callbacks):
        keras.utils.set_random_seed(0)
        model = models.mlp()
        model.compile("sgd", models.crossentropy())
        x, y = models.dataset()
        model.fit(x, y, epochs=2, verbose=2, callbacks=callbacks)
        text = capsys.readouterr().out
        return [line.split("loss:")[-1] for line in text.splitlines()]

    assert lines([]) == lines([GradientMonitor(verbose=0)])


SMOOTH = [("silu", "float32")]
if keras.backend.backend() == "tensorflow":
    SMOOTH += [("silu", "bfloat16"), ("gelu", "float32")]


@pytest.mark.optimized
@pytest.mark.parametrize(("activation", "policy"), SMOOTH)
def test_two_outputs_behind_a_smooth_activation(activation, policy, tmp_path):
    # Looked at inside of TensorFlow's graph, the step was fused otherwise.
    def weights(callbacks):
        keras.utils.set_random_seed(3)
        keras.config.set_dtype_policy(policy)
        try:
            dense = keras.layers.Dense
            inputs = keras.Input((5,))
            x = dense(8, activation)(inputs)
            first = dense(3, "softmax", name="first")(x)
            second = dense(3, "softmax", name="second")(dense(4, activation)(x))
            model = keras.Model(inputs, {"first": first, "second": second})
        finally:
            keras.config.set_dtype_policy("float32")
        model.compile(
            "sgd",
            dict.fromkeys(
                ("first", "second"), "sparse_categorical_crossentropy"
            ),
        )
        random = np.random.default_rng(0)
        x = random.normal(size=(48, 5)).astype("float32")
        y = {name: random.integers(0, 3, 48) for name in ("first", "second")}
        model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=callbacks)
        return models.to_numpy(model.variables)

    plain = weights([])
    # The first epoch has histograms, the second none.
    monitor = GradientMonitor(tmp_path, verbose=0, histogram_freq=2)
    for a, b in zip(plain, weights([monitor]), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.optimized
@pytest.mark.parametrize("batches", [1, 4])
def test_data_that_end_where_a_step_would_be_measured(backend, batches):
    # Keras finds the end by a step without a batch, which counts all the same.
    if backend != "tensorflow":
        pytest.skip("tf.data is TensorFlow's")
    import tensorflow as tf

    def weights(callbacks):
        keras.utils.set_random_seed(1)
        layers = [
            keras.layers.Dense(8, "silu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1),
        ]
        model = keras.Sequential([keras.Input((4,)), *layers])
        model.compile("adam", "mse", jit_compile=False)
        x = np.random.default_rng(0).normal(size=(batches, 7, 4))
        data = tf.data.Dataset.from_generator(
            lambda: ((rows, rows[:, :1]) for rows in x.astype("float32")),
            output_signature=(
                tf.TensorSpec((None, 4)),
                tf.TensorSpec((None, 1)),
            ),
        )
        history = model.fit(data, epochs=3, verbose=0, callbacks=callbacks)
        return model.variables, model.optimizer.variables, history.history

    plain = weights([])
    monitor = GradientMonitor(verbose=0)
    watched = weights([monitor])
    assert monitor.trace.records_seen == 3 * batches
    assert watched[2] == plain[2]
    for before, after in zip(plain[:2], watched[:2], strict=True):
        both = models.to_numpy(before), models.to_numpy(after)
        for a, b in zip(*both, strict=True):
            np.testing.assert_array_equal(a, b)
