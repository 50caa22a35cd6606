"""Updates that happen or not, and replicas, on each backend."""

import keras
from keras import ops

from keras_gradguard.clippers._tensors import current_value
from keras_gradguard.clippers._tensors import is_compiled_by_xla


def replica_count():
    """How many replicas a `tf.distribute` strategy runs this step on."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def sum_over_replicas(gradients):
    """The gradients of the whole batch, the same on every replica.

    Keras reduces after clipping, so that each replica would clip by a norm of
    its own and the applied update could exceed the threshold.
    """
    if replica_count() == 1:
        return gradients
    import tensorflow as tf

    return tf.distribute.get_replica_context().all_reduce(
        tf.distribute.ReduceOp.SUM, gradients
    )


def known_now(condition):
    """The bool `condition`, or `None` where the host cannot know it yet.

    The host knows it where nothing is compiled, and never waits for an
    accelerator.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        return bool(condition) if condition.device.type == "cpu" else None
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(condition) if tf.executing_eagerly() else None
    if backend == "jax":
        import jax

        is_traced = isinstance(condition, jax.core.Tracer)
        return None if is_traced else bool(condition)
    return None


def branch(condition, then, otherwise, variables, exact=False):
    """Run `then` or `otherwise`, both of which only assign to variables.

    Args:
        condition: Scalar bool tensor that only the device knows.
        then: Function without arguments.
        otherwise: Function without arguments.
        variables: Every variable that either of them reads or changes.
        exact: Whether `then` has to give the bits that it gives without a
            branch, at the cost of a copy of the state. XLA fuses gradients
            and update otherwise, where they are in one computation.
    """
    if chooses_after(exact):
        _choose_after(condition, then, otherwise, variables)
    elif keras.backend.backend() == "jax":
        _jax_branch(condition, then, otherwise, variables)
    else:
        _tensorflow_branch(condition, then, otherwise)


def chooses_after(exact):
    """Whether `branch` runs both sides and then chooses."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return exact and is_compiled_by_xla()
    return exact or backend != "jax"


def _jax_branch(condition, then, otherwise, variables):
    import jax

    def pure(function):
        def body(values):
            mapping = list(zip(variables, values, strict=True))
            with keras.StatelessScope(mapping) as scope:
                function()
            return [scope.get_current_value(v) for v in variables]

        return body

    values = [current_value(v) for v in variables]
    # `jax.lax.select` after both costs a copy of all state.
    values = jax.lax.cond(condition, pure(then), pure(otherwise), values)
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _choose_after(condition, then, otherwise, variables):
    before = [_snapshot(v) for v in variables]
    then()
    after = [_snapshot(v) for v in variables]
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    otherwise()
    pairs = []
    for variable, value in zip(variables, after, strict=True):
        other = current_value(variable)
        if value is not other:
            pairs.append((variable, value, other))
    changed, values, others = zip(*pairs, strict=True)
    if keras.backend.backend() == "torch":
        # A `cond` would make the host wait for the device.
        values = [
            ops.where(condition, value, other)
            for value, other in zip(values, others, strict=True)
        ]
    else:
        # A `where` would be fused with the update and change its bits.
        values = ops.cond(condition, lambda: list(values), lambda: list(others))
    for variable, value in zip(changed, values, strict=True):
        variable.assign(value)


def _snapshot(variable):
    value = current_value(variable)
    # torch updates in place.
    return ops.copy(value) if keras.backend.backend() == "torch" else value


def _tensorflow_branch(condition, then, otherwise):
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if (
        context is None
        or context.num_replicas_in_sync == 1
        or tf.__internal__.distribute.strategy_supports_no_merge_call()
    ):
        ops.cond(condition, then, otherwise)
        return

    # A branch that reduces over replicas must be chosen outside of them.
    # `then` holds the gradients of one replica: each has its own.
    def choose(strategy, condition, then):
        first = strategy.experimental_local_results(condition)[0]
        ops.cond(
            first,
            lambda: strategy.extended.call_for_each_replica(
                lambda function: function(), args=(then,)
            ),
            otherwise,
        )

    context.merge_call(choose, args=(condition, then))


def assert_in_graph(condition, message):
    """Make the compiled step fail with `message` unless `condition` holds.

    Raises:
        RuntimeError: Where a compiled step cannot fail, as under XLA.
    """
    if keras.backend.backend() == "tensorflow" and not is_compiled_by_xla():
        import tensorflow as tf

        tf.debugging.Assert(condition, [message])
        return
    raise RuntimeError(
        'AutoClip: `nonfinite="raise"` must be able to stop a step, which a '
        "compiled one cannot. Received: a step compiled by "
        f"{keras.backend.backend()}. Pass `run_eagerly=True` to `compile`, or "
        'use `nonfinite="skip"` and read `optimizer.skipped_steps`.'
    )
