"""Each private name of Keras still means what we think, on every Keras."""

import ast
import inspect
import pathlib
import sys
import threading

import keras
import numpy as np
import pytest
from keras import layers

from keras_gradguard._backend import current
from keras_gradguard.models import keras_private
from keras_gradguard.models import outputs
from keras_gradguard.models.patches import Patches
from keras_gradguard.recording.fit_exit import fit_frame
from tests import models

BACKEND = keras.backend.backend()


def array(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


def trained(optimizer="sgd", **arguments):
    keras.utils.set_random_seed(0)
    model = models.mlp(width=4, depth=1)
    model.compile(optimizer, models.crossentropy(), **arguments)
    return model


def fit(model, rows=32, **arguments):
    x, y = models.dataset(rows)
    return model.fit(x, y, batch_size=16, verbose=0, **arguments)


class Shell(layers.Layer):
    """A layer that holds one, and a weight of its own."""

    def __init__(self):
        super().__init__()
        self.inner = layers.Dense(3)
        self.scale = self.add_weight(shape=(), name="scale")
        self.count = self.add_weight(shape=(), trainable=False)

    def call(self, inputs):
        return self.scale * self.inner(inputs)


def children():
    shell = Shell()
    assert keras_private.children(shell) == [shell.inner]
    model = models.mlp()
    assert keras_private.children(model) == model.layers


def own_variables():
    shell = Shell()
    shell(np.zeros((1, 2), "float32"))
    shell.trainable = False
    assert [v.name for v in keras_private.own_variables(shell)] == ["scale"]


def is_rematerialized():
    with keras.RematScope(mode="full"):
        again = layers.Dense(3)
    assert keras_private.is_rematerialized(again)
    assert not keras_private.is_rematerialized(layers.Dense(3))


def layers_before():
    a, b, after = layers.Dense(3), layers.Dense(3), layers.Add()
    inputs = keras.Input((2,))
    after([a(inputs), b(inputs)])
    assert keras_private.layers_before(after) == [a, b]
    assert keras_private.layers_before(layers.Add()) == []


def loss_weights():
    inputs = keras.Input((2,))
    outputs = [layers.Dense(1, name=name)(inputs) for name in "ab"]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", ["mse", "mse"], loss_weights=[0.25, 4.0])
    assert keras_private.loss_weights(model) == [0.25, 4.0]
    assert keras_private.loss_weights(trained()) is None


def make_train_function():
    model = trained()
    fit(model)
    own, step, seen = model.train_function, model.train_step, []

    def train_step(*args, **kwargs):
        seen.append(True)
        return step(*args, **kwargs)

    function = keras_private.make_train_function(model, train_step)
    assert model.train_function is own
    assert "train_step" not in vars(model)
    model.train_function = function
    fit(model)
    assert seen
    assert int(model.optimizer.iterations) == 4


def make_train_function_for_every_step():
    if BACKEND != "jax":
        pytest.skip("elsewhere nothing leaves the step among its logs")
    model = trained(steps_per_execution=2)
    step, found = model.train_step, []

    def train_step(state, data):
        logs, state = step(state, data)
        return {name: value[None] for name, value in logs.items()}, state

    function = keras_private.make_train_function(model, train_step, True)

    def train_function(state, iterator):
        logs, state = function(state, iterator)
        found.append(logs["loss"].shape)
        return {name: value[-1] for name, value in logs.items()}, state

    model.train_function = train_function
    fit(model, 48)  # three batches: the last execution has one
    assert found == [(2,), (1,)]


def record_shardings():
    record = getattr(keras.Model, "_record_training_state_sharding_spec", None)
    version = tuple(int(part) for part in keras.__version__.split(".")[:2])
    assert (record is not None) == (BACKEND == "jax" and version < (3, 12))
    keras_private.record_shardings(trained())


def hold_state():
    model = trained()
    if BACKEND != "jax":
        keras_private.hold_state(model, None)
        return
    fit(model)
    function, before = model.train_function, int(model.optimizer.iterations)

    def train_function(state, iterator):
        keras_private.hold_state(model, function(state, iterator))
        raise KeyboardInterrupt

    model.train_function = train_function
    with pytest.raises(KeyboardInterrupt):
        fit(model)
    assert int(model.optimizer.iterations) == before + 1
    assert np.isfinite(model.get_weights()[0]).all()


def hold_first_state():
    model, found = trained(), []
    if BACKEND != "jax":
        return
    fit(model)
    function = model.train_function

    def train_function(state, iterator):
        found.append(keras_private.hold_first_state(model, state))
        if len(found) == 2:
            raise KeyboardInterrupt
        return function(state, iterator)

    model.train_function = train_function
    with pytest.raises(KeyboardInterrupt):
        fit(model)
    assert found == [True, False]
    found = [True]
    before = model.get_weights()
    model.train_function = train_function
    with pytest.raises(KeyboardInterrupt):
        fit(model)
    assert found == [True, True]
    for value, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, other)


def drop_lost_state():
    if BACKEND != "jax":
        return
    model = trained()
    fit(model)
    model._jax_state = {"trainable_variables": [keras.ops.ones(2)]}
    keras_private.drop_lost_state(model)
    assert model._jax_state is not None
    model._jax_state["trainable_variables"][0].delete()
    keras_private.drop_lost_state(model)
    assert model._jax_state is None


def epoch_iterator():
    found = []

    class Looks(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            frame = inspect.currentframe()
            while frame is not None and not found:
                iterator = keras_private.epoch_iterator(frame)
                if iterator is not None:
                    found.append(iterator.num_batches)
                frame = frame.f_back

    fit(trained(), callbacks=[Looks()])
    assert found == [2]
    assert keras_private.epoch_iterator(inspect.currentframe()) is None


class _Iterator(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        iterator = keras_private.epoch_iterator(fit_frame())
        self.rows = keras_private.batch_rows(iterator)
        self.batches = keras_private.gives_batches(iterator)
        self.through = []

        def through(dataset):
            self.through.append(dataset)
            return dataset

        keras_private.tap_dataset(iterator, through)


def data_of_a_fit():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.zeros((6, 2))
    for shuffle, rows in ((False, 3), (True, None)):
        seen = _Iterator()
        model.fit(
            x, x[:, :1], batch_size=3, shuffle=shuffle, verbose=0,
            callbacks=[seen],
        )  # fmt: skip
        assert seen.rows == rows
        assert seen.batches is False
        assert len(seen.through) == (BACKEND == "tensorflow")
    seen = _Iterator()
    given = ((x[:3], x[:3, :1]) for _ in range(2))
    model.fit(given, steps_per_epoch=2, verbose=0, callbacks=[seen])
    assert seen.rows is None
    assert seen.batches is True
    assert keras_private.batch_rows(object()) is None
    assert keras_private.gives_batches(object()) is None


def called_beside_training():
    def hook(self, batch, logs=None):
        pass

    class Looks(keras.callbacks.Callback):
        on_train_batch_end = hook

    def counts(self, batch, logs=None):
        pass

    class Counts(Looks):
        on_train_batch_end = keras_private.called_beside_training(counts)

    beside = [
        keras.callbacks.CallbackList([callback])._async_train
        for callback in (keras.callbacks.Callback(), Counts(), Looks())
    ]
    assert beside[0] == beside[1] == (BACKEND != "tensorflow")
    assert not beside[2]


def missing_method():
    assert keras_private.missing_method(keras.optimizers.SGD()) is None
    assert keras_private.missing_method(object()) == "apply"


def noting(seen, name):
    def make(original):
        def method(*args):
            seen.append((name, len(args)))
            return original(*args)

        return method

    return make


def replaced_methods():
    optimizer, seen, patches = keras.optimizers.SGD(), [], Patches()
    keras_private.replace_update(optimizer, noting(seen, "update"), patches)
    keras_private.replace_clipping(optimizer, noting(seen, "clip"), patches)
    keras_private.replace_reduction(optimizer, noting(seen, "add"), patches)
    assert not keras_private.clips_as_keras(optimizer)
    fit(trained(optimizer, run_eagerly=True), 16)
    # In this order, once for the one batch.
    wanted = [("update", 2), ("clip", 1)]
    if BACKEND == "tensorflow":
        wanted.append(("add", 1))
    assert seen == wanted
    patches.undo()
    assert keras_private.clips_as_keras(optimizer)


def clips_for_good():
    optimizer = keras.optimizers.SGD(1.0)
    keras_private.replace_clipping(
        optimizer, lambda _: lambda gradients: [0.0 * g for g in gradients]
    )
    model = trained(optimizer)
    before = model.get_weights()
    fit(model)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)

    class Own(keras.optimizers.SGD):
        def _clip_gradients(self, grads):
            return grads

    assert not keras_private.clips_as_keras(Own())


def replace_skipping():
    scaler = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    seen, patches = [], Patches()
    keras_private.replace_skipping(scaler, noting(seen, "skip"), patches)
    x, y = models.dataset(16)
    model = trained(scaler, run_eagerly=True)
    model.fit(np.full_like(x, np.inf), y, verbose=0)
    assert seen == [("skip", 2 if BACKEND == "jax" else 0)]
    assert int(scaler.iterations) == 0


def counter():
    optimizer = keras.optimizers.SGD(gradient_accumulation_steps=2)
    fit(trained(optimizer), 64)
    assert int(array(keras_private.counter(optimizer))) == 4
    assert int(optimizer.iterations) == 2


def updated_variables():
    model = trained()
    fit(model)
    given = keras_private.updated_variables(model.optimizer)
    assert [id(v) for v in given] == [id(v) for v in model.trainable_variables]


def set_updated_variables():
    class Bare(keras.optimizers.SGD):
        def build(self, variables):
            keras_private.set_updated_variables(self, list(variables))
            self.built = True

    model = trained(Bare(0.1))
    before = model.get_weights()
    fit(model)
    assert len(model.optimizer.variables) == 2  # counter and rate
    after = model.get_weights()
    assert any((a != b).any() for a, b in zip(before, after, strict=True))
    given = keras_private.updated_variables(model.optimizer)
    assert [id(v) for v in given] == [id(v) for v in model.trainable_variables]


def state_variables():
    optimizer = keras.optimizers.SGD()
    state = keras_private.state_variables(optimizer)
    assert isinstance(state, list)
    ours = keras.Variable(0.0)
    keras_private.track(optimizer, ours, True)
    assert optimizer.variables[-1] is ours
    assert state[-1] is ours  # the very list
    keras_private.track(optimizer, ours, False)
    assert all(v is not ours for v in optimizer.variables)


def averages():
    optimizer = keras.optimizers.SGD(use_ema=True, ema_momentum=0.5)
    model = trained(optimizer)
    fit(model)
    kept = keras_private.averages(optimizer)
    shapes = [tuple(v.shape) for v in model.trainable_variables]
    assert [tuple(v.shape) for v in kept] == shapes
    assert keras_private.averages(keras.optimizers.SGD()) is None


def accumulators():
    optimizer = keras.optimizers.Adagrad(initial_accumulator_value=0.25)
    model = trained(optimizer)
    optimizer.build(model.trainable_variables)
    kept = keras_private.accumulators(optimizer)
    assert len(kept) == len(model.trainable_variables)
    assert all((array(v) == 0.25).all() for v in kept)
    assert keras_private.accumulators(keras.optimizers.SGD()) is None


def rate():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    optimizer = keras.optimizers.SGD(schedule)
    assert keras_private.rate(optimizer) is schedule
    assert array(keras_private.rate(keras.optimizers.SGD(0.5))) == 0.5


def without_tensorflow():
    loaded = "tensorflow" in sys.modules
    with keras_private.without_tensorflow():
        keras.saving.serialize_keras_object(layers.Dense(3))
    assert ("tensorflow" in sys.modules) == loaded
    module_utils = keras_private.module_utils
    before = module_utils.tensorflow._available
    with keras_private.without_tensorflow():
        assert module_utils.tensorflow.available == loaded
    assert module_utils.tensorflow._available is before


def calls_of():
    inputs = keras.Input((2,))
    shared, after = layers.Dense(2), layers.Add()
    model = keras.Model(inputs, after([shared(inputs), shared(inputs)]))
    given, sources, ends = keras_private.calls_of(model)
    assert given == [model.layers[0]]
    assert ends == [after]
    assert sources[id(after)] == [shared, shared]
    assert sources[id(shared)] == given * 2


def build_from():
    model = keras.Sequential([Shell(), layers.Dense(2)])
    keras_private.build_from(model, np.zeros((4, 5)), training=True)
    assert model.built
    assert tuple(model.layers[0].inner.kernel.shape) == (5, 3)


def native():
    variable = keras.Variable(np.ones(3, "float32"))
    own = current().native(variable)
    if BACKEND == "jax":
        assert own is variable
    else:
        assert own is not variable
        variable.assign(np.full(3, 2.0, "float32"))
        np.testing.assert_array_equal(array(own), [2.0, 2.0, 2.0])


def compiles_draws():
    assert keras_private.compiles_draws() == (BACKEND == "jax")


def draws_replaced():
    def draw():
        return array(keras.initializers.RandomNormal(2.0, 3.0, seed=5)((4, 2)))

    def half(rng, shape, mean, stddev):
        return rng.uniform(mean, stddev, shape) / 2

    before, other = draw(), []
    thread = threading.Thread(target=lambda: other.append(draw()))
    with keras_private.draws_replaced(half, half, half):
        with keras_private.draws_replaced(half, half, half):
            assert (draw() != before).all()
        first, second = draw(), draw()
        thread.start()
        thread.join()
    assert (first >= 1).all()
    assert (first < 1.5).all()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(other[0], before)
    np.testing.assert_array_equal(draw(), before)


CHECKS = (
    children,
    own_variables,
    is_rematerialized,
    layers_before,
    loss_weights,
    make_train_function,
    make_train_function_for_every_step,
    record_shardings,
    hold_state,
    hold_first_state,
    drop_lost_state,
    epoch_iterator,
    data_of_a_fit,
    called_beside_training,
    missing_method,
    replaced_methods,
    clips_for_good,
    replace_skipping,
    counter,
    updated_variables,
    set_updated_variables,
    state_variables,
    averages,
    accumulators,
    rate,
    compiles_draws,
    draws_replaced,
    without_tensorflow,
    calls_of,
    build_from,
    native,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_private_name_means_what_we_think(check):
    check()


def test_a_recurrent_layer_runs_over_time_as_keras_has_it():
    layer = keras.layers.GRU(2, return_sequences=True)
    x = keras.ops.convert_to_tensor(np.ones((3, 4, 5), "float32"))
    expected = keras.ops.convert_to_numpy(layer(x))
    assert keras_private.loops_as_keras_does(layer)

    class Own(keras.layers.GRU):
        def inner_loop(self, *arguments, **more):
            raise NotImplementedError

    assert not keras_private.loops_as_keras_does(Own(2))

    def step(inputs, states):
        return layer.cell(inputs[0], states)

    start = [keras.ops.zeros((3, 2))]
    _, outputs, _ = keras_private.rnn(layer, step, (x,), start, None)
    outputs = keras.ops.convert_to_numpy(outputs)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.once
def test_a_loss_tells_what_its_config_lacks():
    huber = keras.losses.Huber(delta=1e-5)
    assert keras_private.loss_arguments(huber)["delta"] == 1e-5
    angle = keras.losses.CosineSimilarity(axis=1)
    assert keras_private.loss_arguments(angle)["axis"] == 1


_OF_LOGITS = [
    kind
    for kind in vars(keras.losses).values()
    if inspect.isclass(kind)
    and "from_logits" in inspect.signature(kind.__init__).parameters
]


@pytest.mark.once
@pytest.mark.parametrize("kind", _OF_LOGITS, ids=lambda kind: kind.__name__)
def test_a_loss_of_logits_is_known_as_one(kind):
    # Some releases keep it as an attribute, others among the arguments alone.
    for logits in (False, True):
        model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
        model.compile("sgd", kind(from_logits=logits))
        (output,) = outputs.outputs_of(model)
        assert output.from_logits == logits
        assert output.loss is not None


@pytest.mark.once
def test_each_function_is_checked():
    own = pathlib.Path(keras_private.__file__)
    tree = ast.parse(own.read_text())
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    wanted = {f.name for f in functions if not f.name.startswith("_")}
    text = pathlib.Path(__file__).read_text()
    assert not [name for name in wanted if f"keras_private.{name}(" not in text]
