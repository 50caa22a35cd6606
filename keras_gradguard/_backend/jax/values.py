"""Arrays and variables of JAX."""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from keras_gradguard._backend.jax.bundle import Bundle
from keras_gradguard._backend.jax.processes import whole


def float64():
    enable: Any = getattr(jax, "enable_x64", None)
    if not callable(enable):
        from jax import experimental

        enable = vars(experimental)["enable_x64"]
    return enable(True)


@contextlib.contextmanager
def compiling_fast():
    if jax.default_backend() != "cpu":
        yield
        return
    # There is no such option of a single function of Keras's. JAX keeps what
    # was compiled so as if it had been compiled well.
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, True)
    try:
        yield
    finally:
        jax.config.update(name, before)


def read(variable):
    # Value of a Keras variable as an array.
    value = getattr(variable, "value", variable)
    return jnp.asarray(value)


copy = read  # arrays are immutable


def native(variable):
    # The variable: JAX has none of its own.
    return variable


def gradients_of(function):
    differentiate = jax.value_and_grad(function, has_aux=True)
    program: Any = None

    def run(values, *rest):
        nonlocal program
        arguments = list(values), *rest
        if program is None:
            program = _program(differentiate, arguments)
        try:
            (value, more), grads = program(*arguments)
        except (TypeError, ValueError):  # Compiled for values elsewhere.
            program = _program(differentiate, arguments)
            (value, more), grads = program(*arguments)
        return value, list(grads), more

    return run


def run_whole(function, *arguments):
    # Step by step, each operation would be compiled by itself.
    return _program(function, arguments)(*arguments)


def _program(function, arguments):
    lowered = jax.jit(function).lower(*arguments)
    if jax.default_backend() != "cpu":
        return lowered.compile()
    # What runs once or twice is not worth the time to make it fast.
    try:
        return lowered.compile(
            compiler_options={"xla_backend_optimization_level": "0"}
        )
    except jax.errors.JaxRuntimeError:  # No such option in this release.
        return lowered.compile()


def take_flat(tensor, positions):
    # Chosen entries of an tensor, or all (None), as a vector.
    flat = jnp.reshape(tensor, (-1,))
    return flat if positions is None else jnp.take(flat, positions)


def batch_sizes(tensors):
    return jnp.asarray([array.shape[0] for array in tensors], "float32")


def compiled(function):
    # The function, compiled.
    return jax.jit(function)


def constant(values, dtype, like):
    del like
    return jnp.asarray(values, dtype)


def to_numpy(tensor):
    if isinstance(tensor, Bundle):
        return tensor.read()
    if isinstance(tensor, tuple):
        store, cursor = (np.asarray(whole(part)) for part in tensor)
        last = np.zeros((1, store.shape[1]), store.dtype)
        last[0, 0] = cursor
        return np.concatenate([store, last])
    return np.asarray(whole(tensor))


@jax.jit
def _copies(arrays):
    return [jnp.copy(array) for array in arrays]


def copies(values):
    # That outlive the step, which takes its state with it.
    if all(map(is_here, values)):
        # Takes 50 us longer than a function, but none is compiled.
        with contextlib.suppress(TypeError):  # JAX before 0.4.31
            return [
                jax.device_put(value, value.sharding, may_alias=False)
                for value in values
            ]
    return _copies(values)


def kept(values):
    arrays = on_host(values)
    if arrays is None:
        return copies(values)
    return [np.array(array) for array in arrays]


def on_host(tensors):
    if not all(is_here(array) for array in tensors):
        return None
    return [view(array) for array in jax.block_until_ready(tensors)]


def is_here(array):
    # Whether the host can read it as it is.
    return array.is_fully_addressable and all(
        device.platform == "cpu" for device in array.devices()
    )


def view(array):
    # JAX keeps what `np.asarray` returns, and copies a state that is looked
    # at in place of giving its memory to the next.
    try:
        return np.from_dlpack(array)
    except (BufferError, RuntimeError, TypeError, ValueError):
        return np.asarray(array)  # bfloat16, or parts on several devices


def at_hand(structure):
    # A step that is compiled has none.
    del structure


def compiles_steps():
    return True


def is_end_of_data(error):
    return isinstance(error, StopIteration)


def detach(tensor):
    return jax.lax.stop_gradient(tensor)


def level(arguments):
    for leaf in jax.tree_util.tree_leaves(arguments):
        if isinstance(leaf, jax.core.Tracer):
            return getattr(leaf, "_trace", None)
    return None


def at_level(tensor, level):
    # Whether an array may be used in a trace, and not only in one inside.
    if not isinstance(tensor, jax.core.Tracer):
        return True
    return getattr(tensor, "_trace", None) is level
