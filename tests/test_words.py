"""The pages are easy to read: short sentences."""

import json
import pathlib
import re

import pytest

pytestmark = pytest.mark.pure

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "docs").rglob("*.ipynb")),
]
MOST_ON_AVERAGE, MOST = 20, 35
TURNED = ("Told are", "Told is", "Judged is", "Judged are", "Poor are")


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def text_of(page):
    """Return the Markdown of a page, or of the cells of a notebook."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    return "\n\n".join(
        "".join(cell["source"])
        for cell in json.loads(text)["cells"]
        if cell["cell_type"] == "markdown"
    )


def sentences(text):
    """Sentences of prose: no code, tables, headings, images."""
    text = re.sub(r"\A---\n.*?^---\n", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    # Buttons, and what the site takes from docstrings and other files.
    text = re.sub(
        r"\{ \.[^}]*\}|^(:::|--8<--).*$", "", text, flags=re.MULTILINE
    )
    parts, part = [], []
    for line in [*text.splitlines(), ""]:
        line = line.strip()
        begins_item = re.match(r"([-*]|\d+\.) ", line)
        if begins_item or not line or line.startswith(("|", "#", "<", "![")):
            parts.append(" ".join(part).strip())
            part = []
        if begins_item:
            line = line[begins_item.end() :]
        elif line.startswith(("|", "#", "<", "![")):
            continue
        part.append(line)
    for part in parts:
        prose = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", part)
        prose = re.sub(r"`[^`]*`", "code", prose)
        yield from (s for s in re.split(r"(?<=[.!?])\s+", prose) if words(s))


def words(sentence):
    return len(re.findall(r"[A-Za-z0-9][\w'\u2019.,%-]*", sentence))


def test_sentences_are_told_apart():
    text = (
        "# No\n\nOne two. Three\nfour!\n\n- Five `a.b c`.\n\n```\nno\n```\n|no|"
    )
    assert [*sentences(text)] == ["One two.", "Three four!", "Five code."]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_sentences_are_short(page):
    found = [*sentences(text_of(page))]
    if not found:
        return  # a page of another's text
    long = [s for s in found if words(s) > MOST]
    assert not long
    assert sum(map(words, found)) / len(found) <= MOST_ON_AVERAGE


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_subject_comes_first(page):
    assert not [t for t in TURNED if t in text_of(page)]
