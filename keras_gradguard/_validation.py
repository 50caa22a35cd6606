"""Checks of arguments, all with one form of error message.

`{Owner}: `{arg}` must be {what}. Received: {arg}={value!r}. {Fix}.`
"""

import numbers
import os


def _fail(error, owner, name, what, value, hint, show_type=False):
    kind = f" (of type {type(value).__name__})" if show_type else ""
    end = f" {hint}" if hint else ""
    raise error(
        f"{owner}: `{name}` must be {what}. "
        f"Received: {name}={value!r}{kind}.{end}"
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
        _fail(TypeError, owner, name, what, value, hint, show_type=True)
    if minimum is not None and value < minimum:
        _fail(ValueError, owner, name, what, value, hint)
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
        _fail(TypeError, owner, name, what, value, hint, show_type=True)
    number = float(value)
    outside = (
        number != number
        or (minimum is not None and number < minimum)
        or (maximum is not None and number > maximum)
        or (above is not None and number <= above)
    )
    if outside:
        _fail(ValueError, owner, name, what, value, hint)
    return number


def check_bool(owner, name, value, hint=""):
    """Return `value`, or raise if it is no bool.

    Args:
        owner: Class or function that took the argument.
        name: Name of the argument.
        value: What was passed.
        hint: One sentence that tells the fix.

    Returns:
        The value.

    Raises:
        TypeError: If `value` is no bool.
    """
    if not isinstance(value, bool):
        _fail(
            TypeError, owner, name, "True or False", value, hint, show_type=True
        )
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
        ValueError: If `value` is none of `choices`.
    """
    if not any(value is c or value == c for c in choices):
        shown = ", ".join(repr(c) for c in choices)
        _fail(ValueError, owner, name, f"one of {shown}", value, hint)
    return value


def check_log_dir(owner, log_dir):
    """Return `log_dir` as a string, or None.

    Args:
        owner: Class that took the argument.
        log_dir: What was passed.

    Returns:
        String or None.

    Raises:
        TypeError: If it is neither None, nor a string, nor a path.
    """
    if log_dir is None:
        return None
    if not isinstance(log_dir, str | os.PathLike):
        raise TypeError(
            f"{owner}: `log_dir` must be a path or None. Received: "
            f"log_dir={log_dir!r} (of type {type(log_dir).__name__}). Pass a "
            'directory such as "runs/first".'
        )
    return os.fspath(log_dir)


def check_histogram_freq(owner, histogram_freq, log_dir):
    """Return `histogram_freq` as an int.

    Args:
        owner: Class that took the argument.
        histogram_freq: What was passed.
        log_dir: String or None, where events are written.

    Returns:
        Integer.

    Raises:
        TypeError: If it is no integer.
        ValueError: If it is negative, or there is nowhere to write to.
    """
    histogram_freq = check_int(
        owner,
        "histogram_freq",
        histogram_freq,
        minimum=0,
        hint="Pass 1 for histograms in every epoch, 0 for none.",
    )
    if histogram_freq and log_dir is None:
        raise ValueError(
            f"{owner}: `histogram_freq` must be 0 without `log_dir`. "
            f"Received: histogram_freq={histogram_freq}, log_dir=None. "
            "Histograms are written for TensorBoard: pass a directory such "
            'as log_dir="runs/first".'
        )
    return histogram_freq
