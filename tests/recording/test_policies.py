"""Under every policy of dtypes, both callbacks record all steps, bit-neutral.

float8 and int8 are no policy to build a model with: a layer is quantized.
"""

import warnings

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from tests import models

STEPS, BATCH, EPOCHS = 12, 8, 2
POLICIES = (
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "mixed_float16",
    "mixed_bfloat16",
)
QUANTIZED = ("int8", "float8")
# On TensorFlow XLA takes three times as long. It is shown where it differs:
# half floats of each kind, with a loss scale, and a quantized layer.
UNDER_XLA = ("mixed_bfloat16", "float16", "int8")


def policies_and_ways():
    all_of = [*POLICIES, *QUANTIZED]
    found = [(p, keras.backend.backend() == "jax") for p in all_of]
    if keras.backend.backend() == "tensorflow":
        found += [(p, True) for p in UNDER_XLA]
    return found


def made(policy, jit):
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    quantized = policy in QUANTIZED
    dtype = "float32" if quantized else policy
    dense = keras.layers.Dense
    model = keras.Sequential(
        [
            keras.Input((8,), dtype="float32"),
            dense(16, "relu", dtype=dtype, name="first"),
            keras.layers.BatchNormalization(dtype=dtype),
            keras.layers.ReLU(dtype=dtype),
            dense(16, "tanh", dtype=dtype, name="second"),
            dense(3, dtype=dtype, name="head"),
        ]
    )
    if policy == "int8":
        model.get_layer("first").enable_lora(2)
    if quantized:
        model.get_layer("first").quantize(policy)
    rule = keras.optimizers.Adam(0.01)
    if policy == "float16":
        # `compile` adds it for the mixed policy only.
        rule = keras.optimizers.LossScaleOptimizer(rule, 2.0**10)
    model.compile(rule, models.crossentropy(), jit_compile=jit)
    return model


def trained(policy, jit, callbacks=()):
    model = made(policy, jit)
    x, y = models.dataset(BATCH * STEPS)
    history = model.fit(
        *(x, y),
        batch_size=BATCH,
        epochs=EPOCHS,
        verbose=0,
        callbacks=list(callbacks),
    )
    state = [*model.variables, *model.optimizer.variables]
    return history.history, models.to_numpy(state), model


@pytest.mark.optimized
@pytest.mark.parametrize(("policy", "jit"), policies_and_ways())
def test_all_steps_are_recorded(policy, jit):
    try:
        expected, state, _ = trained(policy, jit)
    except Exception as error:
        if policy not in QUANTIZED:
            raise
        pytest.skip(f"Keras does not train it here: {type(error).__name__}")
    monitor = kgg.GradientMonitor(verbose=0, on_finding="ignore")
    detector = kgg.DeadReLUDetector(verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", kgg.GradGuardWarning)
        shown, found, model = trained(policy, jit, [monitor, detector])
    assert shown == expected
    for one, other in zip(found, state, strict=True):
        np.testing.assert_array_equal(one, other)
    trace = monitor.trace
    if "float16" in policy and "b" not in policy:
        # A loss scale that is too large skips steps; they are recorded, too.
        assert len(trace.steps) == EPOCHS * STEPS
    else:
        assert trace.steps.tolist() == list(range(EPOCHS * STEPS))
    # float8's own variables have no gradient: what they get is their value.
    trained_by = {
        v.path
        for v in model.trainable_variables
        if not getattr(v, "overwrite_with_gradient", False)
    }
    seen = [i for i, p in enumerate(trace.variables) if p in trained_by]
    norms = trace.get("grad_norm", by="variable")[:, seen]
    applied = np.isfinite(trace.global_grad_norm)
    assert applied.sum() >= EPOCHS * STEPS - 12
    assert np.isfinite(norms[applied]).all()
    assert (norms[applied].max(0) > 0).all()
    assert np.isfinite(trace.get("update_ratio")).any()
    assert np.isfinite(trace.activation("mean")).any()
    assert sorted(len(e) for e in detector.history.values()) == [EPOCHS] * 2
