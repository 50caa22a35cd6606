import keras
import numpy as np
import pytest
from keras import ops

import keras_gradguard as kgg
from keras_gradguard.exceptions import GradGuardWarning

BACKEND = keras.backend.backend()
JITS = {"jax": [True], "torch": [False], "tensorflow": [False, True]}[BACKEND]


def tensor(values):
    return ops.convert_to_tensor(np.asarray(values, "float32"))


def numbers(variables):
    return [ops.convert_to_numpy(v).copy() for v in variables]


def make_model(optimizer, jit=None):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="tanh"),
            keras.layers.Dense(1),
        ]
    )
    jit = JITS[0] if jit is None else jit
    model.compile(optimizer, loss="mse", jit_compile=jit)
    return model


def make_data(bad_rows=(), bad=np.nan):
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = x[:, :1] * 2
    x[list(bad_rows)] = bad
    return x, y


def fit(model, x, y, **kwargs):
    kwargs = {"batch_size": 8, "shuffle": False, "verbose": 0, **kwargs}
    return model.fit(x, y, **kwargs)


def apply_norms(optimizer, norms, size=3):
    """Apply gradients of given norms and return the norms applied."""
    variable = keras.Variable(np.zeros(size, "float32"))
    direction = np.ones(size) / np.sqrt(size)
    applied = []
    for norm in norms:
        before = ops.convert_to_numpy(variable).copy()
        optimizer.apply([tensor(direction * norm)], [variable])
        after = ops.convert_to_numpy(variable)
        applied.append(float(np.linalg.norm(after - before)))
    return applied


def test_threshold_follows_the_norms():
    optimizer = kgg.AutoClip(keras.optimizers.SGD(1.0), percentile=50)
    applied = apply_norms(optimizer, [4, 2, 8, 1, 16])
    np.testing.assert_allclose(applied, [4, 2, 4, 1, 4], rtol=1e-5)
    assert optimizer.threshold == pytest.approx(4.0)
    assert optimizer.last_norm == pytest.approx(16.0)
    assert optimizer.clipped_fraction == pytest.approx(2 / 5)
    assert optimizer.skipped_steps == 0


def test_attributes_before_the_first_update():
    optimizer = kgg.AutoClip("sgd")
    assert optimizer.threshold == float("inf")
    assert optimizer.last_norm == 0.0
    assert optimizer.clipped_fraction == 0.0
    assert optimizer.skipped_steps == 0


@pytest.mark.parametrize("clipper", ["percentile", "zscore"])
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_clipping_does_not_depend_on_the_scale_of_the_loss(clipper, scale):
    norms = np.random.default_rng(0).lognormal(size=12)
    norms[9] = 100.0
    short = {"warmup_steps": 5} if clipper == "zscore" else {}
    one = kgg.AutoClip(keras.optimizers.SGD(1.0), clipper, **short)
    other = kgg.AutoClip(keras.optimizers.SGD(1.0), clipper, **short)
    expected = np.asarray(apply_norms(one, norms))
    # Weights of 1e8 and more have no room for small updates.
    other.learning_rate = 1.0 / scale
    found = np.asarray(apply_norms(other, norms * scale))
    np.testing.assert_allclose(found, expected, rtol=2e-4)
    assert other.clipped_fraction == one.clipped_fraction
    assert one.clipped_fraction > 0


def test_zero_norms_are_not_recorded():
    optimizer = kgg.AutoClip(keras.optimizers.SGD(1.0), percentile=0)
    applied = apply_norms(optimizer, [0, 2, 0, 3])
    np.testing.assert_allclose(applied, [0, 2, 0, 2], rtol=1e-5)


def test_norm_keeps_the_direction_and_value_does_not():
    gradient = [0.9, 100.0]
    for clipper, expected in (
        ("norm", [0.00899964, 0.9999595]),
        ("value", [0.9, 1.0]),
    ):
        variable = keras.Variable(np.zeros(2, "float32"))
        optimizer = kgg.AutoClip(
            keras.optimizers.SGD(1.0), clipper, threshold=1.0
        )
        optimizer.apply([tensor(gradient)], [variable])
        np.testing.assert_allclose(
            -ops.convert_to_numpy(variable), expected, rtol=1e-5
        )
        assert optimizer.threshold == 1.0
        assert optimizer.clipped_fraction == 1.0


def test_huge_gradients_do_not_overflow():
    optimizer = kgg.AutoClip(keras.optimizers.SGD(1.0), "norm", threshold=1.0)
    assert apply_norms(optimizer, [1e25]) == pytest.approx([1.0])
    assert optimizer.last_norm == pytest.approx(1e25)


@pytest.mark.parametrize("jit", JITS)
def test_nonfinite_batch_is_left_out_whole(jit):
    def after_fit(x, y):
        inner = keras.optimizers.AdamW(1e-2, weight_decay=0.1, use_ema=True)
        optimizer = kgg.AutoClip(inner)
        model = make_model(optimizer, jit)
        fit(model, x, y)
        assert int(optimizer.iterations) == 6
        clipper = optimizer._clip_step.read()[1]
        return optimizer.skipped_steps, [
            *model.get_weights(),
            *numbers(inner.variables),
            clipper["history"],
            clipper["ranking"],
        ]

    x, y = make_data()
    good = np.r_[0:8, 16:32, 40:64]
    skipped, expected = after_fit(x[good], y[good])
    assert skipped == 0
    # Of an infinite target the gradient is infinite, and not NaN.
    x[9], y[33] = np.nan, np.inf
    skipped, found = after_fit(x, y)
    assert skipped == 2
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_nonfinite_microbatch_leaves_the_accumulators():
    variable = keras.Variable([0.0])
    inner = keras.optimizers.SGD(1.0, gradient_accumulation_steps=2)
    optimizer = kgg.AutoClip(inner, percentile=100)
    for gradient in (1.0, np.nan, 3.0):
        optimizer.apply([tensor([gradient])], [variable])
    np.testing.assert_allclose(ops.convert_to_numpy(variable), [-2.0])
    assert int(inner._iterations) == 2
    assert optimizer.skipped_steps == 1


@pytest.mark.parametrize("jit", JITS)
def test_zero_lets_the_counter_advance(jit):
    x, y = make_data(bad_rows=[9])
    optimizer = kgg.AutoClip("adam", nonfinite="zero")
    model = make_model(optimizer, jit)
    fit(model, x, y)
    assert optimizer.skipped_steps == 1
    assert int(optimizer.iterations) == 8
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_propagate_does_not_poison_the_history():
    x, y = make_data(bad_rows=[60])
    optimizer = kgg.AutoClip("adam", nonfinite="propagate")
    model = make_model(optimizer)
    fit(model, x, y)
    assert not np.isfinite(model.get_weights()[0]).all()
    assert np.isfinite(optimizer._clip_step.read()[1]["history"]).all()
    assert int(optimizer.iterations) == 8


def test_raise_stops_where_the_host_can_check():
    optimizer = kgg.AutoClip("sgd", nonfinite="raise")
    assert len(apply_norms(optimizer, [1.0])) == 1
    with pytest.raises(RuntimeError, match="gradients that are not finite"):
        apply_norms(kgg.AutoClip("sgd", nonfinite="raise"), [np.nan])


@pytest.mark.skipif(BACKEND == "torch", reason="torch compiles nothing here")
def test_raise_under_xla_is_refused():
    model = make_model(kgg.AutoClip("sgd", nonfinite="raise"), jit=True)
    with pytest.raises(RuntimeError, match="must be able to stop a step"):
        fit(model, *make_data())


@pytest.mark.skipif(BACKEND != "tensorflow", reason="a graph can assert")
def test_raise_in_a_tensorflow_graph():
    model = make_model(kgg.AutoClip("sgd", nonfinite="raise"), jit=False)
    with pytest.raises(Exception, match="gradients that are not finite"):
        fit(model, *make_data(bad_rows=[9]))


def test_a_row_of_skips_warns_with_its_first_step():
    optimizer = kgg.AutoClip("sgd", warn_after=3)
    with pytest.warns(GradGuardWarning, match="3 updates in a row.*step 2"):
        apply_norms(optimizer, [1.0, 1.0, np.nan, np.nan, np.nan])


def test_each_row_of_skips_warns_once():
    optimizer = kgg.AutoClip("sgd", warn_after=3)
    bad = [np.nan] * 5
    with pytest.warns(GradGuardWarning) as told:
        apply_norms(optimizer, [1.0, *bad, 1.0, *bad])
    messages = [str(w.message) for w in told if w.category is GradGuardWarning]
    assert len(messages) == 2
    for message, step in zip(messages, (1, 2), strict=True):
        assert "3 updates in a row had" in message
        assert f"since step {step}," in message


def test_a_row_of_skips_warns_at_the_end_of_fit():
    x, y = make_data(bad_rows=range(8, 64))
    model = make_model(kgg.AutoClip("sgd", warn_after=5))
    with pytest.warns(GradGuardWarning, match="updates in a row.*since step 1"):
        fit(model, x, y)


# XLA joins operations of neighbouring layers: there the net is deep.
@pytest.mark.optimized
@pytest.mark.parametrize(
    ("jit", "filters"),
    [(jit, (16, 16, 32, 32, 64, 64) if jit else (8, 16)) for jit in JITS],
)
def test_percentile_100_is_bit_equal_to_the_inner_optimizer(jit, filters):
    layers, side = keras.layers, 4 * len(filters)

    def train(wrap):
        keras.utils.set_random_seed(0)
        stack = [keras.Input((side, side, 3))]
        for i, count in enumerate(filters):
            stride = 2 if i % 2 else 1
            stack.append(
                layers.Conv2D(count, 3, strides=stride, padding="same")
            )
            stack.append(layers.BatchNormalization())
            stack.append(layers.ReLU())
        stack += [layers.GlobalAveragePooling2D(), layers.Dense(3)]
        model = keras.Sequential(stack)
        optimizer = wrap(keras.optimizers.Adam(1e-2))
        model.compile(optimizer, loss="mse", jit_compile=jit)
        x = np.random.default_rng(0).normal(size=(64, side, side, 3))
        y = np.random.default_rng(1).normal(size=(64, 3))
        fit(model, x.astype("float32"), y.astype("float32"), epochs=2)
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        return model.get_weights() + numbers(inner.variables)

    plain = train(lambda inner: inner)
    wrapped = train(lambda inner: kgg.AutoClip(inner, percentile=100))
    for a, b in zip(plain, wrapped, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("jit", JITS)
def test_accumulation_records_one_norm_per_update(jit):
    inner = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    optimizer = kgg.AutoClip(inner, percentile=100)
    plain = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    x, y = make_data()
    model, expected = make_model(optimizer, jit), make_model(plain, jit)
    fit(model, x, y)
    fit(expected, x, y)
    assert int(optimizer.iterations) == 4
    assert numbers([optimizer.clip_counts])[0][0] == 4
    history = optimizer._clip_step.read()[1]["history"]
    assert (history > 0).sum() == 4
    for a, b in zip(expected.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_loss_scale_factor_is_divided_out():
    plain = make_model(keras.optimizers.SGD(0.1))
    optimizer = kgg.AutoClip(keras.optimizers.SGD(0.1), percentile=100)
    optimizer.loss_scale_factor = 512.0
    assert optimizer.inner_optimizer.loss_scale_factor == 512.0
    scaled = make_model(optimizer)
    reference = kgg.AutoClip(keras.optimizers.SGD(0.1), percentile=100)
    unscaled = make_model(reference)
    for model in (plain, scaled, unscaled):
        fit(model, *make_data())
    assert optimizer.last_norm == pytest.approx(reference.last_norm, rel=1e-4)
    for a, b in zip(plain.get_weights(), scaled.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_mixed_float16_puts_the_loss_scale_outside():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, dtype="mixed_float16"),
            keras.layers.Dense(1, dtype="mixed_float16"),
        ]
    )
    model.dtype_policy = keras.DTypePolicy("mixed_float16")
    optimizer = kgg.AutoClip(keras.optimizers.SGD(0.01), percentile=50)
    outer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0)
    model.compile(outer, loss="mse", jit_compile=JITS[0])
    fit(model, *make_data(bad_rows=[9]))
    assert int(outer.iterations) == 7
    assert optimizer.skipped_steps == 0
    assert 0 < optimizer.last_norm < 100
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_ema_and_swap_callback():
    inner = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    optimizer = kgg.AutoClip(inner, percentile=100)
    plain = make_model(
        keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    )
    model = make_model(optimizer)
    x, y = make_data()
    for each in (plain, model):
        fit(
            each,
            x,
            y,
            validation_data=(x, y),
            callbacks=[keras.callbacks.SwapEMAWeights()],
        )
    for a, b in zip(plain.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_learning_rate_and_its_callbacks():
    optimizer = kgg.AutoClip(keras.optimizers.SGD(0.1))
    model = make_model(optimizer)
    schedule = keras.callbacks.LearningRateScheduler(lambda _, lr: lr / 2)
    fit(model, *make_data(), epochs=2, callbacks=[schedule])
    assert float(optimizer.learning_rate) == pytest.approx(0.025)
    assert float(optimizer.inner_optimizer.learning_rate) == pytest.approx(
        0.025
    )
    reduce = keras.callbacks.ReduceLROnPlateau(
        monitor="loss", factor=0.1, patience=0, min_delta=1e9
    )
    fit(model, *make_data(), epochs=2, callbacks=[reduce])
    assert float(optimizer.learning_rate) == pytest.approx(0.0025)
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 8, 0.5)
    scheduled = kgg.AutoClip(keras.optimizers.SGD(decay))
    fit(make_model(scheduled), *make_data())
    assert float(scheduled.learning_rate) == pytest.approx(0.05)


def test_weight_decay_exclusion_is_delegated():
    inner = keras.optimizers.SGD(1.0, weight_decay=0.1)
    optimizer = kgg.AutoClip(inner)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    kernel = keras.Variable([1.0], name="kernel")
    bias = keras.Variable([1.0], name="bias")
    optimizer.apply([tensor([0.0])] * 2, [kernel, bias])
    np.testing.assert_allclose(numbers([kernel, bias]), [[0.9], [1.0]])
    assert optimizer.weight_decay == 0.1


def test_none_gradients_are_passed_on():
    first, second = keras.Variable([1.0]), keras.Variable([1.0])
    optimizer = kgg.AutoClip(keras.optimizers.SGD(1.0), "unitwise")
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply([None, tensor([1.0])], [first, second])
    np.testing.assert_allclose(numbers([first, second]), [[1.0], [0.99]])


@pytest.mark.parametrize("clipper", ["percentile", "value", "unitwise"])
def test_embedding_with_repeated_ids(clipper):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.Embedding(6, 3),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    optimizer = kgg.AutoClip(keras.optimizers.Adam(0.1), clipper)
    # Where XLA looks at its rows is the same for all norms of a gradient.
    jit = JITS[-1 if clipper == "unitwise" else 0]
    model.compile(optimizer, loss="mse", jit_compile=jit)
    ids = np.array([[1, 1, 1, 2]] * 16)
    fit(model, ids, np.ones((16, 1), "float32"), epochs=2)
    assert np.isfinite(model.get_weights()[0]).all()
    assert 0 < optimizer.last_norm < 100


@pytest.mark.skipif(BACKEND != "tensorflow", reason="only TensorFlow has them")
@pytest.mark.parametrize("clipper", ["norm", "value"])
def test_repeated_rows_are_summed_before_they_are_clipped(clipper):
    import tensorflow as tf

    table = keras.Variable(np.zeros((4, 1), "float32"))
    rows = tf.IndexedSlices(tf.ones((4, 1)), tf.constant([2, 2, 2, 2]), (4, 1))
    optimizer = kgg.AutoClip(keras.optimizers.SGD(1.0), clipper)
    optimizer.apply([rows], [table])
    assert optimizer.last_norm == pytest.approx(4.0)
    np.testing.assert_allclose(
        ops.convert_to_numpy(table), [[0], [0], [-1], [0]], atol=1e-6
    )


@pytest.mark.skipif(BACKEND != "jax", reason="keras.distribution")
def test_jax_data_parallel_equals_one_device():
    import jax

    if jax.device_count() < 2:
        pytest.skip("needs two virtual devices")
    x, y = make_data(bad_rows=[9])
    single = make_model(kgg.AutoClip("adam", percentile=50))
    fit(single, x, y)
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    try:
        optimizer = kgg.AutoClip("adam", percentile=50)
        parallel = make_model(optimizer)
        fit(parallel, x, y)
    finally:
        keras.distribution.set_distribution(None)
    assert optimizer.skipped_steps == 1
    for a, b in zip(single.get_weights(), parallel.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("sgd", "percentile", "stop"), ValueError, "`nonfinite` must be one"),
        (("sgd", "median"), ValueError, "`clipper` must be one of 'spik"),
        (("sgd", 3), TypeError, "`clipper` must be a name or a"),
        ((3,), TypeError, "must be a Keras optimizer or its name"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        kgg.AutoClip(*arguments)


@pytest.mark.once
def test_wrong_clipper_arguments():
    with pytest.raises(ValueError, match=r"pass 10\.0, not 0\.1"):
        kgg.AutoClip("sgd", percentile=120)
    with pytest.raises(TypeError, match="That clipper takes `ratio`"):
        kgg.AutoClip("sgd", z_threshold=2.0)
    with pytest.raises(ValueError, match=r"Pass `ZScore\(percentile"):
        kgg.AutoClip("sgd", kgg.clippers.ZScore(), percentile=10)
    with pytest.raises(ValueError, match="`warn_after` must be an integer"):
        kgg.AutoClip("sgd", warn_after=0)


@pytest.mark.once
def test_wrong_inner_optimizers():
    optimizers = keras.optimizers
    with pytest.raises(ValueError, match="Swap the two"):
        kgg.AutoClip(optimizers.LossScaleOptimizer(optimizers.SGD()))
    with pytest.raises(ValueError, match="Wrap the innermost optimizer"):
        kgg.AutoClip(kgg.AutoClip("sgd"))
    for name in ("clipnorm", "global_clipnorm", "clipvalue"):
        with pytest.raises(ValueError, match=f"Remove `{name}`"):
            kgg.AutoClip(optimizers.SGD(**{name: 1.0}))


def _by_layer(default, other):
    """A MultiOptimizer: `other` for the first layer's variables."""
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    return keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(default, {".*first.*": other})
    )


def test_multi_optimizer_inside_is_refused():
    inner = _by_layer(keras.optimizers.Adam(), keras.optimizers.SGD())
    with pytest.raises(ValueError, match="Wrap its members instead"):
        kgg.AutoClip(inner)


def test_members_of_a_multi_optimizer_clip_for_themselves():
    first = kgg.AutoClip(keras.optimizers.SGD(1.0), "norm", threshold=1e-3)
    rest = kgg.AutoClip(keras.optimizers.SGD(1.0), "norm", threshold=1e-2)
    optimizer = _by_layer(rest, first)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, name="first"),
            keras.layers.Dense(1, name="second"),
        ]
    )
    model.compile(optimizer, loss="mse", jit_compile=JITS[0])
    before = model.get_weights()
    x, y = make_data()
    fit(model, x[:8], y[:8])
    moved = [b - a for a, b in zip(model.get_weights(), before, strict=True)]
    norms = [
        np.sqrt(sum((m**2).sum() for m in moved[i : i + 2])) for i in (0, 2)
    ]
    np.testing.assert_allclose(norms, [1e-3, 1e-2], rtol=1e-3)
    assert rest.clipped_fraction == first.clipped_fraction == 1.0


def test_an_optimizer_that_never_clips_is_refused():
    class Stubborn(keras.optimizers.SGD):
        def apply(self, grads, trainable_variables=None):
            pass

    with pytest.raises(RuntimeError, match="found an `apply` that does not"):
        apply_norms(kgg.AutoClip(Stubborn()), [1.0])


def test_gradients_go_through_the_inner_clip_method():
    optimizer = kgg.AutoClip(keras.optimizers.SGD(1.0), "norm")
    optimizer.build([keras.Variable(np.zeros(2, "float32"))])
    (clipped,) = optimizer.inner_optimizer._clip_gradients([tensor([3.0, 4])])
    np.testing.assert_allclose(ops.convert_to_numpy(clipped), [0.6, 0.8])


def test_a_clipper_of_ones_own():
    class Halve(kgg.clippers.Clipper):
        def clip(self, gradients, variables, norm, state):
            halves = [0.5 * g for g in gradients]
            return kgg.clippers.Clipped(halves, norm / 2, norm > 0, state)

        def get_config(self):
            return {}

    optimizer = kgg.AutoClip(keras.optimizers.SGD(1.0), Halve())
    assert apply_norms(optimizer, [4.0]) == pytest.approx([2.0])
