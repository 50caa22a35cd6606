"""Runs the notebooks of docs/notebooks and keeps what they show.

Usage: python scripts/notebooks.py [name ...]. Change a notebook with Jupyter
or an editor, then run this, so that the site shows what the code does now.
"""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "notebooks"
# Seconds that a single cell may take on a busy machine.
LONGEST = 300


def executed(path, folder):
    """Return a notebook with the outputs of a fresh run.

    Args:
        path: Path of the notebook.
        folder: Where its code runs.

    Returns:
        A `nbformat.NotebookNode`, without times and without warnings.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    import nbclient
    import nbformat

    book = nbformat.read(path, as_version=4)
    for cell in book.cells:
        cell.metadata.clear()
    # The kernel is a process of its own, which draws into its cells.
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ.pop("MPLBACKEND", None)
    try:
        nbclient.NotebookClient(
            book,
            timeout=LONGEST,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": str(folder)}},
        ).execute()
    finally:
        os.environ.clear()
        os.environ.update(before)
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
