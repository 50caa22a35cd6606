"""Damaged and hostile trace files.

A file is taken apart into its header and arrays, damaged in one or two
places, and written again; or its bytes are damaged.
"""

import copy
import functools
import io
import json
import pathlib
import tempfile
import warnings
import zipfile

import hypothesis.strategies as st
import numpy as np
from numpy.lib import format as npy

from tests.hostile import junk
from tests.hostile import runs


class Case:
    """A file: what was done to it, and its bytes, or the call that makes them.

    Most cases are not tried: their bytes are not made.
    """

    def __init__(self, what, made, *arguments):
        self.what = what
        self._made = functools.partial(made, *arguments) if arguments else made

    @functools.cached_property
    def data(self):
        return self._made() if callable(self._made) else self._made

    def __repr__(self):
        return f"<{self.what}, {len(self.data)} bytes>"


class Pickled:
    """An object whose unpickling leaves a mark."""

    mark = "unpickled.mark"

    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path(self.mark),)


_MADE = {}


def whole(kind):
    """Header and arrays of an undamaged file of a run."""
    if kind not in _MADE:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "trace.npz"
            runs.make(kind).save(path)
            data = path.read_bytes()
        with np.load(io.BytesIO(data)) as read:
            arrays = {name: read[name] for name in read.files}
        header = json.loads(arrays.pop("header").tobytes())
        _MADE[kind] = (header, arrays, data)
    header, arrays, data = _MADE[kind]
    return copy.deepcopy(header), dict(arrays), data


def write(header, arrays, level=1):
    """Bytes of a file with this header (a dict or text) and these arrays."""
    text = header if isinstance(header, str) else json.dumps(header)
    arrays = {**arrays, "header": np.frombuffer(text.encode(), np.uint8)}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, True, level) as out:
        for name, array in arrays.items():
            if not isinstance(array, bytes):
                part = io.BytesIO()
                npy.write_array(part, np.asanyarray(array), allow_pickle=True)
                array = part.getvalue()
            out.writestr(f"{name}.npy", array)
    return file.getvalue()


def bomb(mebibytes=512):
    """A file of about 0.5 MB in which one column is very long."""
    header, arrays, _ = whole("healthy")
    rows = mebibytes * 2**20 // 4
    arrays["records:clipped"] = np.zeros(rows, np.float32)
    return Case(f"{mebibytes} MiB of zeros", write(header, arrays, level=9))


def bomb_of_names(length=200_000, count=20_000):
    """A file in which one long name makes a table of all names huge."""
    header, arrays, _ = whole("healthy")
    header["layers"] = ["x" * length] + ["y"] * count
    return Case("names of very different lengths", write(header, arrays))


def declared(shape, dtype="<f4", data=b""):
    """Bytes of an array file that says more than it holds."""
    file = io.BytesIO()
    described = {"descr": dtype, "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, described)
    return file.getvalue() + data


def wrong_arrays(array):
    """Yield (what, array) of arrays that do not fit in this one's place."""
    yield "a scalar", np.float32(1)
    yield "no rows", array[:0]
    yield "a row less", array[:-1]
    yield "a row more", np.concatenate([array, array[-1:]])
    yield "an axis more", array[..., np.newaxis]
    yield "an axis less", array[:, 0] if array.ndim > 1 else array.sum()
    yield "text", np.full(array.shape, "x")
    yield "complex", array.astype(complex)
    yield "bytes", np.full(array.shape, b"x")
    yield "records", np.zeros(array.shape, [("a", "i4"), ("b", "f4")])
    yield "objects", np.full(array.shape, Pickled(), dtype=object)
    yield "bool", array.astype(bool)
    yield "dates", np.zeros(array.shape, "M8[s]")
    with np.errstate(over="ignore"):
        yield "half floats", array.astype(np.float16)
    yield "other byte order", array.astype(array.dtype.newbyteorder())
    yield "10^13 numbers declared", declared((10**13,))
    yield "10^13 columns declared", declared((len(array), 10**13))
    yield "no array", b"no array at all"
    yield "nothing", b""
    if array.dtype.kind in "iu":
        yield "huge", np.full_like(array, np.iinfo(array.dtype).max)
    if array.dtype.kind == "i":
        yield "negative", -1 - array
        yield "turned round", array[::-1]
    if array.dtype.kind == "f":
        yield "NaN", np.full_like(array, np.nan)
        yield "infinite", np.full_like(array, np.inf)
        yield "negative", -np.abs(array) - 1


def paths(value, path=()):
    """Yield the place of each value in nested JSON, outer ones first."""
    yield path
    items = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value[:2])
    for key, inner in items:
        yield from paths(inner, (*path, key))


def put(value, path, new):
    """Put `new` (or, if it is `MISSING`, nothing) at a place."""
    for key in path[:-1]:
        value = value[key]
    if new is MISSING:
        value.pop(path[-1])
    else:
        # What is put later may go into what was put before.
        value[path[-1]] = copy.deepcopy(new)


MISSING = object()


def every_array():
    """Yield a case per array and kind of wrong one; no two at once."""
    for kind in runs.KINDS:
        header, arrays, _ = whole(kind)
        for name in arrays if kind == "dead" else list(arrays)[:12]:
            others = {n: a for n, a in arrays.items() if n != name}
            yield Case(f"{kind}: no {name}", write, header, others)
            for what, wrong in wrong_arrays(arrays[name]):
                yield Case(
                    f"{kind}: {name} is {what}",
                    write,
                    header,
                    {**others, name: wrong},
                )


def every_field(values=(None, 5, -1.5, "x", [], {}, [None], {"a": [1]})):
    """Yield a case per field of the header and kind of wrong value."""
    header, arrays, _ = whole("dead")
    for path in list(paths(header))[1:]:
        where = ".".join(map(str, path))
        for value in (MISSING, *values, 10**400, "\ud800"):
            said = "missing" if value is MISSING else repr(value)[:20]
            yield Case(f"{where} is {said}", _put, header, arrays, path, value)


def _put(header, arrays, path, value):
    wrong = copy.deepcopy(header)
    put(wrong, path, value)
    return write(wrong, arrays)


@st.composite
def damaged(draw):
    """A strategy for cases with damage in one or more places."""
    kind = draw(st.sampled_from(runs.KINDS))
    header, arrays, data = whole(kind)
    if draw(st.integers(0, 4)) == 0:
        return draw(_damaged_bytes(kind, data))
    done = []
    for _ in range(draw(st.integers(1, 2))):
        if draw(st.booleans()):
            name = draw(st.sampled_from(sorted(arrays)))
            array = arrays[name]
            if isinstance(array, bytes) or array.dtype.kind not in "biuf":
                continue
            if not array.ndim:
                continue
            what, wrong = draw(st.sampled_from(list(wrong_arrays(array))))
            arrays[name] = wrong
            done.append(f"{name} is {what}")
        else:
            path = draw(st.sampled_from(list(paths(header))[1:]))
            value = draw(st.one_of(st.just(MISSING), junk.json_values()))
            put(header, path, value)
            where = ".".join(map(str, path))
            said = "missing" if value is MISSING else repr(value)[:40]
            done.append(f"{where} is {said}")
    return Case(f"{kind}: {'; '.join(done)}", write(header, arrays))


@st.composite
def _damaged_bytes(draw, kind, data):
    how = draw(st.sampled_from(("cut", "flipped", "padded", "random")))
    at = draw(st.integers(0, len(data) - 1))
    if how == "cut":
        return Case(f"{kind}: cut at {at}", data[:at])
    if how == "padded":
        return Case(f"{kind}: junk before", b"junk" * 9 + data)
    if how == "random":
        size = draw(st.integers(0, 300))
        return Case("random", np.random.default_rng(at).bytes(size))
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 8))):
        place = draw(st.integers(0, len(data) - 1))
        changed[place] ^= 1 << draw(st.integers(0, 7))
    return Case(f"{kind}: bits flipped", bytes(changed))


def odd_files():
    """Yield hostile files of other kinds, small ones."""
    header, arrays, data = whole("healthy")
    yield Case("empty file", b"")
    yield Case("no archive", b"PK\x03\x04" + b"\x00" * 50)
    yield Case("an archive of text", _archive({"a.txt": b"hello"}))
    yield Case("path out of the folder", _archive({"../../x.npy": b"x"}))
    yield Case("one array, no archive", declared((3,), data=b"\x00" * 12))
    for text in (
        "",
        "{",
        "null",
        "5",
        '"header"',
        "[]",
        "{}",
        junk.nested(),
        junk.nested(kind="[]").join(('{"format": ', "}")),
        '{"format": "keras_gradguard.trace"}',
        '{"format": "keras_gradguard.trace", "version": "new"}',
        '{"format": "keras_gradguard.trace", "version": NaN}',
        '{"format": "keras_gradguard.trace", "version": 99}',
    ):
        yield Case(f"the header is {text[:40]}", write(text, arrays))
    deep = json.dumps(header).replace(
        '"meta": {', f'"meta": {{"deep": {junk.nested(900)}, ', 1
    )
    yield Case("meta is nested deep", write(deep, arrays))
    twice = io.BytesIO(data)
    with warnings.catch_warnings(action="ignore"):
        file = zipfile.ZipFile(twice, "a")
        file.writestr("owners.npy", declared((8,), "<i8", b"\xff" * 64))
        file.close()
    yield Case("owners twice", twice.getvalue())
    yield Case("another array", write(header, {**arrays, "new": np.ones(3)}))
    yield Case(
        "another column",
        write(header, {**arrays, "records:new": np.ones((75, 2))}),
    )


def _archive(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        for name, content in files.items():
            out.writestr(name, content)
    return file.getvalue()
