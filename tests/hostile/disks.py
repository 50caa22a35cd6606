"""A file system that fails at the n-th thing that is asked of it."""

import builtins
import contextlib
import errno
import io
import os
import pathlib
import threading


class FailingDisk:
    """Fails below a folder, from the n-th operation on or at it alone.

    Operations are: open for writing, write, close, rename, make a directory.
    A write that fails has written the half before.

    Args:
        folder: Path. Elsewhere nothing fails.
        at: Int. The first operation that fails, from 0; None for none.
        once: Bool. Whether the next ones work again.

    Attributes:
        operations: List of str. What was asked for so far: names of files.
    """

    def __init__(self, folder, at, once=False):
        self.operations = []
        self._folder = str(folder)
        self._at = at
        self._once = once
        self._lock = threading.Lock()

    def ask(self, path):
        """Count an operation; raise if it is to fail."""
        if not str(path).startswith(self._folder):
            return
        with self._lock:
            now = len(self.operations)
            self.operations.append(os.path.basename(path))
        if self._at is None or now < self._at:
            return
        if now == self._at or not self._once:
            raise OSError(errno.ENOSPC, "No space left on device")

    @contextlib.contextmanager
    def __call__(self):
        """Be the file system of this process."""
        real = {
            (builtins, "open"): builtins.open,
            (io, "open"): io.open,
            (os, "replace"): os.replace,
            (os, "mkdir"): os.mkdir,
        }

        def opened(path, mode="r", *rest, **named):
            if isinstance(path, int) or not set(mode) & set("wax+"):
                return real[builtins, "open"](path, mode, *rest, **named)
            self.ask(path)
            file = real[builtins, "open"](path, mode, *rest, **named)
            inside = str(path).startswith(self._folder)
            return _File(file, path, self) if inside else file

        def replaced(source, target, **named):
            self.ask(target)
            return real[os, "replace"](source, target, **named)

        def made(path, *rest, **named):
            self.ask(path)
            return real[os, "mkdir"](path, *rest, **named)

        builtins.open = io.open = opened
        os.replace, os.mkdir = replaced, made
        try:
            yield self
        finally:
            for (module, name), function in real.items():
                setattr(module, name, function)


class _File:
    def __init__(self, file, path, disk):
        self._file, self._path, self._disk = file, path, disk

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def write(self, data):
        try:
            self._disk.ask(self._path)
        except OSError:
            self._file.write(data[: len(data) // 2])
            raise
        return self._file.write(data)

    def close(self):
        # The descriptor is free again even where closing fails.
        was_open = not self._file.closed
        self._file.close()
        if was_open:
            self._disk.ask(self._path)


def open_files(folder):
    """Names of the files below a folder that this process holds open."""
    found = []
    for link in pathlib.Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(link)
            if target.startswith(str(folder)):
                found.append(target)
    return found
