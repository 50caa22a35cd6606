"""Histograms of gradients, from the compiled step to TensorBoard's files."""

import keras
import numpy as np
import pytest
from keras import layers

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_file_loader import (
    EventFileLoader,
)
from tensorboard.util import tensor_util

from keras_gradguard import AutoClip
from keras_gradguard import DeadReLUDetector
from keras_gradguard import GradientMonitor
from tests import models
from tests import reference

BATCH = 16


class Weights(keras.callbacks.Callback):
    """Keeps the weights from before each epoch, as `at_epochs` of the model."""

    def on_epoch_begin(self, epoch, logs=None):
        # Not by `setattr`, which Keras follows.
        kept = vars(self.model).setdefault("at_epochs", [])
        kept[epoch:] = [self.model.get_weights()]


def fit(model, log_dir, x, y, *others, epochs=2, batch_size=BATCH, **arguments):
    """Train with histograms in every epoch; the monitor."""
    arguments.setdefault("histogram_freq", 1)
    monitor = GradientMonitor(log_dir, verbose=0, **arguments)
    model.fit(
        x,
        y,
        batch_size=batch_size,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[Weights(), *others, monitor],
    )
    return monitor


def events(log_dir):
    """Steps, and the tensors of the histograms of each, one event each."""
    steps, found = [], []
    for path in sorted(log_dir.glob("*.gradguard")):
        for event in EventFileLoader(str(path)).Load():
            tensors = {
                value.tag: tensor_util.make_ndarray(value.tensor)
                for value in event.summary.value
                if value.tag.startswith("gradients")
            }
            if tensors:
                steps.append(event.step)
                found.append(tensors)
    return steps, found


def expected(model, twin, x, y, steps, batch_size=BATCH):
    """Gradients of each trainable variable at first steps of epochs."""
    found = []
    for step in steps:
        epoch, later = divmod(step, len(x) // batch_size)
        assert not later
        twin.set_weights(model.at_epochs[epoch])
        first = slice(0, batch_size)
        found.append(reference.gradients(twin, x[first], y[first]))
    return found


def by_layer(model, grads):
    """Entries of each layer that owns variables, as one vector."""
    parts = {}
    for variable, grad in zip(model.trainable_variables, grads, strict=True):
        path = variable.path.rsplit("/", 1)[0]
        if grad is not None:
            parts.setdefault(path, []).append(np.ravel(grad))
    return {
        path: np.concatenate(found).astype("float64")
        for path, found in parts.items()
    }


def assert_holds(rows, values):
    """Buckets hold these values, but for rounding at their edges."""
    assert rows.dtype == np.float64
    assert rows.shape[1] == 3
    assert rows[:, 2].sum() == len(values)
    below = np.cumsum(rows[:, 2])
    for edge, count in zip(rows[:, 1], below, strict=True):
        margin = 1e-4 * abs(edge)
        assert (values < edge - margin).sum() <= count
        assert count <= (values <= edge + margin).sum()


def assert_is_of(tensors, model, grads):
    """An event holds both histograms of all layers with a gradient."""
    found = by_layer(model, grads)
    tags = {f"{group}/{path}" for path in found for group in GROUPS}
    assert set(tensors) == tags
    for path, values in found.items():
        assert_holds(tensors[f"gradients/{path}"], values)
        logs = np.log10(np.abs(values[values != 0]))
        assert_holds(tensors[f"gradients_log10/{path}"], logs)


GROUPS = ("gradients", "gradients_log10")


def pair(make, optimizer, **compile_arguments):
    """Two models with the same weights, of which the first will train."""
    found = []
    for arguments in (compile_arguments, {"jit_compile": False}):
        if keras.backend.backend() != "tensorflow":
            arguments = {}
        keras.utils.set_random_seed(3)
        model = make()
        model.compile(optimizer(), models.crossentropy(), **arguments)
        found.append(model)
    found[1].set_weights(found[0].get_weights())
    return found


def mlp(activation="tanh"):
    """Shallow: each layer is traced and compiled again for every test."""
    return models.mlp(width=8, depth=1, activation=activation)


def sgd(**arguments):
    return lambda: keras.optimizers.SGD(0.1, **arguments)


CASES = {
    "clipnorm": (mlp, models.dataset, sgd(clipnorm=0.1)),
    "global_clipnorm": (mlp, models.dataset, sgd(global_clipnorm=0.1)),
    "clipvalue": (mlp, models.dataset, sgd(clipvalue=0.01)),
    "auto clip": (
        mlp,
        models.dataset,
        lambda: AutoClip(keras.optimizers.SGD(0.1), "norm", threshold=0.1),
    ),
    "loss scale": (mlp, models.dataset, sgd(loss_scale_factor=1024.0)),
    "rows that repeat": (models.embedding, models.tokens, sgd()),
    "nested and shared": (models.nested_and_shared, models.dataset, sgd()),
}


def compiled_cases():
    """Each case as a graph, and those that differ there under XLA."""
    found = [(case, {}) for case in CASES]
    if keras.backend.backend() == "tensorflow":
        found = [(case, {"jit_compile": False}) for case in CASES]
        for case in ("global_clipnorm", "rows that repeat"):
            found.append((case, {"jit_compile": True}))
    return found


@pytest.mark.parametrize(("case", "arguments"), compiled_cases())
def test_first_update_of_each_epoch_before_clipping(case, arguments, tmp_path):
    make, data, optimizer = CASES[case]
    model, twin = pair(make, optimizer, **arguments)
    x, y = data()
    fit(model, tmp_path, x, y)
    steps, found = events(tmp_path)
    per_epoch = len(x) // BATCH
    assert steps == [0, per_epoch]
    grads = expected(model, twin, x, y, steps)
    for tensors, grad in zip(found, grads, strict=True):
        assert_is_of(tensors, model, grad)


def test_members_of_a_multi_optimizer(tmp_path):
    multi = getattr(keras.optimizers, "MultiOptimizer", None)
    if multi is None:
        pytest.skip("this Keras has no MultiOptimizer")
    model, twin = pair(mlp, sgd())
    head = model.layers[-1].kernel.path
    first, second = sgd()(), sgd()()
    model.compile(
        multi(lambda v: first if v.path == head else second),
        models.crossentropy(),
    )
    x, y = models.dataset()
    fit(model, tmp_path, x, y)
    steps, found = events(tmp_path)
    assert steps == [0, 4]
    for tensors, grad in zip(
        found, expected(model, twin, x, y, steps), strict=True
    ):
        assert_is_of(tensors, model, grad)


def test_accumulation_gives_the_mean_gradient(tmp_path):
    model, twin = pair(mlp, sgd())
    model.compile(sgd(gradient_accumulation_steps=2)(), models.crossentropy())
    x, y = models.dataset(96)
    fit(model, tmp_path, x, y)
    steps, found = events(tmp_path)
    assert steps == [0, 3]
    grads = expected(model, twin, x, y, steps, batch_size=2 * BATCH)
    for tensors, grad in zip(found, grads, strict=True):
        assert_is_of(tensors, model, grad)


@pytest.mark.parametrize("rows", [64, 160], ids=["whole epoch", "parts"])
def test_first_update_of_several_in_one_execution(rows, backend, tmp_path):
    if backend == "torch":
        pytest.skip("Keras on torch runs one step per execution")
    model, twin = pair(mlp, sgd())
    model.compile(sgd()(), models.crossentropy(), steps_per_execution=4)
    x, y = models.dataset(rows)
    fit(model, tmp_path, x, y)
    steps, found = events(tmp_path)
    assert steps == [0, rows // BATCH]
    for tensors, grad in zip(
        found, expected(model, twin, x, y, steps), strict=True
    ):
        assert_is_of(tensors, model, grad)


def test_every_kth_epoch_whatever_steps_are_recorded(tmp_path):
    model, twin = pair(mlp, sgd())
    x, y = models.dataset(80)
    monitor = fit(
        model,
        tmp_path,
        x,
        y,
        epochs=5,
        histogram_freq=2,
        update_freq=3,
    )
    steps, found = events(tmp_path)
    assert steps == [0, 10, 20]
    grads = expected(model, twin, x, y, steps)
    for tensors, grad in zip(found, grads, strict=True):
        assert_is_of(tensors, model, grad)
    assert monitor.trace.steps.tolist() == list(range(0, 25, 3))


def test_layers_without_a_gradient_have_none(backend, tmp_path):
    model = models.Subclassed()
    x, y = models.dataset()
    model.compile("sgd", models.crossentropy())
    model(x[:1])
    model.body.trainable = False
    fit(model, tmp_path, x, y)
    _, found = events(tmp_path)
    names = {tag.split("/")[-1] for tensors in found for tag in tensors}
    # JAX gives zeros, not None.
    assert names == ({"head", "unused"} if backend == "jax" else {"head"})


def test_what_is_not_finite_is_left_out(tmp_path):
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, use_bias=False, name="dense")]
    )
    model.compile(keras.optimizers.SGD(0.0), lambda y, p: keras.ops.mean(p))
    x = np.ones((BATCH, 4), "float32")
    x[:, 0], x[:, 1], x[:, 2] = np.inf, np.nan, 0.0
    monitor = fit(model, tmp_path, x, np.zeros((BATCH, 3)), epochs=1)
    _, (tensors,) = events(tmp_path)
    (rows,) = [t for tag, t in tensors.items() if "log10" not in tag]
    assert np.isfinite(rows).all()
    # Of the four rows of the kernel, one is 0 and one is 1/3.
    assert rows[:, 2].sum() == 6
    third = (rows[:, 0] <= 1 / 3) & (rows[:, 1] > 1 / 3)
    assert rows[third, 2].tolist() == [3]
    assert not np.isfinite(monitor.trace.global_grad_norm).any()


def test_an_update_that_is_skipped_is_shown_all_the_same(tmp_path):
    x, y = models.dataset(BATCH)
    x[0] = np.inf
    model = mlp("linear")
    model.compile(
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01)),
        models.crossentropy(),
    )
    monitor = fit(model, tmp_path, x, y, epochs=1)
    assert monitor.trace.skipped.tolist() == [True]
    steps, found = events(tmp_path)
    counts = [
        rows[:, 2].sum() for tensors in found for rows in tensors.values()
    ]
    assert all(count > 0 for count in counts)
    assert steps in ([], [0])


def test_with_another_callback_on_the_same_fit(tmp_path):
    model, twin = pair(mlp, sgd())
    x, y = models.dataset()
    other = GradientMonitor(tmp_path / "other", verbose=0, histogram_freq=3)
    fit(model, tmp_path, x, y, DeadReLUDetector(verbose=0), other, epochs=4)
    steps, found = events(tmp_path)
    assert steps == [0, 4, 8, 12]
    assert events(tmp_path / "other")[0] == [0, 12]
    grads = expected(model, twin, x, y, steps)
    for tensors, grad in zip(found, grads, strict=True):
        assert_is_of(tensors, model, grad)


@pytest.mark.optimized
def test_fits_with_and_without_in_any_order(tmp_path):
    x, y = models.dataset()
    weights = []
    for watched in (False, True):
        keras.utils.set_random_seed(5)
        model = mlp()
        model.compile("adam", models.crossentropy())
        for i, freq in enumerate((0, 1, None, 1, 0, 2)):
            if watched and freq is not None:
                fit(model, tmp_path / str(i), x, y, histogram_freq=freq)
            else:
                model.fit(x, y, BATCH, epochs=2, shuffle=False, verbose=0)
        weights.append(
            [*model.get_weights(), *models.to_numpy(model.optimizer.variables)]
        )
    assert [events(tmp_path / str(i))[0] for i in (0, 1, 3, 4, 5)] == [
        [],
        [8, 12],
        [24, 28],
        [],
        [40],
    ]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_model_that_is_recompiled_inside_a_fit(backend, tmp_path):
    if backend == "jax":
        pytest.skip("Keras on JAX does not build a new optimizer mid-fit")

    class Recompiles(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.compile("sgd", models.crossentropy())
                self.model.make_train_function()

    model, _ = pair(mlp, sgd())
    x, y = models.dataset()
    fit(model, tmp_path, x, y, Recompiles(), epochs=3)
    # The new optimizer counts from 0.
    assert events(tmp_path)[0] == [0, 0, 4]


@pytest.fixture
def replicas(backend):
    """Scope in which a model is replicated over two devices."""
    if backend == "tensorflow":
        import tensorflow as tf

        strategy = tf.distribute.MirroredStrategy(
            ["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice()
        )
        yield strategy.scope
    elif backend == "jax":
        before = keras.distribution.distribution()
        devices = ["cpu:0", "cpu:1"]
        parallel = keras.distribution.DataParallel(devices=devices)
        keras.distribution.set_distribution(parallel)
        yield parallel.scope
        keras.distribution.set_distribution(before)
    else:
        pytest.skip("Keras on torch trains on one device")


@pytest.mark.parametrize("clipnorm", [None, 0.1])
def test_gradient_of_the_whole_batch_over_replicas(
    clipnorm, replicas, tmp_path
):
    optimizer = sgd(clipnorm=clipnorm)
    with replicas():
        model, _ = pair(mlp, optimizer)
    x, y = models.dataset()
    _, twin = pair(mlp, optimizer)
    fit(model, tmp_path, x, y, epochs=1)
    steps, (tensors,) = events(tmp_path)
    assert steps == [0]
    grad = reference.gradients(twin, x[:BATCH], y[:BATCH])
    assert_is_of(tensors, model, grad)
