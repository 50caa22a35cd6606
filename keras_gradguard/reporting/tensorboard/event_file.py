"""A file of TensorBoard events, filled by a thread."""

import contextlib
import itertools
import os
import queue
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

from keras_gradguard._optional import tensorboard
from keras_gradguard.reporting.tensorboard.encoding import frame

_counter = itertools.count()


class EventFile:
    """Appends events to a file of its own, in order, from a thread.

    What is written is encoded and checksummed by the thread. A failure there
    is raised by the next call.

    Args:
        folder: Path of an existing directory.
        first: Callable that the thread calls before anything else, while the
            model compiles, so that no step waits for it. Defaults to none.

    Attributes:
        path: Path of the file.
        closed: Bool.
        busy: Float. Seconds that the thread has worked so far.

    Raises:
        ImportError: If TensorBoard is not installed.
        OSError: If the file cannot be written.
    """

    def __init__(self, folder, first=None):
        for module in ("event_pb2", "summary_pb2"):
            tensorboard(f"compat.proto.{module}")
        now = time.time()
        host = re.sub(r"[^A-Za-z0-9_.-]", "_", socket.gethostname())
        self.path = Path(folder) / (
            f"events.out.tfevents.{int(now):010d}.{host}.{os.getpid()}."
            f"{next(_counter)}.gradguard"
        )
        self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115
        self._queue: Any = queue.SimpleQueue()
        self._error = None
        # After a part of an event, no other can be read.
        self._broken = False
        self.closed = False
        self.busy = 0.0
        self._thread = threading.Thread(
            target=self._run, name="gradguard-events", daemon=True
        )
        # Both before the thread can fail, so that nothing is raised here.
        self._queue.put(lambda: _event(now, file_version="brain.Event:2"))
        if first is not None:
            self._queue.put(first)
        self._thread.start()

    def write(self, encode):
        """Append what `encode()`, called by the thread, returns.

        Args:
            encode: Callable that returns bytes: one framed event.
        """
        self._raise()
        if not self.closed:
            self._queue.put(encode)

    def write_tensor(self, now, step, tag, array, metadata):
        """Append an event with one tensor.

        Args:
            now: Float. Seconds since 1970.
            step: Int.
            tag: Str.
            array: NumPy array that nobody changes afterwards; strings as
                objects of bytes.
            metadata: `SummaryMetadata` of the tag.
        """
        self.write_tensors(now, step, lambda: [(tag, array, metadata)])

    def write_tensors(self, now, step, tensors):
        """Append an event with several tensors.

        Args:
            now: Float. Seconds since 1970.
            step: Int.
            tensors: Callable that returns a list of `(tag, array, metadata)`,
                as for `write_tensor`; the thread calls it.
        """
        step = int(step)
        self.write(
            lambda: _tensor_event(
                now, step, [(t, _tensor_proto(a), m) for t, a, m in tensors()]
            )
        )

    def write_proto(self, now, step, tag, tensor, metadata):
        """Append an event with one `TensorProto`.

        Args:
            now: Float. Seconds since 1970.
            step: Int.
            tag: Str.
            tensor: `TensorProto`.
            metadata: `SummaryMetadata` of the tag.
        """
        step = int(step)
        self.write(lambda: _tensor_event(now, step, [(tag, tensor, metadata)]))

    def flush(self):
        """Wait until everything written so far is in the file."""
        done = threading.Event()
        if not self.closed:
            self._queue.put(done)
            done.wait()
        self._raise()

    def close(self):
        """Write what is left and close; a second call does nothing."""
        if self.closed:
            return
        self.closed = True
        self._queue.put(None)
        self._thread.join()
        try:
            self._file.close()
        finally:
            self._raise()

    def abandon(self):
        """Close without writing what is left, and without an error."""
        if self.closed:
            return
        self.closed = self._broken = True
        self._queue.put(None)
        self._thread.join()
        with contextlib.suppress(OSError):
            self._file.close()

    def _raise(self):
        """Hand an error of the thread to whoever writes next."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _write(self, data):
        """Write all of it: a disk that fills up takes a part first."""
        while data:
            data = data[self._file.write(data) :]

    def _run(self):
        while True:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, threading.Event):
                item.set()
                continue
            if self._broken:
                continue
            begin = time.perf_counter()
            try:
                self._write(item())
            except Exception as error:
                self._error, self._broken = error, True
            self.busy += time.perf_counter() - begin


def _event(now, **fields):
    event_pb2 = tensorboard("compat.proto.event_pb2")
    event = event_pb2.Event(wall_time=now, **fields)
    return frame(event.SerializeToString())


def _tensor_proto(array):
    tensor_util = tensorboard("util.tensor_util")
    return tensor_util.make_tensor_proto(array)


def _tensor_event(now, step, values):
    summary_pb2 = tensorboard("compat.proto.summary_pb2")
    values = [
        summary_pb2.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
        for tag, tensor, metadata in values
    ]
    return _event(now, step=step, summary=summary_pb2.Summary(value=values))
