"""Loops of the user's own are watched as `fit` is."""

import functools
import sys

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from keras_gradguard.recording import loop as recording_loop
from keras_gradguard.trace.series import DATA_SERIES
from keras_gradguard.trace.series import OUTPUT_STATISTICS
from tests import models

STEPS, BATCH = 21, 8
# Measured at some steps, by variable.
MEASURED = (
    *("weight_norm", "update_norm", "update_ratio"),
    *("zero_fraction", "distance", "epoch_change"),
)


def made():
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    # Shallow: each loop traces or compiles every layer anew.
    model = models.mlp(width=8, depth=1, activation="relu")
    return model, keras.optimizers.Adam(0.01, global_clipnorm=0.5)


def batches(steps=STEPS):
    x, y = models.dataset(BATCH * steps)
    for i in range(steps):
        rows = slice(BATCH * i, BATCH * i + BATCH)
        yield x[rows], y[rows]


def fitted(callbacks=()):
    model, optimizer = made()
    model.compile(optimizer, models.crossentropy())
    x, y = models.dataset(BATCH * STEPS)
    model.fit(
        x,
        y,
        batch_size=BATCH,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )
    return model


def one_batch_each(model, optimizer, data, watched):
    model.compile(optimizer, models.crossentropy())
    with watched(model, None):
        for x, y in data:
            model.train_on_batch(x, y)


def by_hand(kind):
    def run(model, optimizer, data, watched):
        step = STEP[keras.backend.backend()](model, optimizer, kind)
        with watched(model, optimizer):
            if kind == "compiled inside":
                step = STEP[keras.backend.backend()](model, optimizer, kind)
            for x, y in data:
                step(x, y)
            getattr(step, "finish", lambda: None)()

    return run


def loss_by(kind, model, optimizer):
    """Function of a batch and the outputs: one of ours, or the model's."""
    loss_of = models.crossentropy()
    if not kind.startswith("its loss"):
        return lambda x, y, outputs: loss_of(y, outputs)
    model.compile(optimizer, loss_of)
    return lambda x, y, outputs: model.compute_loss(x, y, outputs)


def tensorflow_step(model, optimizer, kind):
    import tensorflow as tf

    loss_of = loss_by(kind, model, optimizer)

    def step(x, y):
        with tf.GradientTape() as tape:
            loss = loss_of(x, y, model(x, training=True))
        weights = model.trainable_variables
        optimizer.apply(
            tape.gradient(loss, [w.value for w in weights]), weights
        )

    if kind in ("eager", "its loss"):
        return step
    return tf.function(step, jit_compile=kind == "xla")


def torch_step(model, optimizer, kind):
    import torch

    loss_of = loss_by(kind, model, optimizer)

    def step(x, y):
        model.zero_grad()
        loss_of(x, y, model(x, training=True)).backward()
        weights = model.trainable_weights
        with torch.no_grad():
            optimizer.apply([w.value.grad for w in weights], weights)

    return step


def jax_step(model, optimizer, kind):
    import jax

    loss_of = loss_by(kind, model, optimizer)
    optimizer.build(model.trainable_variables)
    state = [
        [v.value for v in variables]
        for variables in (
            model.trainable_variables,
            optimizer.variables,
            model.non_trainable_variables,
        )
    ]

    def loss(weights, fixed, x, y):
        outputs, fixed = model.stateless_call(weights, fixed, x, training=True)
        return loss_of(x, y, outputs), fixed

    def update(weights, variables, fixed, x, y):
        find = jax.grad(loss, has_aux=True)
        gradients, fixed = find(weights, fixed, x, y)
        applied = optimizer.stateless_apply(variables, gradients, weights)
        return *applied, fixed

    if kind not in ("eager", "its loss"):
        update = jax.jit(update)

    def step(x, y):
        state[:] = update(*state, x, y)

    def finish():
        for variable, value in zip(
            model.trainable_variables, state[0], strict=True
        ):
            variable.assign(value)

    step.finish = finish
    return step


STEP = {"tensorflow": tensorflow_step, "torch": torch_step, "jax": jax_step}
LOOPS = {
    "train_on_batch": one_batch_each,
    "eager": by_hand("eager"),
    "its loss": by_hand("its loss"),
    "compiled outside": by_hand("compiled outside"),
    "compiled inside": by_hand("compiled inside"),
    "xla": by_hand("xla"),
    "its loss, compiled": by_hand("its loss, compiled"),
}
# Elsewhere the others are the same program once more.
DIFFER = {
    "jax": [kind for kind in LOOPS if kind != "xla"],
    "torch": ["train_on_batch", "eager", "its loss"],
}
OWN_LOSS = ("train_on_batch", "its loss", "its loss, compiled")


class Watched:
    """A context that watches; the monitor stays."""

    def __init__(self, **arguments):
        self.arguments = {"verbose": 0, **arguments}
        self.monitor = None

    def __call__(self, model, optimizer):
        self.context = kgg.watch(model, optimizer, **self.arguments)
        return self

    def __enter__(self):
        self.monitor = self.context.__enter__()

    def __exit__(self, *error):
        return self.context.__exit__(*error)


class Unwatched(Watched):
    def __enter__(self):
        pass

    def __exit__(self, *error):
        return None


@pytest.fixture(scope="module")
def fits():
    """What a watched `fit` records; each loop is held against it."""
    monitor = kgg.GradientMonitor(verbose=0)
    fitted([monitor])
    return monitor.trace


# Where it is compiled only matters to what watches.
SAME_UNWATCHED = {"compiled inside": "compiled outside"}


@functools.cache
def unwatched(loop):
    """The weights after a loop that nothing watches."""
    model, optimizer = made()
    LOOPS[loop](model, optimizer, batches(), Unwatched())
    return model.get_weights()


@pytest.mark.optimized
@pytest.mark.parametrize("loop", DIFFER.get(keras.backend.backend(), LOOPS))
def test_a_loop_is_recorded_as_fit_is_and_nothing_changes(loop, fits):
    plain = unwatched(SAME_UNWATCHED.get(loop, loop))
    model, optimizer = made()
    watched = Watched()
    LOOPS[loop](model, optimizer, batches(), watched)
    for a, b in zip(plain, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    ours = watched.monitor.trace
    assert ours.layers.tolist() == fits.layers.tolist()
    assert ours.steps.tolist() == list(range(STEPS))
    np.testing.assert_allclose(
        ours.get("grad_norm", by="variable"),
        fits.get("grad_norm", by="variable"),
        rtol=1e-6,
        atol=1e-7,
    )
    np.testing.assert_allclose(
        ours.clipped_grad_norm, fits.clipped_grad_norm, rtol=1e-6
    )
    ours_at, fits_at = ours.update_steps.tolist(), fits.update_steps.tolist()
    common = [s for s in (0, 1, 2, 4, 16) if s in ours_at and s in fits_at]
    assert len(common) == 5
    for name in MEASURED:
        own, theirs = (
            values[np.isin(steps, common)]
            for steps, values in (
                trace.measured(name, by="variable") for trace in (ours, fits)
            )
        )
        np.testing.assert_allclose(own, theirs, rtol=1e-6, atol=1e-7)
    # Only the model's own loss is known.
    knows_loss = loop in OWN_LOSS
    assert ("loss" in ours.extra) == knows_loss
    if knows_loss:
        np.testing.assert_allclose(
            ours.extra["loss"], fits.extra["loss"], rtol=1e-6
        )
    check_forward(ours, fits, knows_loss)
    assert not {"apply", "stateless_apply", "_clip_gradients"} & set(
        vars(optimizer)
    )
    for layer in [model, *model.layers]:
        assert not {"call", "compute_loss"} & set(vars(layer))


def check_forward(ours, fits, knows_loss):
    """Activations and batches are those of `fit`, at the steps of both."""
    assert ours.sites.tolist() == fits.sites.tolist()
    common = np.intersect1d(ours.activation_steps, fits.activation_steps)
    assert common.tolist() == [0, 1, 2, 4, 16]

    def at_common(trace, values):
        return values[np.isin(trace.activation_steps, common)]

    for name in OUTPUT_STATISTICS:
        np.testing.assert_allclose(
            at_common(ours, ours.activation(name)),
            at_common(fits, fits.activation(name)),
            rtol=1e-6,
            atol=1e-6,
            err_msg=name,
        )
    known = set()
    for name in DATA_SERIES:
        own = at_common(ours, ours.data(name))
        theirs = at_common(fits, fits.data(name))
        if np.isfinite(own).all():
            known.add(name)
        elif not knows_loss:
            continue
        np.testing.assert_allclose(
            own, theirs, rtol=1e-6, atol=1e-6, err_msg=name
        )
    assert {"input_mean", "input_std", "output_mean", "output_std"} <= known
    assert knows_loss == ("target_mean" in known)


WEIGHTED = [0.25, 3.0]


def told_losses(step, model, targets_of=lambda y: y, steps=12):
    """What a loop returned as the loss of each batch, and what was seen."""
    told = []
    with kgg.watch(model, verbose=0) as monitor:
        for i, (x, y) in enumerate(batches(steps)):
            told.append(step(model, x, targets_of(y)))
            if i % 3 == 2:
                # The loss of a validation is not that of a step.
                model.test_on_batch(x, targets_of((y + 1) % 3))
    return told, monitor.trace


@pytest.mark.parametrize(
    "compiled",
    [
        {"run_eagerly": True},
        {"jit_compile": False},
        {"jit_compile": "auto"},
        {"loss_weights": WEIGHTED},
        {"jit_compile": False, "loss_weights": WEIGHTED},
    ],
)
def test_train_on_batch_tells_the_loss_of_each_batch(compiled, backend):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(8, "tanh")(inputs)
    outputs, loss = [keras.layers.Dense(1)(hidden) for _ in WEIGHTED], "mse"
    if "loss_weights" not in compiled:
        outputs = outputs[0]
    else:
        loss = [loss] * len(outputs)
    model = keras.Model(inputs, outputs)
    model.compile("sgd", loss, **compiled)

    def targets_of(y):
        # Of several outputs the targets are far apart: weights count.
        y = y.astype("float32").reshape(-1, 1)
        return [y, y + 4] if "loss_weights" in compiled else y

    def step(model, x, y):
        # Keras 3.10 gives the mean over all batches so far.
        model.reset_metrics()
        return float(np.ravel(model.train_on_batch(x, y))[0])

    told, trace = told_losses(step, model, targets_of)
    weighted = "loss_weights" in compiled
    if backend == "tensorflow" and weighted and not model.jit_compile:
        # Reading it would change its last bits.
        assert "loss" not in trace.extra
        return
    np.testing.assert_allclose(trace.extra["loss"], told, rtol=1e-5)
    assert "compute_loss" not in vars(model)


def test_a_loop_that_asks_the_model_for_its_loss(backend):
    if backend == "jax":
        pytest.skip("the loop carries the state itself: see `jax_step`")
    model, optimizer = made()
    model.compile(optimizer, models.crossentropy())
    told = []
    if backend == "tensorflow":
        import tensorflow as tf

        def step(model, x, y):
            with tf.GradientTape() as tape:
                loss = model.compute_loss(x, y, model(x, training=True))
            weights = model.trainable_variables
            optimizer.apply(
                tape.gradient(loss, [w.value for w in weights]), weights
            )
            return loss
    else:
        import torch

        def step(model, x, y):
            model.zero_grad()
            y = keras.ops.convert_to_tensor(y)
            loss = model.compute_loss(x, y, model(x, training=True))
            loss.backward()
            weights = model.trainable_weights
            with torch.no_grad():
                optimizer.apply([w.value.grad for w in weights], weights)
            return loss.detach()

    told, trace = told_losses(step, model)
    assert trace.extra["loss"].tolist() == [float(loss) for loss in told]


@pytest.mark.once
@pytest.mark.parametrize(("rate", "said"), [(1e-7, "fall"), (0.05, "Healthy")])
def test_a_loop_is_judged_by_its_loss(rate, said):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(16, "relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile(keras.optimizers.SGD(rate), "mse")
    x = np.random.default_rng(0).normal(size=(128, 16, 8)).astype("float32")
    with kgg.watch(model, verbose=0) as monitor:
        for i in range(256):
            rows = x[i % 128]
            model.train_on_batch(rows, rows[:, :1] + rows[:, 1:2])
    report = monitor.report()
    assert said in str(report)
    assert report.healthy is (said == "Healthy")


def test_a_loss_that_cannot_be_kept_takes_nothing_along(monkeypatch, recwarn):
    from keras_gradguard.recording.step import loop_loss

    def broken(self, loss):
        self._parts.wanted.add(loop_loss.LOSS)
        raise ValueError("broken")

    monkeypatch.setattr(loop_loss.LoopLoss, "_keep", broken)
    model, optimizer = made()
    watched = Watched()
    LOOPS["train_on_batch"](model, optimizer, batches(9), watched)
    trace = watched.monitor.trace
    assert trace.steps.tolist() == list(range(9))
    assert np.isfinite(trace.get("grad_norm")).all()
    assert "loss" not in trace.extra
    (told,) = [w for w in recwarn if w.category is kgg.GradGuardWarning]
    assert "the loss of each step" in str(told.message)


def test_a_long_loop_loses_no_record():
    model, optimizer = made()
    watched = Watched()
    # The ring has 512 rows.
    LOOPS["compiled outside"](model, optimizer, batches(530), watched)
    assert watched.monitor.trace.records_seen == 530


def test_what_runs_on_the_host_is_not_converted_by_autograph(
    backend, monkeypatch
):
    """All of the diagnosis was: 700 steps took 29 CPU seconds, and now 3."""
    if backend != "tensorflow":
        pytest.skip("tf.function converts what it traces")
    from keras_gradguard._backend.tensorflow import loops

    ended, files = recording_loop.LoopRecording._call_ended, set()

    def noted(self, function):
        files.add(sys._getframe(1).f_code.co_filename)
        return ended(self, function)

    monkeypatch.setattr(recording_loop.LoopRecording, "_call_ended", noted)
    for kind in ("compiled outside", "xla"):
        model, optimizer = made()
        LOOPS[kind](model, optimizer, batches(4), Watched())
    assert files == {loops.__file__}


def test_a_step_compiled_before_is_told_once(backend, recwarn):
    if backend == "torch":
        pytest.skip("torch compiles nothing")
    model, optimizer = made()
    step = STEP[backend](model, optimizer, "compiled")
    data = list(batches(4))
    step(*data[0])
    with kgg.watch(model, optimizer, verbose=0) as monitor:
        for x, y in data[1:]:
            step(x, y)
    told = [w for w in recwarn if w.category is kgg.GradGuardWarning]
    assert len(told) == 1
    assert "compiled before" in str(told[0].message)
    assert monitor.report().healthy is None


def test_the_optimizer_that_is_not_applied_is_told():
    model, optimizer = made()
    other = keras.optimizers.SGD()
    with (
        pytest.warns(kgg.GradGuardWarning, match="applies another one"),
        kgg.watch(model, other, verbose=0),
    ):
        LOOPS["eager"](model, optimizer, batches(3), Unwatched())


def test_an_exception_in_the_loop_leaves_nothing():
    model, optimizer = made()
    watched = Watched()

    def data():
        yield from batches(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LOOPS["eager"](model, optimizer, data(), watched)
    monitor = watched.monitor
    assert monitor.trace.steps.tolist() == [0, 1, 2]
    assert "apply" not in vars(optimizer)
    LOOPS["eager"](model, optimizer, batches(3), Unwatched())


def test_two_networks_with_an_optimizer_each():
    keras.utils.set_random_seed(1)
    first, second = models.mlp(), models.mlp()
    optimizers = [keras.optimizers.SGD(0.1), keras.optimizers.Adam()]
    steps = [
        STEP[keras.backend.backend()](m, o, "eager")
        for m, o in zip((first, second), optimizers, strict=True)
    ]
    with (
        kgg.watch(first, optimizers[0], verbose=0) as one,
        kgg.watch(second, optimizers[1], verbose=0) as two,
    ):
        for i, (x, y) in enumerate(batches(12)):
            steps[0](x, y)
            if i % 3 == 0:
                steps[1](x, y)
    assert one.trace.steps.tolist() == list(range(12))
    assert two.trace.steps.tolist() == list(range(4))


def test_a_model_with_two_optimizers(backend):
    if backend == "jax":
        pytest.skip("its train step carries one optimizer")
    keras.utils.set_random_seed(1)
    model = models.gan(critic_steps=3)
    model.compile(keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.1))
    x, _ = models.dataset(160)
    order = [model.g_optimizer, model.d_optimizer]
    with kgg.watch(model, order, verbose=0) as monitor:
        for i in range(10):
            model.train_on_batch(x[16 * i : 16 * i + 16])
    assert monitor.trace.steps.tolist() == list(range(10))
    assert np.isfinite(monitor.trace.get("grad_norm")).all()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (lambda m, o: (m,), ValueError, "`optimizer` must be given"),
        (lambda m, o: (o,), TypeError, "`model` must be a Keras model"),
        (lambda m, o: (m, "adam"), TypeError, "must be a Keras optimizer"),
    ],
)
def test_arguments(arguments, error, match):
    with pytest.raises(error, match=match), kgg.watch(*arguments(*made())):
        pass
