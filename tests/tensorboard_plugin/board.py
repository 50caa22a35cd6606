"""TensorBoards that share their imports, which take most of a short life.

One process imports TensorBoard, its plugins and TensorFlow. For each line of
arguments it forks, and the child serves until it is killed. Where there is no
`fork`, it serves the first line itself.
"""

import contextlib
import gc
import json
import os
import sys
import time

HAS_FORK = hasattr(os, "fork")


def imported():
    """What a TensorBoard is made of, all of it imported."""
    from tensorboard import compat
    from tensorboard import default
    from tensorboard import program

    from keras_gradguard.tensorboard_plugin.loader import GradGuardLoader

    plugins = [p for p in default.get_plugins() if p is not GradGuardLoader]
    # Imported when it is first asked for anything, else by each child.
    with contextlib.suppress(ImportError):
        _ = compat.tf.__version__
    return program, [*plugins, GradGuardLoader]


def serve(program, plugins, arguments, answers):
    """Serve until the process ends; tell its number and the address."""
    board = program.TensorBoard(plugins=plugins)
    board.configure(argv=["tensorboard", *arguments])
    url = board.launch()
    os.write(answers, f"{json.dumps([os.getpid(), url])}\n".encode())
    while True:
        time.sleep(3600)


def main():
    """Fork for each line of arguments."""
    made = imported()
    answers = os.dup(1)
    os.dup2(2, 1)
    gc.freeze()  # or a collection would copy all pages
    for line in sys.stdin:
        if HAS_FORK and os.fork():
            continue
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        try:
            serve(*made, json.loads(line), answers)
        finally:
            os.write(answers, b"[0, null]\n")
            os._exit(1)
    # So that the time they took is known to who waits for this process.
    with contextlib.suppress(ChildProcessError):
        while HAS_FORK:
            os.wait()


if __name__ == "__main__":
    main()
