"""Everything that the README shows, runs and prints what it says."""

import contextlib
import doctest
import io
import pathlib
import re
import warnings

import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(
    r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
# Said of an output whose numbers and layers depend on the backend.
VARIES = "your numbers differ"
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(page=README):
    """Return (code, output or None, whether numbers vary), in order."""
    found = list(BLOCK.finditer(page))
    shown = []
    for at, block in enumerate(found):
        if block["kind"] != "python":
            continue
        after = found[at + 1] if at + 1 < len(found) else None
        output, varies = None, False
        if after is not None and after["kind"] == "text":
            output = after["text"]
            varies = VARIES in page[block.end() : after.start()]
        shown.append((block["text"], output, varies))
    return shown


def without_numbers(text):
    """Mask numbers, bars, and layers, which depend on close numbers."""
    text = re.sub(r"[▁-█0]*[▁-█][▁-█0]*", "BARS", text)
    text = re.sub(r"\s+", " ", text)
    # By a little more or less it fell or has hardly moved.
    text = re.sub(r"The loss .*?(?=BARS)", "The loss: ", text)
    text = re.sub(r"(net/\w+(, | and | to )?)+", "LAYERS ", text)
    return re.sub(r"\d+(?:[.,]\d+)*(e-?\d+)?", "#", text)


def test_python_blocks_run_in_order_and_print_what_is_shown(
    tmp_path, monkeypatch
):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for code, expected, varies in blocks():
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(code, "README.md", "exec"), names)
            printed = out.getvalue()
            if expected is None:
                continue
            if varies:
                printed = without_numbers(printed)
                expected = without_numbers(expected)
            same = doctest.OutputChecker().check_output(
                expected.strip() + "\n", printed.strip() + "\n", OPTIONS
            )
            assert same, f"README shows:\n{expected}\nprinted:\n{printed}"
    assert (tmp_path / "report.html").stat().st_size
    names["figure"].clear()


def test_readme_is_short_and_its_files_exist():
    assert len(README.splitlines()) <= 250
    for path in re.findall(r"`((?:examples|benchmarks)/\w+\.py)`", README):
        assert (ROOT / path).is_file(), path


def test_ci_calls_the_command_that_the_readme_names():
    command = "bash scripts/test"
    shell = [b["text"] for b in BLOCK.finditer(README) if b["kind"] == "bash"]
    assert f"{command}\n" in shell
    assert f"\n{command}" in (ROOT / ".ci" / "run").read_text()
