"""The notebooks run from top to bottom, and show what they say."""

import pathlib

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

from scripts import notebooks

pytestmark = pytest.mark.once

PATHS = sorted(notebooks.FOLDER.glob("*.ipynb"))


def shown(book):
    """Return the kinds of output of each cell: text or picture."""
    return [
        {
            "picture" if "image/png" in output.get("data", {}) else "text"
            for output in cell.get("outputs", [])
        }
        for cell in book.cells
    ]


def test_all_cases_have_a_notebook():
    names = {"circles", "moons", "fifty_layers", "clipping"}
    assert {path.stem for path in PATHS} == names | {"weights_over_epochs"}


@pytest.fixture(scope="module")
def kernel():
    with notebooks.kernel() as manager:
        yield manager


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_has_kept_what_it_shows(path, tmp_path, kernel):
    import nbformat

    # Their last cells assert what they say.
    book = notebooks.executed(path, tmp_path, kernel)
    kept = nbformat.read(path, as_version=4)
    assert shown(kept) == shown(book), "Run scripts/notebooks.py"
    assert any("picture" in kinds for kinds in shown(kept))
    assert pathlib.Path(path).stat().st_size < 200_000
    assert not [*tmp_path.iterdir()]
