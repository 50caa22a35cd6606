"""A fit is left by an exception that lives on, as a notebook keeps it."""

import copy
import pickle

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard.recording import dispatcher
from keras_gradguard.recording import fit_exit
from keras_gradguard.recording import instrument
from keras_gradguard.recording import recording
from keras_gradguard.recording import schedule
from keras_gradguard.recording import updates
from tests import models
from tests import params


class Data(keras.utils.PyDataset):
    """Eight batches; raises when asked for one of them."""

    def __init__(self, fails_at=None, error=KeyboardInterrupt, hook=None):
        super().__init__()
        self.epochs = 0
        self.fails_at, self.error, self.hook = fails_at, error, hook

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == self.fails_at:
            raise self.error("on purpose")
        x, y = models.dataset(64)
        return x[8 * index : 8 * index + 8], y[8 * index : 8 * index + 8]

    def on_epoch_end(self):
        self.epochs += 1  # the first call comes before the fit begins
        if self.hook == "on_epoch_end" and self.epochs > 1:
            raise self.error("on purpose")


class BrokenMetric(keras.metrics.Mean):
    """Its result raises outside of any step, callback and data."""

    armed = False

    def result(self):
        if BrokenMetric.armed:
            raise KeyboardInterrupt("on purpose")
        return super().result()

    def update_state(self, y, y_pred, sample_weight=None):
        return super().update_state(y_pred)


def compiled(**kwargs):
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(5)
    # Shallow: it is traced or compiled several times in each test.
    model = models.mlp(width=8, depth=1, activation="relu")
    model.compile("adam", models.crossentropy(), **kwargs)
    return model


@pytest.fixture(scope="module")
def unwatched():
    """Unwatched models, each compiled once, given back as they were made."""
    made = {}

    def as_made(metrics=()):
        if metrics not in made:
            model = compiled(metrics=[metric() for metric in metrics])
            model.optimizer.build(model.trainable_variables)
            state = [*model.variables, *model.optimizer.variables]
            values = models.to_numpy(state)
            made[metrics] = model, set(vars(model)), state, values
        model, known, state, values = made[metrics]
        for name in set(vars(model)) - known:
            delattr(model, name)
        for variable, value in zip(state, values, strict=True):
            variable.assign(value)
        keras.utils.set_random_seed(5)
        return model

    return as_made


def left(model):
    """What of a fit could still be seen on the model."""
    return (
        type(model.train_function).__name__,
        sorted(model.__dict__),
        sorted(model.optimizer.__dict__),
        [v.path for v in model.optimizer.variables],
        [sorted(layer.__dict__) for layer in model.layers],
    )


def interrupted(model, arguments, callbacks):
    """Train until it raises, and return what it raised."""
    try:
        model.fit(
            **{
                "x": Data(),
                "verbose": 0,
                "shuffle": False,
                "epochs": 2,
                **arguments,
            },
            callbacks=callbacks,
        )
    except BaseException as error:
        return error
    pytest.fail("nothing was raised")


class Raises(keras.callbacks.Callback):
    """Raises in a hook; its arming comes before."""

    def __init__(self, hook, error=KeyboardInterrupt):
        super().__init__()

        def fail(*args, **kwargs):
            raise error("on purpose")

        setattr(self, hook, fail)


WAYS = {
    "data": lambda: {"x": Data(5)},
    "error in the data": lambda: {"x": Data(5, OSError)},
    "end of the data": lambda: {"x": Data(hook="on_epoch_end")},
    "validation": lambda: {"validation_data": Data(5)},
    "error in the validation": lambda: {"validation_data": Data(5, OSError)},
    "callback": lambda: {"callbacks": [Raises("on_epoch_end")]},
    "test callback": lambda: {
        "callbacks": [Raises("on_test_batch_end", ValueError)],
        "validation_data": Data(),
    },
}


def watching():
    return [kgg.GradientMonitor(verbose=0), kgg.DeadReLUDetector(verbose=0)]


@pytest.mark.optimized
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_left_though_the_exception_lives(way, unwatched):
    plain, watched = unwatched(), compiled()
    others = WAYS[way]().pop("callbacks", [])
    arguments = {k: v for k, v in WAYS[way]().items() if k != "callbacks"}
    kept = [interrupted(plain, arguments, list(others))]
    arguments = {k: v for k, v in WAYS[way]().items() if k != "callbacks"}
    callbacks = watching()
    kept.append(interrupted(watched, arguments, [*others, *callbacks]))
    assert left(watched) == left(plain)
    assert len(callbacks[0].trace.steps)
    for model in (plain, watched):
        model.fit(Data(), shuffle=False, verbose=0)
    monitor, detector = watching()
    start = int(watched.optimizer.iterations)
    plain.fit(Data(), shuffle=False, verbose=0)
    watched.fit(Data(), shuffle=False, verbose=0, callbacks=[monitor, detector])
    assert monitor.trace.steps.tolist() == list(range(start, start + 8))
    assert left(watched) == left(plain)
    for a, b in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(error is not None for error in kept)


# Our own code in which Ctrl-C may come, in the order in which it runs.
OURS = (
    (updates.Updates, "__init__"),
    (instrument.Instrument, "attach"),
    (dispatcher.Dispatcher, "prepare"),
    (fit_exit.FitExit, "watch"),
    (kgg.GradientMonitor, "_begin"),
    (schedule.Schedule, "next_mode"),
    (instrument.Instrument, "_set_mode"),
    (dispatcher.Dispatcher, "drain"),
    (recording.Recording, "_sync"),
    (fit_exit.FitExit, "stop"),
    (instrument.Instrument, "detach"),
)


# Every backend sees each place, from one side.
SIDES = [(place, late) for place in OURS for late in (False, True)]


@pytest.mark.optimized
@pytest.mark.parametrize(
    ("place", "late"),
    params.once_but(lambda place, late: OURS.index(place) % 2 == late, SIDES),
    ids=lambda part: part[1] if isinstance(part, tuple) else str(part),
)
def test_ctrl_c_in_our_own_code(place, late, unwatched, monkeypatch):
    owner, name = place
    original = getattr(owner, name)
    raised = []

    def stopped(*args, **kwargs):
        if late:
            result = original(*args, **kwargs)
        if not raised:
            raised.append(place)
            raise KeyboardInterrupt("on purpose")
        return result if late else original(*args, **kwargs)

    plain, watched = unwatched(), compiled()
    watched.optimizer.build(watched.trainable_variables)
    before = left(watched)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stopped)
        kept = interrupted(watched, {}, watching())
    assert raised
    assert isinstance(kept, KeyboardInterrupt)
    # Keras may have made a train function.
    assert left(watched)[2:] == before[2:]
    assert left(watched)[0] != "Dispatcher"
    assert not {"make_train_function", "evaluate"} & {*vars(watched)}
    state = [*watched.variables, *watched.optimizer.variables]
    others = [*plain.variables, *plain.optimizer.variables]
    for variable, value in zip(others, models.to_numpy(state), strict=True):
        variable.assign(value)
    for model in (plain, watched):
        keras.utils.set_random_seed(6)
        model.fit(Data(), shuffle=False, verbose=0)
    start = int(watched.optimizer.iterations)
    monitor, detector = watching()
    plain.fit(Data(), shuffle=False, verbose=0)
    watched.fit(Data(), shuffle=False, verbose=0, callbacks=[monitor, detector])
    assert monitor.trace.steps.tolist() == list(range(start, start + 8))
    assert left(watched) == left(plain)
    for a, b in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_weights_outlive_a_first_step_that_breaks_off(error):
    """Keras on JAX loses them then, unwatched."""
    model, inner, begun = compiled(), models.crossentropy(), []

    def loss(y, outputs):
        if begun:
            raise error("on purpose")
        return inner(y, outputs)

    model.compile("adam", loss)
    model.optimizer.build(model.trainable_variables)
    begins = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: begun.append(batch)
    )
    state = [*model.variables, *model.optimizer.variables]
    before = models.to_numpy(state)
    kept = interrupted(model, {}, [begins, *watching()])
    assert isinstance(kept, error)
    for value, other in zip(models.to_numpy(state), before, strict=True):
        np.testing.assert_array_equal(value, other)


@pytest.mark.parametrize("donated", [False, True])
def test_an_error_of_the_first_step_is_told_as_it_is(donated, monkeypatch):
    model, original = compiled(), dispatcher.Dispatcher._variant

    def fails(*args):
        def step(*given):
            if donated:
                original(*args)(*given)
            raise ArithmeticError("on purpose")

        return step

    monkeypatch.setattr(dispatcher.Dispatcher, "_variant", fails)
    kept = interrupted(model, {}, [kgg.DeadReLUDetector(verbose=0)])
    assert isinstance(kept, ArithmeticError)


@pytest.mark.optimized
@pytest.mark.parametrize("next_fit", ["plain", "watched", "one batch"])
def test_what_is_left_between_two_hooks_the_next_call_undoes(
    next_fit, unwatched
):
    BrokenMetric.armed = False
    plain = unwatched((BrokenMetric,))
    watched = compiled(metrics=[BrokenMetric()])
    kept = []
    for model, callbacks in ((plain, []), (watched, watching())):
        BrokenMetric.armed = False
        model.fit(Data(), shuffle=False, verbose=0)

        class Arms(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                BrokenMetric.armed = batch == 7

        if keras.backend.backend() == "tensorflow":
            # The step itself would call it: leave by the validation's data.
            arguments = {"validation_data": (np.zeros(3), np.zeros(2))}
            kept.append(interrupted(model, arguments, callbacks))
        else:
            kept.append(interrupted(model, {}, [*callbacks, Arms()]))
        BrokenMetric.armed = False
    monitor = kgg.GradientMonitor(verbose=0)
    x, y = Data()[0]
    if next_fit == "one batch":
        plain.train_on_batch(x, y)
        watched.train_on_batch(x, y)
    else:
        plain.fit(Data(), shuffle=False, verbose=0)
        start = int(watched.optimizer.iterations)
        callbacks = [monitor] if next_fit == "watched" else []
        watched.fit(Data(), shuffle=False, verbose=0, callbacks=callbacks)
        if callbacks:
            assert monitor.trace.steps.tolist() == [*range(start, start + 8)]
    assert left(watched) == left(plain)
    for a, b in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(kept) == 2


def test_a_callback_that_evaluates_and_catches_is_no_end(backend):
    if backend == "jax":
        pytest.skip("Keras on JAX then has lost the weights, watched or not")

    class Evaluates(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            try:
                self.model.evaluate(Data(3, OSError), verbose=0)
            except Exception:
                self.caught = True

    model, monitor = compiled(), kgg.GradientMonitor(verbose=0)
    evaluates = Evaluates()
    model.fit(Data(), epochs=3, verbose=0, callbacks=[monitor, evaluates])
    assert evaluates.caught
    assert monitor.trace.steps.tolist() == list(range(24))


def test_a_fit_inside_of_an_except_block_is_no_interrupted_one():
    model, monitor = compiled(), kgg.GradientMonitor(verbose=0)
    try:
        raise ValueError("an earlier one")
    except ValueError:
        model.fit(Data(), epochs=2, verbose=0, callbacks=[monitor])
    assert len(monitor.trace.steps) == 16
    assert len(monitor.trace.epochs) == 2


def test_a_run_directory_is_complete_after_an_interrupted_fit(tmp_path):
    model = compiled()
    monitor = kgg.GradientMonitor(log_dir=tmp_path, verbose=0)
    kept = interrupted(model, {"validation_data": Data(5)}, [monitor])
    trace = kgg.Trace.load(tmp_path / "trace.npz")
    assert trace.steps.tolist() == list(range(8))
    assert isinstance(kept, BaseException)


@pytest.fixture(
    scope="module", params=["well", "by an exception", "never began"]
)
def ended(request, tmp_path_factory):
    """Callbacks after a fit; how it ended is in the name."""
    folder = tmp_path_factory.mktemp("ended")
    callbacks = [
        kgg.GradientMonitor(log_dir=folder / "a", verbose=0),
        kgg.DeadReLUDetector(log_dir=folder / "b", verbose=0, revive=True),
    ]
    if request.param == "well":
        compiled().fit(Data(), shuffle=False, verbose=0, callbacks=callbacks)
    elif request.param == "by an exception":
        interrupted(compiled(), {"x": Data(5)}, callbacks)
    return callbacks


@pytest.mark.parametrize(
    "make",
    params.once_but(
        lambda make: make is copy.deepcopy, [copy.copy, copy.deepcopy, "pickle"]
    ),
)
def test_callbacks_can_be_copied(make, ended):
    if make == "pickle":
        make = lambda value: pickle.loads(pickle.dumps(value))  # noqa: E731
    callbacks = ended
    copies = [make(callback) for callback in callbacks]
    for callback, other in zip(callbacks, copies, strict=True):
        assert str(other.report()) == str(callback.report())
        assert make(callback.report()).findings == callback.findings
        steps = callback.trace.steps.tolist()
        assert make(callback.trace).steps.tolist() == steps
    before = [callback.trace.steps.tolist() for callback in callbacks]
    compiled().fit(Data(), shuffle=False, verbose=0, epochs=2, callbacks=copies)
    assert len(copies[0].trace.steps) == 16
    assert [c.trace.steps.tolist() for c in callbacks] == before


def test_an_optimizer_that_clips_can_be_copied():
    optimizer = kgg.AutoClip(keras.optimizers.Adam())
    model = models.mlp()
    model.compile(optimizer, models.crossentropy())
    model.fit(
        Data(),
        shuffle=False,
        verbose=0,
        callbacks=[kgg.GradientMonitor(verbose=0)],
    )
    config = keras.optimizers.serialize(optimizer)
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(config))):
        assert other is not None
