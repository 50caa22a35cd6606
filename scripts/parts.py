"""Runs commands, two at a time, and shows what each printed when it has ended.

Usage: python scripts/parts.py NAME=COMMAND [NAME=COMMAND ...]

The first two start at once, the next one as soon as one of them has ended: the
longest belongs to the front. A command is one of bash. It gets no input. All
run, whatever fails before. On Ctrl-C none of them stays behind.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time

AT_ONCE = 2
# Seconds in which a part that is told to end may clear up.
GRACE = 10


class Part:
    """A command that runs.

    Its processes are a group of their own, so that what it started ends with
    it.

    Args:
        text: Str, `NAME=COMMAND`.
    """

    def __init__(self, text):
        self.name, _, command = text.partition("=")
        self.start = time.monotonic()
        self.output = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            ["bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def show(self, code, used):
        """Print all that the command printed."""
        seconds = time.monotonic() - self.start
        cpu = used.ru_utime + used.ru_stime
        ended = "" if code == 0 else f", failed with {code}"
        print(
            f"== {self.name}: {seconds:.0f} s, {cpu:.0f} s of CPU{ended} ==",
            flush=True,
        )
        self.output.seek(0)
        with self.output as output:
            for block in iter(lambda: output.read(1 << 16), b""):
                sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()

    def end(self, number=signal.SIGKILL):
        """Send a signal to what the command has left running, and to itself."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def run(texts):
    """Run the parts and return the names of those that failed.

    Args:
        texts: List of str, each `NAME=COMMAND`.
    """
    waiting, running, failed = list(texts), {}, []
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                part = Part(waiting.pop(0))
                running[part.process.pid] = part
            pid, status, used = os.wait4(-1, 0)
            part = running.pop(pid, None)
            if part is None:
                continue
            part.process.returncode = os.waitstatus_to_exitcode(status)
            part.end()
            part.show(part.process.returncode, used)
            if part.process.returncode:
                failed.append(part.name)
    finally:
        end(running.values())
    return failed


def end(parts):
    """End parts that still run; they get some seconds to clear up."""
    for part in parts:
        part.end(signal.SIGINT)
    for part in parts:
        with contextlib.suppress(subprocess.TimeoutExpired):
            part.process.wait(GRACE)
        part.end()


def main(texts):
    """Run the parts and say how it went."""
    names = [text.partition("=")[0] for text in texts]
    if not texts or not all("=" in text for text in texts):
        sys.exit(__doc__)
    for number in signal.SIGINT, signal.SIGTERM:
        # Not at once, but by way of what ends the parts.
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    print(f"Two at a time of: {', '.join(names)}.", flush=True)
    failed = run(texts)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    print(f"all passed: {', '.join(names)}")


if __name__ == "__main__":
    main(sys.argv[1:])
