"""The code of the guide runs, page after page, and prints what is shown."""

import contextlib
import doctest
import io
import pathlib
import re

import pytest

from tests.test_readme import OPTIONS
from tests.test_readme import blocks
from tests.test_readme import without_numbers

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide"


def pages():
    """Return the pages of the guide, in the order of the site."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    return [GUIDE / name for name in re.findall(r": guide/(\w+\.md)", text)]


def test_the_guide_runs_from_top_to_bottom(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    names = {}
    for page in pages():
        for code, expected, varies in blocks(page.read_text(encoding="utf-8")):
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(code, page.name, "exec"), names)
            if expected is None:
                continue
            shown, printed = expected, out.getvalue()
            if varies:
                shown, printed = map(without_numbers, (shown, printed))
            same = doctest.OutputChecker().check_output(
                shown.strip() + "\n", printed.strip() + "\n", OPTIONS
            )
            assert same, f"{page.name} shows:\n{shown}\nprinted:\n{printed}"
    assert (tmp_path / "report.html").stat().st_size
    assert (tmp_path / "gradients.png").stat().st_size
    # These are told of as what a run directory holds.
    told = (GUIDE / "saved_runs.md").read_text(encoding="utf-8")
    for path in (tmp_path / "runs" / "sick").iterdir():
        name = path.name
        if name.startswith("events.out.tfevents"):
            name = "events.out.tfevents..."
        assert f"`{name}`" in told or name.startswith("."), name
