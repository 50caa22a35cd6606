"""Whether a train step of the user's own ever clears the gradients on torch.

There `backward` adds to what a variable's gradient holds, and Keras's own step
clears it first.
"""

import dis
import inspect
import types

import keras

# Who names one of these may clear gradients, or have Keras do so.
_CLEARS = frozenset(
    ("zero_grad", "zero_", "_foreach_zero_", "set_to_none", "train_step")
)
_STORES = ("STORE_ATTR", "DELETE_ATTR")
# Methods that a step calls are looked at, and those that they call.
_DEEP = 3


def never_clears(model):
    """Return whether a train step goes backward and clears no gradient.

    Args:
        model: A Keras model.
    """
    step = type(model).train_step
    if keras.backend.backend() != "torch" or step is keras.Model.train_step:
        return False
    codes = _codes(type(model), step, _DEEP)
    named = {name for code in codes for name in code.co_names}
    if "backward" not in named or named & _CLEARS:
        return False
    return not any(
        one.opname in _STORES and one.argval == "grad"
        for code in codes
        for one in dis.get_instructions(code)
    )


def _codes(kind, function, deep):
    """Return the code of a method, and of methods and functions it calls."""
    function = inspect.unwrap(function)
    if not isinstance(function, types.FunctionType):
        return []
    found, stack = [], [function.__code__]
    while stack:
        code = stack.pop()
        found.append(code)
        stack += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    near = {}
    if deep:
        known = inspect.getclosurevars(function)
        near = {**known.globals, **known.nonlocals}
        named = {name for code in found for name in code.co_names}
        near |= {name: getattr(kind, name, None) for name in named}
    for helper in near.values():
        module = str(getattr(helper, "__module__", ""))
        if isinstance(helper, types.FunctionType) and not module.startswith(
            ("keras.", "torch.")
        ):
            found += _codes(kind, helper, deep - 1)
    return found
