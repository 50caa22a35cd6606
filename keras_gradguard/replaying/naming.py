"""What an operation is called in the code that asked for it."""

import os
import re
import sysconfig

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_PACKAGE = os.path.dirname(_OURS[:-1]) + os.sep
_OPS = os.sep + os.path.join("keras", "src", "ops") + os.sep
_BACKEND = os.sep + os.path.join("keras", "src", "backend") + os.sep
_LIBRARIES = tuple(
    {
        os.path.abspath(path) + os.sep
        for key, path in sysconfig.get_paths().items()
        if key in ("stdlib", "platstdlib", "purelib", "platlib")
    }
)
_PACKAGES = re.compile(r"[/\\](site|dist)-packages[/\\]|^<")
# Functions that every operation comes through.
_COMMON = {
    "call",
    "symbolic_call",
    "compute_output_spec",
    "convert_to_tensor",
    "cast",
    "wrapper",
    "wrapped",
    "error_handler",
    "sparse_wrapper",
    "any_symbolic_tensors",
}


def own_frames(frames):
    """Return the frames inside of the layer, or the step, that was called.

    Args:
        frames: List of `(file, line, function)`, outermost first.
    """
    ours = [at for at, (file, *_) in enumerate(frames) if _is_ours(file)]
    return frames[ours[-1] + 1 :] if ours else frames


def _is_ours(file):
    return os.path.abspath(file).startswith(_OURS)


def name_of(operation):
    """Return what an operation is called: in Keras, else by the backend.

    Args:
        operation: An `Operation`.
    """
    frames = own_frames(operation.frames)
    for folder in (_OPS, _BACKEND):
        for file, _, function in frames:
            known = function in _COMMON or function.startswith(("_", "<"))
            if folder in file and not known and not _is_trainer(file):
                return function
    return operation.name.lower() or "an operation"


def _is_trainer(file):
    return os.path.basename(file) in ("trainer.py", "layer.py")


def line_of(operation):
    """Return `"file:line"` of the user's code, or None where there is none.

    Args:
        operation: An `Operation`.
    """
    for file, line, _ in reversed(own_frames(operation.frames)):
        path = os.path.abspath(file)
        known = path.startswith((_PACKAGE, *_LIBRARIES))
        known = known or _PACKAGES.search(file)
        if not known and os.path.isfile(path):
            return f"{os.path.relpath(path)}:{line}"
    return None
