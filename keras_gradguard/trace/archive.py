"""Reads the arrays of an `.npz` file that may be damaged or hostile.

Nothing is unpickled, nothing is written, and nothing is read whose size was
not looked at first: neither what the archive says that an entry unpacks to,
nor the shape that an array claims to have.
"""

import io
import math
import struct
import zipfile
import zlib

import numpy as np
from numpy.lib import format as npy

_MAGIC = b"PK\x03\x04"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    NotImplementedError,  # a method of compression, or an encryption
    OSError,  # a place outside the file
    OverflowError,
    RuntimeError,
    UnicodeError,
    ValueError,
)
_NO_ARRAY = (
    EOFError,
    MemoryError,
    OverflowError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)


class Damaged(ValueError):
    """Says which part of a file is wrong, and how."""


def read(path, limit):
    """Return dict of name to array.

    Args:
        path: Str or path.
        limit: Callable from the file's size in bytes to how many bytes it may
            unpack to.

    Raises:
        OSError: If the file cannot be read.
        Damaged: If it is none, or holds something else than numbers.
    """
    with open(path, "rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise Damaged("the file is no archive of arrays")
        file.seek(0)
        data = file.read()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries, limit(len(data)))
            parts = {entry: archive.read(entry) for entry in entries}
    except Damaged:
        raise
    except _BROKEN as error:
        raise Damaged(f"the archive is damaged ({error})") from error
    return {
        entry.filename.removesuffix(".npy"): _array(entry.filename, part)
        for entry, part in parts.items()
    }


def _check_entries(entries, most):
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise Damaged("an array stands in the archive twice")
    for entry in entries:
        if not entry.filename.endswith(".npy"):
            raise Damaged(f"`{entry.filename[:200]}` is no array")
        if entry.compress_type not in _METHODS:
            raise Damaged(f"`{entry.filename[:200]}` is packed in another way")
    total = sum(entry.file_size for entry in entries)
    if total > most:
        raise Damaged(
            f"the arrays unpack to {total / 2**20:,.0f} MiB, more than the "
            f"{most / 2**20:,.0f} MiB allowed: pass `max_bytes` if the file "
            "is your own"
        )


def _array(name, data):
    name = f"`{name.removesuffix('.npy')[:200]}`"
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        reads = {
            (1, 0): npy.read_array_header_1_0,
            (2, 0): npy.read_array_header_2_0,
        }
        if version not in reads:
            raise ValueError(f"version {version}")
        shape, fortran, dtype = reads[version](file)
    except _NO_ARRAY as error:
        raise Damaged(f"{name} is no array ({str(error)[:100]})") from error
    # Objects would have to be unpickled, which runs what they say.
    if dtype.hasobject or dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise Damaged(f"{name} holds {str(dtype)[:40]}, which are no numbers")
    there = len(data) - file.tell()
    if math.prod(shape) * dtype.itemsize != there or min(shape, default=0) < 0:
        raise Damaged(f"{name} says shape {str(shape)[:60]} of {there} bytes")
    flat = np.frombuffer(data, dtype, offset=file.tell())
    array = flat.reshape(shape, order="F" if fortran else "C")
    return np.array(array, dtype.newbyteorder("="), order="C")
