"""One run directory, one writer.

Whoever writes a run directory holds a lock on a small file in it. The system
drops the lock with the process that holds it, so one that was killed leaves
nothing to clean up.
"""

import contextlib
import json
import os
import socket
import time
import weakref
from pathlib import Path

try:
    import fcntl
except ImportError:  # on Windows there is none
    fcntl = None  # type: ignore[assignment]

LOCK = ".gradguard.lock"
_TRIES = 8
# Claims of this process, by path: a lock does not tell its own holders apart.
_held: weakref.WeakValueDictionary = weakref.WeakValueDictionary()


class Taken(Exception):
    """Somebody else writes the directory; the text says who.

    Attributes:
        fit: What the holder passed as `fit`, None in another process.
        owner: Its `owner`, None in another process.
    """

    def __init__(self, who, fit=None, owner=None):
        super().__init__(who)
        self.fit = fit
        self.owner = owner


class Claim:
    """The right to write a run directory, until `release`.

    A holder of this process that no longer runs, since its `fit` was
    interrupted, loses it. Where the file system knows no locks, and on
    Windows, other processes are not noticed.

    Args:
        log_dir: Str or path, an existing directory.
        owner: Str, name of the callback.
        fit: Object that stands for the fit it writes.
        runs: Callable without arguments: whether that fit still runs.
        lose: Weak reference to a method, called when another takes over.

    Raises:
        Taken: If another one writes the directory.
        OSError: If the directory cannot be written.
    """

    def __init__(self, log_dir, owner, fit, runs, lose):
        self._path = os.path.join(os.path.realpath(log_dir), LOCK)
        self.owner, self.fit = owner, fit
        self._runs, self._lose = runs, lose
        self._process = os.getpid()
        self._file = None
        earlier = _held.get(self._path)
        # A fork inherits the table, but not the fits of its parent.
        if earlier is not None and earlier._process == self._process:
            if earlier._runs():
                raise Taken(
                    f"another {earlier.owner} of this process writes",
                    earlier.fit,
                    earlier.owner,
                )
            lose = earlier._lose()
            if lose is not None:
                lose()
            earlier.release()
        self._file = _lock(self._path)
        _held[self._path] = self

    def release(self):
        """Let others write. Safe to repeat."""
        if self._file is None or self._process != os.getpid():
            return
        file, self._file = self._file, None
        if _held.get(self._path) is self:
            del _held[self._path]
        # Before the lock goes: afterwards it may be somebody else's.
        with contextlib.suppress(OSError):
            if fcntl is not None:
                os.unlink(self._path)
        file.close()


def _lock(path):
    """An open file that is locked and stands at `path`."""
    for _ in range(_TRIES):
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        file = os.fdopen(os.open(path, flags, 0o644), "r+b", buffering=0)
        if fcntl is None:
            return file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                holder = _holder(file)
            if not _is_gone(holder):
                raise Taken(_described(holder)) from None
            # A child of the dead process has the lock, and does not write.
            with contextlib.suppress(OSError):
                os.unlink(path)
            continue
        except OSError:
            return file  # this file system knows no locks
        if _stands_at(file, path):
            who = {
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "since": time.time(),
            }
            file.truncate(0)
            file.write(json.dumps(who).encode())
            return file
        file.close()  # its holder removed it meanwhile
    raise Taken("another process writes")


def _stands_at(file, path):
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    return False


def _holder(file):
    try:
        holder = json.loads(file.read(4096))
        return {
            "pid": int(holder["pid"]),
            "host": str(holder["host"]),
            "since": float(holder["since"]),
        }
    except (ValueError, KeyError, TypeError):
        return None  # it is being written


def _is_gone(holder):
    """Whether a process of this machine is known to have ended."""
    if holder is None or holder["host"] != socket.gethostname():
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # it is another user's
    return False


def _described(holder):
    if holder is None:
        return "another process writes"
    since = time.strftime("%H:%M:%S", time.localtime(holder["since"]))
    return (
        f"process {holder['pid']} on {holder['host']} has been writing since "
        f"{since}"
    )


def prepare(log_dir):
    """Make a run directory.

    Args:
        log_dir: Str or path.

    Returns:
        `Path`.
    """
    folder = Path(log_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
