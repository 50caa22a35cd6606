"""Runs the notebooks of docs/notebooks and keeps what they show.

Usage: python scripts/notebooks.py [name ...]. Change a notebook with Jupyter
or an editor, then run this, so that the site shows what the code does now.
"""

import contextlib
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "notebooks"
# Seconds that a single cell may take on a busy machine.
LONGEST = 300
# Leaves nothing of one notebook to the next in the same process.
CLEARED = """\
import os, keras, matplotlib.pyplot
os.chdir({folder!r})
keras.backend.clear_session()
matplotlib.pyplot.close("all")
%reset -f
"""


@contextlib.contextmanager
def kernel():
    """Yield a process for several notebooks: to start one takes longest."""
    import jupyter_client

    # It draws into the cells.
    manager = jupyter_client.KernelManager(kernel_name="python3")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("MPLBACKEND", None)
    manager.start_kernel(env=environment)
    try:
        yield manager
    finally:
        manager.shutdown_kernel(now=True)


def _clear(manager, folder):
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready()
        done = client.execute_interactive(
            CLEARED.format(folder=str(folder)), store_history=False
        )
    finally:
        client.stop_channels()
    if done["content"]["status"] != "ok":
        raise RuntimeError(done["content"]["evalue"])


def executed(path, folder, manager=None):
    """Return a notebook with the outputs of a fresh run.

    Args:
        path: Path of the notebook.
        folder: Where its code runs.
        manager: What `kernel` yields. By default the notebook has a process
            of its own.

    Returns:
        A `nbformat.NotebookNode`, without times and without warnings.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    if manager is None:
        with kernel() as manager:
            return executed(path, folder, manager)
    import nbclient
    import nbformat

    book = nbformat.read(path, as_version=4)
    for cell in book.cells:
        cell.metadata.clear()
    _clear(manager, folder)
    client = nbclient.NotebookClient(
        book, km=manager, timeout=LONGEST, record_timing=False
    )
    try:
        client.execute()
    finally:
        client.kc.stop_channels()
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                output
                for output in cell.outputs
                if output.get("name") != "stderr"
            ]
    book.metadata.pop("language_info", None)
    return book


def main(names):
    """Run the notebooks of these names, or all, and save them."""
    import nbclient
    import nbformat

    failed = []
    for path in sorted(FOLDER.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        try:
            book = executed(path, FOLDER)
        except nbclient.exceptions.CellExecutionError as error:
            print(path.stem, error, sep="\n")
            failed.append(path.stem)
            continue
        nbformat.write(book, path)
        print(path.stem, f"{path.stat().st_size // 1000} kB")
    if failed:
        sys.exit(f"scripts/notebooks.py: {', '.join(failed)} failed")


if __name__ == "__main__":
    main(sys.argv[1:])
