"""Programs in fresh processes that share the import of the backend.

An import of Keras's backend takes most of the time of a short program. One
process imports it and what else Keras needs, but neither Keras nor this
package. For each program it forks. So a program starts as `python program`
does, with Keras still to be imported.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import types

ROOT = pathlib.Path(__file__).parents[1]
# What Keras imports, and takes long. What is missing Keras does without. With
# TensorFlow installed, `keras.utils.set_random_seed` imports it.
NEEDED = {
    "torch": ["torch", "torch._dynamo"],
    "jax": ["jax", "jax.experimental.sparse"],
    "tensorflow": [],
}
ALL_NEED = [
    *("numpy", "scipy.linalg", "h5py", "optree", "rich", "sklearn.base"),
    "tensorflow",
]
HAS_FORK = hasattr(os, "fork")


def run(program, *arguments, cwd=None, path=None, backend=None, **environment):
    """Run a program as `python program` or `python -c program` does.

    Args:
        program: Path of a file, or str. The code.
        *arguments: What the program finds in `sys.argv`.
        cwd: Path. The folder to run in.
        path: What `PYTHONPATH` holds. By default this repository, and what
            it holds here.
        backend: Name. The one of this process by default.
        **environment: Variables besides those of this process.

    Returns:
        `subprocess.CompletedProcess` with text.
    """
    if path is None:
        here = os.environ.get("PYTHONPATH")
        path = os.pathsep.join([str(ROOT), *([here] if here else [])])
    environment = {
        **os.environ,
        "PYTHONPATH": str(path),
        **environment,
        "KERAS_BACKEND": backend or os.environ["KERAS_BACKEND"],
    }
    file = isinstance(program, pathlib.Path)
    if not HAS_FORK:
        how = [str(program)] if file else ["-c", program]
        return subprocess.run(
            [sys.executable, *how, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=cwd,
            check=False,
        )
    with tempfile.TemporaryDirectory() as folder:
        asked = {
            "program": str(program),
            "file": file,
            "arguments": list(map(str, arguments)),
            "cwd": str(cwd or os.getcwd()),
            "environment": environment,
            "out": os.path.join(folder, "out"),
            "error": os.path.join(folder, "error"),
        }
        starter = _starter(environment["KERAS_BACKEND"])
        starter.stdin.write(json.dumps(asked) + "\n")
        starter.stdin.flush()
        code = int(starter.stdout.readline())
        return subprocess.CompletedProcess(
            [sys.executable, str(program), *map(str, arguments)],
            code,
            pathlib.Path(asked["out"]).read_text("utf-8"),
            pathlib.Path(asked["error"]).read_text("utf-8"),
        )


@functools.cache
def _starter(backend):
    process = subprocess.Popen(
        [sys.executable, __file__, backend],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )

    def end():
        process.stdin.close()
        process.wait()

    atexit.register(end)
    return process


def _start(backend):
    """Fork for each program that is asked for, one after the other."""
    sys.path.pop(0)  # the folder of this file
    sys.modules["keras"] = None  # which TensorFlow would import
    for name in [*NEEDED[backend], *ALL_NEED]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    del sys.modules["keras"]
    known = {name.partition(".")[0] for name in sys.modules}
    assert not known & {"keras", "keras_gradguard"}
    gc.freeze()  # or a collection would copy all pages
    answers = os.dup(1)
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            _become(**asked)
            return
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        os.write(answers, f"{code}\n".encode())


def _become(program, file, arguments, cwd, environment, out, error):
    """Be the process that was asked for."""
    for descriptor, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, out, os.O_WRONLY | os.O_CREAT),
        (2, error, os.O_WRONLY | os.O_CREAT),
    ):
        os.dup2(os.open(name, flags), descriptor)
    signal.alarm(600)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    first = os.path.dirname(program) if file else ""
    paths = environment["PYTHONPATH"].split(os.pathsep)
    sys.path[:0] = [first, *paths]
    sys.argv[:] = [program if file else "-c", *arguments]
    if file:
        runpy.run_path(program, run_name="__main__")
    else:
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(program, "<string>", "exec"), main.__dict__)


if __name__ == "__main__":
    _start(sys.argv[1])
