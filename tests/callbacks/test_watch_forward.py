"""Activations and batches of loops that are not `fit`."""

import functools

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard.recording.step.loop_tap import LoopTap
from tests import models
from tests.callbacks import test_watch as loops

STEPS = 6
# On JAX a step is compiled or not alike, and slow where it is not.
COMPILED_OR_NOT = {"jax": ["compiled outside"], "torch": ["eager"]}.get(
    keras.backend.backend(), ["eager", "compiled outside"]
)


def made(build):
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(5)
    model = build()
    return model, keras.optimizers.Adam(0.01)


def batches(data, size=8):
    x, y = data
    for i in range(STEPS):
        rows = slice(size * i, size * i + size)
        yield x[rows], y[rows]


def random():
    """Layers that draw numbers, and that keep averages."""
    return keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(6, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(3),
        ]
    )


# The second holds a model that is called twice.
MODELS = {
    "random": (random, models.dataset),
    "nested": (models.nested_and_shared, models.dataset),
    "embedding": (models.embedding, models.tokens),
}


@functools.cache
def fitted(name):
    """The trace of a fit, which each loop is held against."""
    build, data = MODELS[name]
    model, optimizer = made(build)
    model.compile(optimizer, models.crossentropy())
    x, y = data(8 * STEPS)
    monitor = kgg.GradientMonitor(verbose=0)
    more = {"batch_size": 8, "shuffle": False, "verbose": 0}
    model.fit(x, y, callbacks=[monitor], **more)
    return monitor.trace


def of_loop(name, loop, watch=kgg.watch):
    """Trace and weights of a loop, the trace None without a watch."""
    build, data = MODELS[name]
    model, optimizer = made(build)
    monitor = loops.Watched() if watch else loops.Unwatched()
    given = batches(data(8 * STEPS))
    if keras.backend.backend() == "torch":
        given = loaded(given)
    loops.LOOPS[loop](model, optimizer, given, monitor)
    return monitor.monitor, model.get_weights()


def loaded(data):
    """The batches as Keras's `fit` on torch takes them.

    Each iterator of a `DataLoader` draws from the state that `Dropout` draws
    from, and `fit` makes two: one looks at the first batch.
    """
    from torch.utils.data import DataLoader

    loader = DataLoader(list(data), batch_size=None)
    iter(loader)
    yield from loader


def alike(ours, theirs, series):
    common = np.intersect1d(ours.activation_steps, theirs.activation_steps)
    assert common.tolist() == [0, 1, 2, 4]
    for name in series:
        read = "activation" if name in loops.OUTPUT_STATISTICS else "data"
        both = [
            getattr(t, read)(name)[np.isin(t.activation_steps, common)]
            for t in (ours, theirs)
        ]
        np.testing.assert_allclose(*both, rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.optimized
@pytest.mark.parametrize("loop", ["train_on_batch", "compiled outside"])
@pytest.mark.parametrize("name", MODELS)
def test_random_layers_show_what_they_do_in_fit(name, loop):
    theirs = fitted(name)
    _, plain = of_loop(name, loop, None)
    monitor, watched = of_loop(name, loop)
    for a, b in zip(plain, watched, strict=True):
        np.testing.assert_array_equal(a, b)
    ours = monitor.trace
    assert ours.sites.tolist() == theirs.sites.tolist()
    alike(ours, theirs, loops.OUTPUT_STATISTICS)
    if loop == "train_on_batch":
        alike(ours, theirs, loops.DATA_SERIES)
    assert not monitor.report().notes


@pytest.mark.parametrize("loop", ["eager", "compiled outside"])
def test_a_validation_shows_nothing(loop, backend):
    """What a step shows, worked out by NumPy, whatever runs in between."""
    model, optimizer = loops.made()
    x, y = models.dataset(8 * STEPS)
    other = 100.0 + x[:8]
    shown = []

    def data():
        for i in range(STEPS):
            keras.ops.convert_to_numpy(model(other, training=False))
            if backend != "jax":  # it would take the loop's arrays along
                model.predict_on_batch(other)
            rows = x[8 * i : 8 * i + 8]
            kernel, bias = model.layers[0].get_weights()
            hidden = rows.astype("float64") @ kernel + bias
            shown.append([rows.mean(), (hidden <= 0).mean()])
            yield rows, y[8 * i : 8 * i + 8]

    watched = loops.Watched()
    loops.LOOPS[loop](model, optimizer, data(), watched)
    trace = watched.monitor.trace
    steps = trace.activation_steps
    assert steps.tolist() == [0, 1, 2, 4]
    shown = np.array(shown)[steps]
    np.testing.assert_allclose(trace.data("input_mean"), shown[:, 0], atol=1e-6)
    if backend == "jax":
        steps = steps[:1]  # there the loop itself carries the weights
    zeros = trace.activation("zero_fraction")[: len(steps), 0]
    np.testing.assert_allclose(zeros, shown[: len(steps), 1], atol=1e-6)


@pytest.mark.parametrize("loop", ["train_on_batch", "eager"])
def test_a_failing_look_leaves_the_gradients(loop, monkeypatch, recwarn):
    def broken(self, gathered, xp=None):
        raise ValueError("broken")

    monkeypatch.setattr(LoopTap, "packed", broken)
    monkeypatch.setattr(LoopTap, "_packed_now", broken)
    model, optimizer = loops.made()
    watched = loops.Watched()
    loops.LOOPS[loop](model, optimizer, loops.batches(9), watched)
    trace = watched.monitor.trace
    assert trace.steps.tolist() == list(range(9))
    assert np.isfinite(trace.get("grad_norm")).all()
    assert not len(trace.activation_steps)
    (told,) = [w for w in recwarn if w.category is kgg.GradGuardWarning]
    assert "activations and batch data failed" in str(told.message)
    assert "What goes on: gradients" in str(told.message)


def test_what_a_compiled_step_makes_itself_is_told(backend, recwarn):
    if backend != "tensorflow":
        pytest.skip("elsewhere it is seen inside of the step")
    import tensorflow as tf

    model, optimizer = loops.made()
    loss_of = models.crossentropy()

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x / 2.0, training=True))
        weights = model.trainable_variables
        optimizer.apply(
            tape.gradient(loss, [w.value for w in weights]), weights
        )

    with kgg.watch(model, optimizer, verbose=0) as monitor:
        for x, y in loops.batches(5):
            step(x, y)
    (told,) = [w for w in recwarn if w.category is kgg.GradGuardWarning]
    assert "makes the model's inputs itself" in str(told.message)
    assert "What goes on: gradients and weights" in str(told.message)
    assert monitor.trace.steps.tolist() == list(range(5))


def test_two_watches_at_once_show_a_model_each():
    keras.utils.set_random_seed(1)
    first, second = models.mlp(), models.mlp(width=5, activation="relu")
    optimizers = [keras.optimizers.SGD(0.1), keras.optimizers.Adam()]
    step_of = loops.STEP[keras.backend.backend()]
    steps = [
        step_of(m, o, "eager")
        for m, o in zip((first, second), optimizers, strict=True)
    ]
    with (
        kgg.watch(first, optimizers[0], verbose=0) as one,
        kgg.watch(second, optimizers[1], verbose=0) as two,
    ):
        for i, (x, y) in enumerate(loops.batches(9)):
            steps[0](x, y)
            if i % 2 == 0:
                steps[1](100.0 + x, y)
    assert one.trace.activation_steps.tolist() == [0, 1, 2, 4]
    assert two.trace.activation_steps.tolist() == [0, 1, 2, 4]
    assert (np.abs(one.trace.data("input_mean")) < 1).all()
    assert (two.trace.data("input_mean") > 99).all()
    for model in (first, second):
        for layer in [model, *model.layers]:
            assert not {"call", "compute_loss"} & set(vars(layer))


def test_an_exception_leaves_no_patch():
    model, optimizer = loops.made()

    def data():
        yield from loops.batches(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loops.LOOPS["eager"](model, optimizer, data(), loops.Watched())
    for layer in [model, *model.layers]:
        assert not {"call", "compute_loss"} & set(vars(layer))


@pytest.mark.parametrize("loop", COMPILED_OR_NOT)
def test_accumulated_batches_are_measured_at_the_update(loop):
    keras.utils.set_random_seed(3)
    model = models.mlp(activation="relu")
    optimizer = keras.optimizers.SGD(0.01, gradient_accumulation_steps=2)
    watched = loops.Watched()
    loops.LOOPS[loop](model, optimizer, loops.batches(10), watched)
    trace = watched.monitor.trace
    assert trace.activation_steps.tolist() == [0, 1, 2, 4]
    x, _ = models.dataset(loops.BATCH * 10)
    means = x.reshape(10, -1).mean(axis=1)[1::2]
    np.testing.assert_allclose(
        trace.data("input_mean"), means[[0, 1, 2, 4]], atol=1e-6
    )


def test_an_optimizer_outside_of_what_is_compiled_is_noted(backend):
    if backend == "torch":
        pytest.skip("torch compiles nothing")
    model, optimizer = loops.made()
    loss_of = models.crossentropy()
    weights = model.trainable_variables
    if backend == "jax":
        import jax

        def loss(values, x, y):
            outputs, _ = model.stateless_call(values, [], x, training=True)
            return loss_of(y, outputs)

        compiled = jax.jit(jax.grad(loss))

        def gradients(x, y):
            return compiled([w.value for w in weights], x, y)
    else:
        import tensorflow as tf

        @tf.function
        def gradients(x, y):
            with tf.GradientTape() as tape:
                loss = loss_of(y, model(x, training=True))
            return tape.gradient(loss, [w.value for w in weights])

    with kgg.watch(model, optimizer, verbose=0) as monitor:
        for x, y in loops.batches(5):
            optimizer.apply(gradients(x, y), weights)
    assert monitor.trace.steps.tolist() == list(range(5))
    (note,) = monitor.report().notes
    assert "Call `apply` inside of it" in note
