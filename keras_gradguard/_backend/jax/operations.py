"""JAX: a step, one operation at a time.

The step and its gradient are traced, and what was traced is computed line by
line. Calls are entered, and loops are run round by round.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from keras_gradguard._backend.operations import BATCH
from keras_gradguard._backend.operations import CONSTANT
from keras_gradguard._backend.operations import OPERATION
from keras_gradguard._backend.operations import STATE
from keras_gradguard._backend.operations import Operation
from keras_gradguard._backend.operations import Step
from keras_gradguard._backend.operations import label_in
from keras_gradguard._backend.operations import label_text
from keras_gradguard._backend.operations import raised_in

_CALLED = ("jaxpr", "call_jaxpr", "fun_jaxpr")


def operation_scope(label):
    return jax.named_scope(label_text(label))


def operations(function, state, batch):
    flat, tree = jax.tree_util.tree_flatten((state, batch))
    flat = [jnp.asarray(leaf) for leaf in flat]
    state_leaves = len(jax.tree_util.tree_leaves(state))

    def flattened(*leaves):
        return function(*jax.tree_util.tree_unflatten(tree, leaves))

    step = Step()
    try:
        closed, shape = jax.make_jaxpr(flattened, return_shape=True)(*flat)
    except Exception as error:
        step.error = error
        step.operations.append(
            Operation(OPERATION, "", frames=raised_in(error))
        )
        step.broken = 0
        return step
    run = _Run(step.operations)
    sources = [
        run.source(leaf, STATE if at < state_leaves else BATCH)
        for at, leaf in enumerate(flat)
    ]
    found = run.closed(closed, list(zip(flat, sources, strict=True)), "")
    at = iter([source for _, source in found])
    loss, gradients = (
        [next(at) for _ in jax.tree_util.tree_leaves(part)] for part in shape
    )
    step.loss = [source for source in loss if source >= 0]
    step.gradients = [source for source in gradients if source >= 0]
    step.mark_backward()
    return step


def _is_float(value):
    return jnp.issubdtype(jnp.result_type(value), jnp.inexact)


class _Run:
    """Computes what was traced; values travel with where they come from."""

    def __init__(self, operations):
        self._operations = operations

    def source(self, value, kind):
        """Position of a new source of numbers."""
        operation = Operation(kind, kind)
        if _is_key(value):
            operation.size = 1
        elif _is_float(value):
            operation.take_in(_real(value))
        self._operations.append(operation)
        return len(self._operations) - 1

    def closed(self, closed, arguments, stack, frames=None):
        """Compute a `ClosedJaxpr`."""
        consts = [(c, self.source(c, CONSTANT)) for c in closed.consts]
        return self.open(closed.jaxpr, consts, arguments, stack, frames)

    def open(self, jaxpr, consts, arguments, stack, frames):
        """Compute a `Jaxpr`: list of `(value, source)`."""
        known = dict(zip(jaxpr.constvars, consts, strict=True))
        known.update(zip(jaxpr.invars, arguments, strict=True))

        def read(atom):
            if hasattr(atom, "val"):
                return atom.val, self._literal(atom.val)
            return known[atom]

        for equation in jaxpr.eqns:
            arguments = [read(atom) for atom in equation.invars]
            found = self._equation(equation, arguments, stack, frames)
            known.update(zip(equation.outvars, found, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _literal(self, value):
        if _is_float(value) and not np.isfinite(np.asarray(value)).all():
            return self.source(value, CONSTANT)
        return -1

    def _equation(self, equation, arguments, stack, frames):
        here = f"{stack}/{equation.source_info.name_stack}"
        name, params = equation.primitive.name, equation.params
        if name == "cond":
            branch = params["branches"][int(arguments[0][0])]
            return self.closed(branch, arguments[1:], here, frames)
        if name == "while":
            return self._while(params, arguments, here)
        if name == "scan":
            return self._scan(params, arguments, here)
        inner = _called(equation)
        # What is called may have been traced before, for somebody else.
        frames = frames or _frames(equation)
        if inner is not None:
            if hasattr(inner, "consts"):
                return self.closed(inner, arguments, here, frames)
            return self.open(inner, [], arguments, here, frames)
        functions, bound = _bound(equation.primitive.get_bind_params(params))
        values = [value for value, _ in arguments]
        found = equation.primitive.bind(*functions, *values, **bound)
        if not equation.primitive.multiple_results:
            found = [found]
        source = self._note(equation, here, found, arguments, frames)
        return [(value, source) for value in found]

    def _note(self, equation, stack, found, arguments, frames):
        operation = Operation(
            OPERATION,
            equation.primitive.name,
            label_in(stack),
            frames,
            [source for _, source in arguments if source >= 0],
        )
        for value in found:
            if not _is_key(value) and _is_float(value):
                operation.take_in(_real(value))
        self._operations.append(operation)
        return len(self._operations) - 1

    def _while(self, params, arguments, stack):
        conditions, bodies = params["cond_nconsts"], params["body_nconsts"]
        of_condition = arguments[:conditions]
        of_body = arguments[conditions : conditions + bodies]
        carry = arguments[conditions + bodies :]

        def goes_on():
            found = self.closed(
                params["cond_jaxpr"], of_condition + carry, stack
            )
            return bool(found[0][0])

        while goes_on():
            carry = self.closed(params["body_jaxpr"], of_body + carry, stack)
        return carry

    def _scan(self, params, arguments, stack):
        consts, carried = params["num_consts"], params["num_carry"]
        fixed = arguments[:consts]
        carry = arguments[consts : consts + carried]
        over = arguments[consts + carried :]
        rounds: Any = range(params["length"])
        rows = []
        for at in reversed(rounds) if params["reverse"] else rounds:
            row = [(value[at], source) for value, source in over]
            found = self.closed(params["jaxpr"], fixed + carry + row, stack)
            carry = found[:carried]
            rows.append(found[carried:])
        if params["reverse"]:
            rows = rows[::-1]
        stacked = [
            self._stacked(list(column), stack)
            for column in zip(*rows, strict=True)
        ]
        return carry + stacked

    def _stacked(self, column, stack):
        value = jnp.stack([value for value, _ in column])
        operation = Operation(OPERATION, "stack", label_in(stack))
        operation.inputs = [source for _, source in column if source >= 0]
        if _is_float(value):
            operation.take_in(_real(value))
        self._operations.append(operation)
        return value, len(self._operations) - 1


def _bound(found):
    """Functions and arguments to bind; JAX 0.10 has the functions in them."""
    return found if isinstance(found, tuple) else ((), found)


def _called(equation):
    """What an equation calls, None if it computes by itself."""
    inner = [equation.params[key] for key in _CALLED if key in equation.params]
    if not inner:
        return None
    jaxpr = getattr(inner[0], "jaxpr", inner[0])
    fits = len(getattr(jaxpr, "invars", ())) == len(equation.invars)
    return inner[0] if fits else None


def _frames(equation):
    traceback = equation.source_info.traceback
    if traceback is None:
        return []
    return [
        (f.file_name, f.line_num, f.function_name.rsplit(".", 1)[-1])
        for f in traceback.frames
    ][::-1]


def _is_key(value):
    dtype = getattr(value, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def _real(value):
    array = np.asarray(value)
    if array.dtype.kind == "c":
        return np.stack([array.real, array.imag])
    return array
