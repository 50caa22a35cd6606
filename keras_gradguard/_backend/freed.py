"""Memory that was freed, and that the allocator still holds."""

import ctypes
import functools
import sys


def give_back():
    """Give it to the system, where the allocator can do so (glibc's can)."""
    trim = _trim()
    if trim is not None:
        trim(0)


@functools.cache
def _trim():
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
