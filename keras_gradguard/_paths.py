"""Checks of arguments that name a place to write to."""

import os
import re

from keras_gradguard._validation import check_int
from keras_gradguard._validation import fail

_LONGEST_NAME = 255


def check_log_dir(owner, log_dir):
    """Return `log_dir` as a string, or None. See `check_folder`."""
    return check_folder(owner, "log_dir", log_dir, "runs/first")


def check_folder(owner, name, value, example):
    """Return a directory as a string, or None.

    Args:
        owner: Class or function that took the argument.
        name: Name of the argument.
        value: What was passed.
        example: Str. A directory, for the error.

    Raises:
        TypeError: If it is neither None, nor a string, nor a path.
        ValueError: If it is empty, or no system can have it.
    """
    if value is None:
        return None
    hint = f'Pass a directory such as "{example}".'
    if not isinstance(value, str | os.PathLike):
        what = "a path or None"
        fail(TypeError, owner, name, what, value, hint, show_type=True)
    return check_path(owner, name, value, hint)


def check_path(owner, name, value, hint=""):
    """Return a path as a str, with `~` expanded.

    Args:
        owner: Class or function that took the argument.
        name: Name of the argument.
        value: What was passed.
        hint: One sentence that tells the fix.

    Raises:
        TypeError: If it is neither a str nor a path.
        ValueError: If it is empty, or no system can have it.
    """
    path = value
    if isinstance(value, os.PathLike):
        path = os.fspath(value)
    if not isinstance(path, str):
        fail(TypeError, owner, name, "a path", value, hint, show_type=True)
    if not path or "\x00" in path:
        what = "a path that is not empty and holds no NUL character"
        fail(ValueError, owner, name, what, value, hint)
    if max(map(len, re.split(r"[/\\]", path))) > _LONGEST_NAME:
        what = f"a path whose names have at most {_LONGEST_NAME} characters"
        fail(ValueError, owner, name, what, value, hint)
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        what = "a path whose ~ stands for a home directory that is known"
        fail(
            ValueError, owner, name, what, value, f"Write ./{path} for a name."
        )
    return expanded


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
