"""Forged event streams: what the tab may find in an event file.

A stream is a dict from tag to a list of chunks, each a list of parts as
`chunks.pack` makes them. A whole one is taken apart, forged in one or two
places and packed again.
"""

import copy
import dataclasses
import json

import hypothesis.strategies as st
import numpy as np

from keras_gradguard import diagnose
from keras_gradguard.reporting.tensorboard import chunks
from keras_gradguard.reporting.tensorboard.tab import TabSeries
from tests.hostile import junk
from tests.hostile import runs
from tests.hostile.traces import MISSING
from tests.hostile.traces import paths
from tests.hostile.traces import put

TAGS = (chunks.LAYERS_TAG, chunks.RECORDS_TAG, chunks.FINDINGS_TAG)


@dataclasses.dataclass(frozen=True)
class Case:
    """A stream, and what was forged."""

    what: str
    stream: dict

    def __repr__(self):
        return f"<{self.what}>"


class _Kept:
    """Stands where an event file would be."""

    busy = 0.0

    def __init__(self):
        self.stream = {tag: [] for tag in TAGS}

    def write_tensor(self, now, step, tag, array, metadata):
        # Of the tag that tells of a start, no content is read.
        if tag != chunks.STARTED_TAG:
            self.stream[tag].append(array.tolist())


_WHOLE = {}


def whole(kind):
    """Tag to list of (header, arrays) of a run of two sessions."""
    if kind not in _WHOLE:
        file = _Kept()
        for steps in (45, 75):
            tab, rng = TabSeries(file), np.random.default_rng(0)
            trace = runs.empty()
            sites = list(runs.meta()["sites"])
            for step in range(steps):
                runs.append(trace, kind, step, rng, sites)
                if step % 10 == 9:
                    trace.append_epoch(step // 10, step, {"loss": 0.5})
                if step % 20 == 19:
                    tab.write(trace, force=True)
            tab.write(trace, force=True)
            tab.write_findings(diagnose(trace).findings, steps - 1, trace)
        _WHOLE[kind] = {
            tag: [chunks.unpack(parts) for parts in written]
            for tag, written in file.stream.items()
        }
    return copy.deepcopy(_WHOLE[kind])


def packed(stream):
    """The stream as the reader gets it; a list is packed already."""
    return {
        tag: [c if isinstance(c, list) else pack(*c) for c in all_of_tag]
        for tag, all_of_tag in stream.items()
    }


def pack(header, arrays):
    """Parts of a chunk; unlike `chunks.pack`, of anything."""
    header, listed, blobs = dict(header), [], []
    for name, array in arrays.items():
        listed.append([name, array.dtype.str, list(array.shape)])
        blobs.append(array.tobytes())
    header["arrays"] = header.pop("forged_arrays", listed)
    return [json.dumps(header).encode(), *blobs]


def wrong_arrays(array):
    """Yield (what, array) of arrays that do not belong there."""
    yield "of no axis", np.array(array.ravel()[0])
    yield "of an axis more", array[..., np.newaxis]
    yield "empty", array[:0]
    yield "a row short", array[:-1]
    yield "turned round", array[::-1].copy()
    yield (
        "of the other kind",
        array.astype("<f4" if array.dtype.kind == "i" else "<i8"),
    )
    yield "shorts", array.astype("<i2")
    if array.dtype.kind == "i":
        yield "negative", -array - 1
        yield "huge", array + 2**62
        yield "at the end", np.full_like(array, 2**63 - 1)
        yield "all alike", np.full_like(array, array[0])
    else:
        yield "NaN", np.full_like(array, np.nan)
        yield "infinite", np.full_like(array, np.inf)
        yield "negative", -np.abs(array) - 1


def every_array():
    """Yield a case per array of a chunk and kind of wrong one."""
    for at in (0, 1):
        _, arrays = whole("dead")[chunks.RECORDS_TAG][at]
        for name in arrays:
            for what, wrong in wrong_arrays(arrays[name]):
                stream = whole("dead")
                stream[chunks.RECORDS_TAG][at][1][name] = wrong
                yield Case(f"{name} of chunk {at} is {what}", packed(stream))
            stream = whole("dead")
            del stream[chunks.RECORDS_TAG][at][1][name]
            yield Case(f"no {name} in chunk {at}", packed(stream))


def every_field(values=(None, 5, -1.5, "x", [], {}, [None], {"a": [1]})):
    """Yield a case per field of a header and kind of wrong value."""
    for tag in TAGS:
        header, _ = whole("dead")[tag][-1]
        for path in list(paths(header))[1:]:
            where = ".".join(map(str, path))
            for value in (MISSING, *values, True, float("nan"), 10**400):
                stream = whole("dead")
                put(stream[tag][-1][0], path, value)
                said = "missing" if value is MISSING else repr(value)[:20]
                yield Case(
                    f"{tag.rpartition('/')[2]}: {where} is {said}",
                    packed(stream),
                )


def odd_chunks():
    """Yield cases with a chunk that is none, among whole ones."""
    for tag in TAGS:
        for what, chunk in (
            ("nothing", []),
            ("no bytes", [1.0, 2.0]),
            ("text", ["{}"]),
            ("not JSON", [b"\xff\xfe"]),
            ("a number", [b"5"]),
            ("null", [b"null"]),
            ("nested deep", [junk.nested(50_000).encode()]),
            ("nested less deep", [junk.nested(900).encode()]),
            ("of a later version", [b'{"version": 99, "arrays": []}']),
            ("of a version in words", [b'{"version": "x", "arrays": []}']),
        ):
            stream = whole("dead")
            stream[tag].append(chunk)
            yield Case(f"a chunk of {tag} is {what}", packed(stream))
        stream = whole("dead")
        header = stream[tag][-1][0]
        header["meta"] = header["findings"] = json.loads(junk.nested(400))
        yield Case(f"{tag} nested in a field", packed(stream))
        for listed in (
            5,
            [5],
            [["step", "<i8", [-1]]],
            [["step", "<i8", [10**13]]],
            [["step", "|O", [1]]],
            [["step", "<i8", "x"]],
            [[{}, "<i8", [1]]],
            [["step", "<i8", [1]], ["step", "<i8", [1]]],
        ):
            stream = whole("dead")
            stream[tag][-1][0]["forged_arrays"] = listed
            yield Case(f"{tag} lists the arrays {listed}", packed(stream))
        stream = whole("dead")
        stream[tag] = stream[tag][::-1] * 2
        yield Case(f"{tag} twice, turned round", packed(stream))
        del stream[tag]
        yield Case(f"no {tag}", packed(stream))


@st.composite
def forged(draw):
    """A strategy for streams that are forged in one or more places."""
    kind = draw(st.sampled_from(runs.KINDS))
    stream, done = whole(kind), []
    for _ in range(draw(st.integers(1, 3))):
        tag = draw(st.sampled_from(TAGS))
        at = draw(st.integers(0, len(stream[tag]) - 1))
        header, arrays = stream[tag][at]
        if arrays and draw(st.booleans()):
            name = draw(st.sampled_from(sorted(arrays)))
            if not arrays[name].size or not arrays[name].ndim:
                continue
            what, wrong = draw(
                st.sampled_from(list(wrong_arrays(arrays[name])))
            )
            arrays[name] = wrong
            done.append(f"{name} is {what}")
        else:
            path = draw(st.sampled_from(list(paths(header))[1:]))
            value = draw(st.one_of(st.just(MISSING), junk.json_values()))
            put(header, path, value)
            said = "missing" if value is MISSING else repr(value)[:40]
            done.append(f"{'.'.join(map(str, path))} is {said}")
    return Case(f"{kind}: {'; '.join(done)}", packed(stream))
