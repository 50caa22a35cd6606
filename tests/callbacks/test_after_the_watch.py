"""What is compiled in a watched loop, once the watch has ended."""

import functools

import keras
import numpy as np
import pytest

import keras_gradguard as kgg
from tests.callbacks import test_watch as loops


@pytest.mark.optimized
def test_a_jitted_step_is_compiled_without_us(backend):
    if backend != "jax":
        pytest.skip("TensorFlow keeps what it traced, torch compiles nothing")
    import jax

    model, optimizer = loops.made()
    optimizer.build(model.trainable_variables)
    state = (
        [v.value for v in model.trainable_variables],
        [v.value for v in optimizer.variables],
    )
    traced = []

    class Loop:
        def update(self, x, weights, variables):
            traced.append(len(traced))

            def loss(values):
                outputs, _ = model.stateless_call(values, [], x)
                return keras.ops.mean(outputs**2)

            gradients = jax.grad(loss)(weights)
            return optimizer.stateless_apply(variables, gradients, weights)

    def compiled():
        # Neither a partial nor a method has the code of what it calls.
        x = np.ones((4, 8), "float32")
        return jax.jit(functools.partial(Loop().update, x))

    expected = compiled()(*state)
    step = compiled()
    for _ in range(2):
        traced.clear()
        with kgg.watch(model, optimizer, verbose=0) as monitor:
            for _ in range(2):
                found = step(*state)
        # Once for each watch: nothing of the last one is left.
        assert traced == [0]
        assert len(monitor.trace.steps)
    traced.clear()
    after = step(*state)
    assert traced == [0]
    assert "callback" not in step.lower(*state).as_text()
    for values in zip(
        *map(jax.tree_util.tree_leaves, (expected, found, after)), strict=True
    ):
        for other in values[1:]:
            np.testing.assert_array_equal(values[0], other)


def test_a_second_loop_over_the_same_optimizer_is_recorded(backend):
    model, optimizer = loops.made()
    steps = []
    for _ in range(2):
        step = loops.STEP[backend](model, optimizer, "compiled")
        with kgg.watch(model, optimizer, verbose=0) as monitor:
            for x, y in loops.batches(3):
                step(x, y)
        steps.append(monitor.trace.steps.tolist())
        assert len(monitor.trace.activation_steps) == 3
    # On JAX the loop carries the count of steps itself, and lets it go.
    again = [0, 1, 2] if backend == "jax" else [3, 4, 5]
    assert steps == [[0, 1, 2], again]
