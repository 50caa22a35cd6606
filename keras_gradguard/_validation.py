"""Checks of arguments, all with one form of error message.

`{Owner}: `{arg}` must be {what}. Received: {arg}={value!r}. {Fix}.`
"""

import math
import numbers
from collections.abc import Mapping

import numpy as np

_MOST_SHOWN = 200
LARGEST = 2**62


def shown(value):
    """Return how a value looks in a message: its `repr`, cut if it is long.

    Args:
        value: What was passed.
    """
    try:
        text = repr(value)
    except Exception:
        # An integer of 5,000 digits has none, nor have some objects.
        return f"<{type(value).__name__}>"
    if len(text) <= _MOST_SHOWN:
        return text
    return f"{text[:_MOST_SHOWN]}... ({len(text)} characters)"


def fail(error, owner, name, what, value, hint="", show_type=False):
    """Raise the error that a wrong argument gets.

    Args:
        error: Class of the error.
        owner: Class or function that took the argument.
        name: Name of the argument.
        what: Str. What it must be.
        value: What was passed.
        hint: One sentence that tells the fix.
        show_type: Bool. Whether to name the type of the value.
    """
    kind = f" (of type {type(value).__name__})" if show_type else ""
    end = f" {hint}" if hint else ""
    raise error(
        f"{owner}: `{name}` must be {what}. "
        f"Received: {name}={shown(value)}{kind}.{end}"
    )


def check_int(owner, name, value, minimum=None, hint=""):
    """Return `value` as an int, or raise.

    Args:
        owner: Class or function that took the argument.
        name: Name of the argument.
        value: What was passed.
        minimum: Smallest allowed value. Defaults to no limit.
        hint: One sentence that tells the fix.

    Returns:
        The value as a Python int.

    Raises:
        TypeError: If `value` is no integer (a bool is none).
        ValueError: If `value` is below `minimum`.
    """
    what = "an integer" if minimum is None else f"an integer >= {minimum}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        fail(TypeError, owner, name, what, value, hint, show_type=True)
    if abs(value) >= LARGEST:
        fail(ValueError, owner, name, f"{what} below 2^62", value, hint)
    if minimum is not None and value < minimum:
        fail(ValueError, owner, name, what, value, hint)
    return int(value)


def check_number(
    owner,
    name,
    value,
    minimum=None,
    maximum=None,
    above=None,
    hint="",
):
    """Return `value` as a float, or raise.

    Args:
        owner: Class or function that took the argument.
        name: Name of the argument.
        value: What was passed.
        minimum: Smallest allowed value, itself allowed.
        maximum: Largest allowed value, itself allowed.
        above: Exclusive lower limit.
        hint: One sentence that tells the fix.

    Returns:
        The value as a Python float.

    Raises:
        TypeError: If `value` is no real number (a bool is none).
        ValueError: If `value` is outside the limits, or NaN.
    """
    what = "a number"
    if minimum is not None and maximum is not None:
        what += f" in [{minimum:g}, {maximum:g}]"
    elif above is not None and maximum is not None:
        what += f" in ({above:g}, {maximum:g}]"
    elif minimum is not None:
        what += f" >= {minimum:g}"
    elif above is not None:
        what += f" > {above:g}"
    elif maximum is not None:
        what += f" <= {maximum:g}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        fail(TypeError, owner, name, what, value, hint, show_type=True)
    try:
        number = float(value)
    except OverflowError:
        number = math.nan
    outside = (
        number != number
        or (minimum is not None and number < minimum)
        or (maximum is not None and number > maximum)
        or (above is not None and number <= above)
    )
    if outside:
        fail(ValueError, owner, name, what, value, hint)
    return number


def check_bool(owner, name, value):
    """Return `value`, or raise if it is no bool.

    Args:
        owner: Class or function that took the argument.
        name: Name of the argument.
        value: What was passed.

    Returns:
        The value.

    Raises:
        TypeError: If `value` is no bool.
    """
    if not isinstance(value, bool):
        fail(TypeError, owner, name, "True or False", value, show_type=True)
    return value


def check_choice(owner, name, value, choices, hint=""):
    """Return `value`, or raise if it is none of `choices`.

    Args:
        owner: Class or function that took the argument.
        name: Name of the argument.
        value: What was passed.
        choices: The allowed values, in the order to show them.
        hint: One sentence that tells the fix.

    Returns:
        The value.

    Raises:
        TypeError: If `value` is neither text nor a number nor None.
        ValueError: If `value` is none of `choices`.
    """
    # Series are asked for by name hundreds of times in a fit.
    if isinstance(value, str) and value in choices:
        return value
    what = f"one of {', '.join(repr(c) for c in choices)}"
    # Whether an array equals a word has no answer.
    if value is not None and not isinstance(value, str | numbers.Number):
        fail(TypeError, owner, name, what, value, hint, show_type=True)
    if not any(value is c or value == c for c in choices):
        fail(ValueError, owner, name, what, value, hint)
    return value


def check_names(owner, name, value):
    """Return `value` as a list of str, or raise.

    Args:
        owner: Class or function that took the argument.
        name: Name of the argument.
        value: What was passed: any iterable of str, but no str.

    Returns:
        List of str.

    Raises:
        TypeError: If it is none.
    """
    what = "a sequence of str"
    if isinstance(value, str | bytes | dict):
        fail(TypeError, owner, name, what, value, show_type=True)
    try:
        names = list(value)
    except TypeError:
        fail(TypeError, owner, name, what, value, show_type=True)
    for entry in names:
        if not isinstance(entry, str):
            hint = f"One entry is of type {type(entry).__name__}."
            fail(TypeError, owner, name, what, value, hint)
    return [str(entry) for entry in names]


def check_dict(owner, name, value):
    """Return `value`, an empty dict for None, or raise if it is no dict.

    Args:
        owner: Class or function that took the argument.
        name: Name of the argument.
        value: What was passed.

    Raises:
        TypeError: If it is neither a dict nor None.
    """
    if value is not None and not isinstance(value, Mapping):
        fail(TypeError, owner, name, "a dict or None", value, show_type=True)
    return {} if value is None else value


def check_array(owner, name, value, dtype, shape=None, hint=""):
    """Return `value` as an array of numbers, or raise.

    Args:
        owner: Class or function that took the argument.
        name: Name of the argument.
        value: What was passed.
        dtype: NumPy dtype to have. Integers must be whole, bools be bools.
        shape: Tuple of int, or None where any length fits. Defaults to any
            shape.
        hint: One sentence that tells the fix.

    Raises:
        TypeError: If it holds no such numbers.
        ValueError: If its shape is another, or a number does not fit.
    """
    dtype = np.dtype(dtype)
    kinds, what = _KINDS[dtype.kind]
    if shape is not None:
        lengths = ", ".join("n" if s is None else str(s) for s in shape)
        end = "," if len(shape) == 1 else ""
        what += f" of shape ({lengths}{end})"
    try:
        array = np.asarray(value)
        if array.dtype.kind == "V" and array.dtype.names is None:
            array = array.astype(np.float32)  # bfloat16 and its like
    except Exception:
        # Ragged lists, and whatever another library's array refuses.
        array = np.zeros((), object)
    if array.size and array.dtype.kind not in kinds:
        fail(TypeError, owner, name, what, value, hint, show_type=True)
    fits = shape is None or (
        array.ndim == len(shape)
        and all(
            want in (None, have)
            for want, have in zip(shape, array.shape, strict=True)
        )
    )
    if not fits:
        came = f"{name} of shape {array.shape}"
        end = f" {hint}" if hint else ""
        raise ValueError(
            f"{owner}: `{name}` must be {what}. Received: {came}.{end}"
        )
    if dtype.kind == "i" and array.dtype.kind in "fu":
        whole = np.isfinite(array) & (np.trunc(array) == array)
        if not (whole & (np.abs(array) < LARGEST)).all():
            fail(ValueError, owner, name, what, value, hint)
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def check_steps(owner, value):
    """Return steps as an int64 array (n,), or raise.

    Args:
        owner: Class or function that took the argument.
        value: What was passed as `steps`.

    Raises:
        TypeError: If they are no integers.
        ValueError: If one is negative.
    """
    steps = check_array(owner, "steps", value, np.int64).ravel()
    if len(steps) and steps.min() < 0:
        what = "steps of an optimizer, which count from 0"
        fail(ValueError, owner, "steps", what, value)
    return steps


# Which kinds of array may become which, and what to call them.
_KINDS = {
    "i": ("iuf", "whole numbers"),
    "f": ("iufb", "numbers"),
    "b": ("iubf", "bools"),
}
