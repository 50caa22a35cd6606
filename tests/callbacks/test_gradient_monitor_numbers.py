"""Every recorded number against a twin that trains batch by batch."""

import pathlib

import keras
import numpy as np
import pytest
from keras import layers

from keras_gradguard import GradientMonitor
from tests import models
from tests import reference

TOLERANCE = 1e-5


def mlp(activation="tanh"):
    """Shallow: each layer is traced or compiled anew in every test."""
    return models.mlp(width=8, depth=1, activation=activation)


def watched(model, x, y, batch_size=16, epochs=1, **arguments):
    monitor = GradientMonitor(verbose=0, **arguments)
    model.fit(
        x,
        y,
        batch_size=batch_size,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[monitor],
    )
    return monitor


def same_model(make, optimizer, **arguments):
    """Two models with the same weights; the twin is compiled fast."""
    pair = []
    fast = {}
    if keras.backend.backend() == "tensorflow":
        fast = {"jit_compile": False}
    for compile_arguments in (arguments, {**fast, **arguments}):
        keras.utils.set_random_seed(3)
        model = make()
        model.compile(optimizer(), models.crossentropy(), **compile_arguments)
        pair.append(model)
    pair[1].set_weights(pair[0].get_weights())
    return pair


def columns(trace, model):
    """Positions of the model's trainable variables in the trace."""
    names = list(trace.variables)
    return [names.index(v.path) for v in model.trainable_variables]


def assert_equals_twin(model, twin, x, y, batch_size=16, epochs=1):
    monitor = watched(model, x, y, batch_size, epochs)
    trace = monitor.trace
    expected = reference.train(twin, x, y, batch_size, epochs)
    place = columns(trace, model)
    steps = len(expected["grad_norm"])
    assert trace.steps.tolist() == list(range(steps))
    recorded = trace.get("grad_norm", by="variable")[:, place]
    np.testing.assert_allclose(
        recorded, expected["grad_norm"], rtol=TOLERANCE, atol=1e-9
    )
    weights = trace.get("weight_norm", by="variable")[:, place]
    ratios = trace.get("update_ratio", by="variable")[:, place]
    seen = np.isin(np.arange(steps), (0, 1, 2, 4, 16))
    seen[len(x) // batch_size - 1 :: len(x) // batch_size] = False
    assert not np.isnan(ratios[seen]).any()
    np.testing.assert_allclose(
        weights[seen], expected["weight_norm"][seen], rtol=TOLERANCE
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = expected["update_norm"] / expected["weight_norm"]
    positive = seen[:, None] & (expected["weight_norm"] > 1e-6)
    np.testing.assert_allclose(
        ratios[positive], ratio[positive], rtol=1e-3, atol=1e-8
    )
    return trace, expected


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.05, momentum=0.9),
        lambda: keras.optimizers.AdamW(1e-2, weight_decay=0.1),
    ],
    ids=["sgd", "adamw"],
)
def test_norms_equal_a_plain_tape(optimizer):
    x, y = models.dataset(96)
    trace, expected = assert_equals_twin(*same_model(mlp, optimizer), x, y)
    total = np.sqrt((expected["grad_norm"] ** 2).sum(axis=1))
    np.testing.assert_allclose(trace.global_grad_norm, total, rtol=TOLERANCE)
    np.testing.assert_allclose(trace.clipped_grad_norm, total, rtol=TOLERANCE)
    by_layer = np.sqrt(
        (expected["grad_norm"] ** 2).reshape(len(total), 2, 2).sum(axis=2)
    )
    np.testing.assert_allclose(trace.get("grad_norm"), by_layer, rtol=TOLERANCE)


def test_batch_normalization_and_convolutions():
    def make():
        model = models.cnn()
        return keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                *[m for m in model.layers if type(m) is not layers.Dropout],
            ]
        )

    x, y = models.images()
    assert_equals_twin(
        *same_model(make, lambda: keras.optimizers.SGD(0.05)), x, y
    )


def test_repeated_ids_of_an_embedding_are_summed_first():
    x, y = models.tokens()
    assert_equals_twin(
        *same_model(models.embedding, lambda: keras.optimizers.SGD(0.5)), x, y
    )


def test_an_embedding_of_two_equal_rows_has_norm_two():
    model = keras.Sequential(
        [
            keras.Input((2,), dtype="int32"),
            layers.Embedding(3, 1, name="table"),
            layers.Lambda(lambda t: keras.ops.sum(t, axis=(1, 2))),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), lambda y, p: keras.ops.mean(p))
    x = np.array([[1, 1]], "int32")
    monitor = watched(model, x, np.zeros(1, "float32"), batch_size=1)
    assert monitor.trace.global_grad_norm[0] == pytest.approx(2.0)


def test_shared_and_nested_layers_are_one_each():
    x, y = models.dataset()
    trace, _ = assert_equals_twin(
        *same_model(
            models.nested_and_shared, lambda: keras.optimizers.SGD(0.1)
        ),
        x,
        y,
    )
    assert len(trace.layers) == 5
    assert trace.layers[-1].endswith("head")


def test_subclassed_layers_come_in_the_order_of_their_calls():
    keras.utils.set_random_seed(1)
    model = models.Subclassed()
    x, y = models.dataset(160)
    model.compile("sgd", models.crossentropy())
    trace = watched(model, x, y).trace
    used = [name.split("/")[-1] for name in trace.layers]
    assert used.index("body") < used.index("head")
    assert len(trace.steps) == 10


def test_unused_and_frozen_variables_are_nan_and_no_finding(backend):
    model = models.Subclassed()
    x, y = models.dataset(320)
    model.compile("sgd", models.crossentropy())
    model(x[:1])
    model.body.trainable = False
    monitor = watched(model, x, y)
    norms = monitor.trace.get("grad_norm")
    by_name = {
        path.split("/")[-1]: norms[:, i]
        for i, path in enumerate(monitor.trace.layers)
    }
    assert np.isnan(by_name["body"]).all()
    assert np.isfinite(by_name["head"]).all()
    if backend != "jax":  # JAX gives zeros, not None
        assert np.isnan(by_name["unused"]).all()
    assert np.isfinite(monitor.trace.global_grad_norm).all()
    assert monitor.report().findings == []


# One step each, by what the targets say.
SCALES = np.float32([1e20, 1e-25])


def test_norms_survive_what_squares_do_not():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile(
        keras.optimizers.SGD(0.0),
        lambda y, p: keras.ops.mean(p) * keras.ops.mean(y),
    )
    x, y = np.ones((16, 4), "float32"), np.repeat(SCALES, 8)[:, None]
    trace = watched(model, x, y, 8).trace
    np.testing.assert_allclose(
        trace.get("grad_norm", by="variable"),
        np.outer(SCALES.astype("float64"), [2, 1]),
        rtol=TOLERANCE,
    )


def test_norms_of_a_large_kernel_survive_what_squares_do_not():
    model = keras.Sequential([keras.Input((400,)), layers.Dense(300)])
    model.compile(
        keras.optimizers.SGD(0.0),
        lambda y, p: keras.ops.sum(p) * keras.ops.mean(y),
    )
    x, y = np.ones((2, 400), "float32"), SCALES[:, None]
    trace = watched(model, x, y, 1).trace
    np.testing.assert_allclose(
        trace.get("grad_norm", by="variable"),
        np.outer(SCALES.astype("float64"), np.sqrt([400 * 300, 300])),
        rtol=TOLERANCE,
    )


def test_accumulation_makes_one_record_of_the_mean_gradient():
    x, y = models.dataset(96)
    plain, accumulated = same_model(mlp, lambda: keras.optimizers.SGD(0.1))
    accumulated.compile(
        keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
        models.crossentropy(),
    )
    trace = watched(accumulated, x, y, batch_size=16).trace
    expected = watched(plain, x, y, batch_size=32).trace
    assert trace.steps.tolist() == [0, 1, 2]
    np.testing.assert_allclose(
        trace.get("grad_norm"), expected.get("grad_norm"), rtol=TOLERANCE
    )
    np.testing.assert_allclose(
        trace.get("update_ratio")[:2],
        expected.get("update_ratio")[:2],
        rtol=1e-3,
    )


@pytest.mark.parametrize(
    "arguments",
    [{"clipnorm": 0.1}, {"global_clipnorm": 0.1}, {"clipvalue": 0.01}],
    ids=lambda a: next(iter(a)),
)
def test_norm_after_clipping(arguments):
    x, y = models.dataset()
    model, twin = same_model(
        mlp, lambda: keras.optimizers.SGD(0.1, **arguments)
    )
    plain_first = reference.gradients(twin, x[:16], y[:16])
    trace = watched(model, x, y).trace
    value = next(iter(arguments.values()))
    if "clipvalue" in arguments:
        clipped = [np.clip(g, -value, value) for g in plain_first]
        expected = reference.norm(np.concatenate([c.ravel() for c in clipped]))
    else:
        norms = np.array([reference.norm(g) for g in plain_first])
        expected = value
        if "clipnorm" in arguments:
            expected = np.sqrt((np.minimum(norms, value) ** 2).sum())
    assert trace.clipped_grad_norm[0] == pytest.approx(expected, rel=1e-5)
    before = np.sqrt(sum(reference.norm(g) ** 2 for g in plain_first))
    assert trace.global_grad_norm[0] == pytest.approx(before, rel=1e-5)


def test_static_loss_scale_is_taken_out():
    x, y = models.dataset()
    model, twin = same_model(mlp, lambda: keras.optimizers.SGD(0.1))
    model.compile(
        keras.optimizers.SGD(0.1, loss_scale_factor=1024.0),
        models.crossentropy(),
    )
    expected = reference.train(twin, x, y, 16)
    np.testing.assert_allclose(
        watched(model, x, y).trace.get("grad_norm", by="variable"),
        expected["grad_norm"],
        rtol=TOLERANCE,
    )


def test_members_of_a_multi_optimizer_make_one_record():
    multi = getattr(keras.optimizers, "MultiOptimizer", None)
    if multi is None:
        pytest.skip("this Keras has no MultiOptimizer")
    x, y = models.dataset(96)
    model, twin = same_model(mlp, lambda: keras.optimizers.SGD(0.1))
    first = keras.optimizers.SGD(0.1)
    second = keras.optimizers.SGD(0.1)
    head = model.layers[-1].kernel.path
    model.compile(
        multi(lambda v: first if v.path == head else second),
        models.crossentropy(),
    )
    expected = reference.train(twin, x, y, 16)
    trace = watched(model, x, y).trace
    assert trace.steps.tolist() == list(range(6))
    np.testing.assert_allclose(
        trace.get("grad_norm", by="variable"),
        expected["grad_norm"],
        rtol=TOLERANCE,
    )


def test_overflowing_steps_are_recorded_and_marked_as_skipped():
    x, y = models.dataset(64)
    x[16:32] *= np.float32(1e30)
    model = mlp(activation="linear")
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.01), initial_scale=1024.0
    )
    model.compile(optimizer, "mse")
    y = np.eye(3, dtype="float32")[y]
    trace = watched(model, x, y).trace
    assert trace.skipped.tolist() == [False, True, False, False]
    assert trace.steps.tolist() == [0, 1, 1, 2]
    finite = np.isfinite(trace.get("grad_norm")).all(axis=1)
    assert finite.tolist() == [True, False, True, True]
    assert int(optimizer.iterations) == 3
    plain = mlp(activation="linear")
    plain.compile("sgd", "mse")
    assert trace.global_grad_norm[0] < 1e3  # unscaled


def test_every_step_inside_an_execution_is_recorded(backend):
    if backend == "torch":
        pytest.skip("Keras on torch runs one step per execution")
    x, y = models.dataset(160)
    model, twin = same_model(mlp, lambda: keras.optimizers.SGD(0.1))
    model.compile(
        keras.optimizers.SGD(0.1),
        models.crossentropy(),
        steps_per_execution=4,
    )
    expected = reference.train(twin, x, y, 16)
    trace = watched(model, x, y).trace
    assert trace.steps.tolist() == list(range(10))
    np.testing.assert_allclose(
        trace.get("grad_norm", by="variable"),
        expected["grad_norm"],
        rtol=TOLERANCE,
    )


def test_updates_are_measured_where_an_execution_is_an_epoch(backend):
    if backend == "torch":
        pytest.skip("Keras on torch runs one step per execution")
    x, y = models.dataset(64)
    model = mlp()
    model.compile("adam", models.crossentropy(), steps_per_execution=4)
    trace = watched(model, x, y, epochs=2).trace
    assert np.isfinite(trace.get("update_ratio")).all()
    assert len(trace.activation_steps)


@pytest.mark.parametrize("how", ["run_eagerly", "jit_compile"])
def test_eager_and_compiled_steps(how, backend):
    if how == "jit_compile" and backend == "torch":
        pytest.skip("what torch.compile makes is not recorded")
    x, y = models.dataset()
    pair = same_model(
        # Shallow: on JAX each operation of each shape is compiled.
        lambda: models.mlp(width=8, depth=1),
        lambda: keras.optimizers.SGD(0.1),
        **{how: True},
    )
    assert_equals_twin(*pair, x, y)


def test_a_custom_train_step_is_recorded():
    inputs = keras.Input((8,))
    model = models.CustomStep(inputs, layers.Dense(3)(inputs))
    model.compile("sgd", models.crossentropy())
    trace = watched(model, *models.dataset()).trace
    assert len(trace.steps) == 4


def test_the_ring_loses_nothing_on_a_long_run():
    x, y = models.dataset(270)  # the ring has 512 rows
    model = models.mlp(width=2, depth=1)
    model.compile("sgd", models.crossentropy())
    monitor = GradientMonitor(verbose=0)
    blocks = []
    take_in = monitor.on_block
    monitor.on_block = lambda block: (blocks.append(block), take_in(block))
    model.fit(x, y, batch_size=1, epochs=2, verbose=0, callbacks=[monitor])
    steps = np.concatenate([block.steps for block in blocks])
    assert steps.tolist() == list(range(540))
    assert np.isfinite(monitor.trace.get("update_ratio")).any(axis=1).sum() > 12


def test_every_kth_step():
    x, y = models.dataset(320)
    model = mlp()
    model.compile("sgd", models.crossentropy())
    trace = watched(model, x, y, update_freq=3).trace
    assert trace.steps.tolist() == list(range(0, 20, 3))
    # Of those, what is measured at the first, second, third, fifth.
    steps, updates = trace.measured("update_norm")
    assert steps[np.isfinite(updates).any(axis=1)].tolist() == [0, 3, 6, 12]
    assert trace.activation_steps.tolist() == [0, 3, 6, 12]


def test_recurrent_and_attention_layers():
    def make():
        inputs = keras.Input((6,), dtype="int32")
        x = layers.Embedding(20, 8)(inputs)
        attended = layers.MultiHeadAttention(2, 4)(x, x)
        x = layers.LayerNormalization()(x + attended)
        x = layers.LSTM(5, return_sequences=True)(x)
        x = layers.SimpleRNN(4)(x)
        return keras.Model(inputs, layers.Dense(3)(x))

    x, y = models.tokens()
    model, twin = same_model(make, lambda: keras.optimizers.SGD(0.1))
    trace = watched(model, x, y).trace
    expected = reference.train(twin, x, y, 16)["grad_norm"]
    np.testing.assert_allclose(
        trace.get("grad_norm", by="variable")[:, columns(trace, model)],
        expected,
        rtol=1e-5,
        atol=1e-7,
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_is_recorded_in_float32_and_unscaled(policy):
    x, y = models.dataset(96)
    _, twin = same_model(mlp, lambda: keras.optimizers.SGD(0.1))
    keras.config.set_dtype_policy(policy)
    try:
        model = mlp()
        model.compile(keras.optimizers.SGD(0.1), models.crossentropy())
    finally:
        keras.config.set_dtype_policy("float32")
    model.set_weights(twin.get_weights())
    trace = watched(model, x, y).trace
    applied = trace.get("grad_norm", by="variable")[~trace.skipped]
    expected = reference.train(twin, x, y, 16)["grad_norm"]
    assert applied.dtype == np.float32
    assert len(applied) >= 4
    np.testing.assert_allclose(applied[0], expected[0], rtol=0.05)


def test_generators_and_data_sets(backend):
    x, y = models.dataset()

    def generator():
        while True:
            for start in range(0, 64, 16):
                yield x[start : start + 16], y[start : start + 16]

    sources = {"generator": (generator(), 4)}
    if backend == "tensorflow":
        import tensorflow as tf

        rows = tf.data.Dataset.from_tensor_slices((x, y))
        sources["tf.data"] = (rows.batch(16), None)
    for source, steps in sources.values():
        model = mlp()
        model.compile("sgd", models.crossentropy())
        monitor = GradientMonitor(verbose=0)
        model.fit(source, steps_per_epoch=steps, verbose=0, callbacks=[monitor])
        assert monitor.trace.steps.tolist() == [0, 1, 2, 3]


def test_weights_are_measured_at_the_documented_steps():
    # docs/rules.md: for epochs of 100 steps.
    x, y = models.dataset(200)
    model = mlp()
    model.compile("sgd", models.crossentropy())
    monitor = watched(model, x, y, 2, 3)
    steps, updates = monitor.trace.measured("update_norm")
    measured = steps[np.isfinite(updates).any(axis=1)].tolist()
    assert measured == [0, 1, 2, 4, 16, 64, 129, 193, 258]
    said = "In epochs of 100 steps that is 0, 1, 2, 4, 16, 64, 129, 193"
    page = pathlib.Path(__file__).parents[2] / "docs" / "rules.md"
    assert said in " ".join(page.read_text("utf-8").split())
