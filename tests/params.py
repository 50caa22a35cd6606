"""Parameters of tests of which few have to be seen on every backend."""

import pytest


def once_but(everywhere, values):
    """Mark parameters `once`, but for those of which `everywhere` is true.

    Args:
        everywhere: Function of a parameter, or of the parts of a tuple.
        values: The parameters, as `pytest.mark.parametrize` takes them.
    """
    marked = []
    for value in values:
        parts = value if isinstance(value, tuple) else (value,)
        marks = () if everywhere(*parts) else pytest.mark.once
        marked.append(pytest.param(*parts, marks=marks))
    return marked
