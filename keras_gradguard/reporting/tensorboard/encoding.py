"""TensorBoard's event format, written fast and without TensorFlow.

Checksums in pure Python cost about 0.1 ms per scalar. CRC is linear over its
input bits, so for an event whose bytes differ from a template in known places
only, it is the checksum of the template combined with one number for each bit
that differs: a few microseconds of NumPy for a whole event.

References:
    - [TFRecord format](https://www.tensorflow.org/tutorials/load_data/tfrecord)
"""

import functools
import struct

import numpy as np

_POLYNOMIAL = 0x82F63B78


def _make_table():
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        odd = (table & 1).astype(bool)
        table = np.where(odd, (table >> 1) ^ _POLYNOMIAL, table >> 1)
    return table.astype(np.uint32)


_TABLE = _make_table()
_TABLE_LIST = _TABLE.tolist()


# Long data is cut into rows of this many bytes, which NumPy takes together.
_ROW = 128


def _make_shift():
    """Table (4, 256): what each byte of a CRC becomes behind a zero."""
    places = 8 * np.arange(4, dtype=np.uint32)[:, None]
    state = np.arange(256, dtype=np.uint32) << places
    return _TABLE[state & 0xFF] ^ (state >> np.uint32(8))


def _shifted(states, shift):
    """What CRCs become behind the zeros that a table of `_make_shift` means."""
    one, two, three, four = shift
    return (
        one[states & 0xFF]
        ^ two[states >> 8 & 0xFF]
        ^ three[states >> 16 & 0xFF]
        ^ four[states >> 24]
    )


@functools.lru_cache(maxsize=4)
def _bits_ahead(doublings):
    """What each bit of a byte adds to the CRC, by the bytes that follow it.

    Args:
        doublings: Int.

    Returns:
        Uint32 array (2 ** doublings, 8), first that of the last byte.
    """
    states = _TABLE[1 << np.arange(8)][None]
    shift = _make_shift()
    for _ in range(doublings):
        states = np.concatenate([states, _shifted(states, shift)])
        shift = _shifted(shift, shift)
    return states


_SHIFT = _make_shift()
for _ in range(_ROW.bit_length() - 1):
    _SHIFT = _shifted(_SHIFT, _SHIFT)
_SHIFT_LISTS = _SHIFT.tolist()


def crc32c(data):
    """Return the Castagnoli checksum of bytes."""
    crc = 0xFFFFFFFF
    rows = len(data) // _ROW
    if rows >= 32:
        table = np.frombuffer(data, np.uint8, rows * _ROW).reshape(rows, _ROW)
        state = np.zeros(rows, np.uint32)
        for column in table.T:
            state = _TABLE[(state ^ column) & 0xFF] ^ (state >> np.uint32(8))
        one, two, three, four = _SHIFT_LISTS
        for part in state.tolist():
            crc = (
                one[crc & 0xFF]
                ^ two[crc >> 8 & 0xFF]
                ^ three[crc >> 16 & 0xFF]
                ^ four[crc >> 24]
                ^ part
            )
        data = data[rows * _ROW :]
    for byte in data:
        crc = _TABLE_LIST[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _mask(crc):
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def frame(data, crc=None):
    """Return a record: length, data and their checksums.

    Args:
        data: Bytes.
        crc: Int. Checksum of `data` where it is known. Defaults to computing
            it.
    """
    length = struct.pack("<Q", len(data))
    crc = crc32c(data) if crc is None else crc
    return b"".join(
        (
            length,
            struct.pack("<I", _mask(crc32c(length))),
            data,
            struct.pack("<I", _mask(crc)),
        )
    )


def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class ScalarTemplate:
    """Encodes events that hold one scalar for each of fixed tags.

    Args:
        tags: Sequence of str.
    """

    def __init__(self, tags):
        values, places, at = [], [], 0
        for tag in tags:
            name = str(tag).encode()
            head = b"\x0a" + _varint(len(name)) + name + b"\x15"
            body = head + bytes(4)
            value = b"\x0a" + _varint(len(body)) + body
            places.append(at + len(value) - 4)
            values.append(value)
            at += len(value)
        summary = b"".join(values)
        # Field 1: time, double. Field 2: step, a varint of full length, so
        # that all events have the same size. Field 5: the summary.
        head = b"\x09" + bytes(8) + b"\x10" + b"\x80" * 9 + b"\x00"
        start = b"\x2a" + _varint(len(summary))
        self._bytes = np.frombuffer(head + start + summary, np.uint8).copy()
        offset = len(head) + len(start)
        floats = np.array(places, int)[:, None] + offset + np.arange(4)
        self._places = np.concatenate(
            [np.arange(1, 9), np.arange(10, 19), floats.ravel()]
        )
        self._crc = crc32c(self._bytes.tobytes())
        behind = len(self._bytes) - 1 - self._places
        self._bits = _bits_ahead(int(behind.max()).bit_length())[behind]

    def encode(self, wall_time, step, values):
        """Return the framed event.

        Args:
            wall_time: Float. Seconds since 1970.
            step: Int, at least 0.
            values: Float array, one per tag.
        """
        step = int(step)
        digits = [step >> 7 * i & 0x7F | 0x80 for i in range(9)]
        fresh = np.concatenate(
            [
                np.frombuffer(struct.pack("<d", wall_time), np.uint8),
                np.array(digits, np.uint8),
                np.asarray(values, "<f4").view(np.uint8),
            ]
        )
        data = self._bytes.copy()
        changed = fresh ^ data[self._places]
        data[self._places] = fresh
        bits = np.unpackbits(changed[:, None], axis=1, bitorder="little")
        crc = int(np.bitwise_xor.reduce(self._bits[bits.astype(bool)]))
        return frame(data.tobytes(), self._crc ^ crc)
