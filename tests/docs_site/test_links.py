"""The check of the site's links sees what is wrong."""

import pathlib

import pytest

from scripts.site import broken

pytestmark = pytest.mark.pure


def write(path, body):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<html><body>{body}</body></html>")


@pytest.fixture
def site(tmp_path):
    write(tmp_path / "index.html", '<h1 id="top">A</h1>')
    write(tmp_path / "b" / "index.html", '<a href="../index.html#top">A</a>')
    (tmp_path / "x.png").write_bytes(b"")
    return tmp_path


def test_a_whole_site_has_nothing_broken(site):
    good = (
        '<a href="b/">B</a><img src="x.png"><a href="#here" id="here">C</a>'
        '<a href="https://example.org/x">far</a><a href="mailto:a@b.c">m</a>'
    )
    write(site / "c.html", good)
    assert broken(site) == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('<a href="gone.html">A</a>', "gone.html leads nowhere"),
        ('<img src="gone.png">', "gone.png leads nowhere"),
        ('<a href="index.html#no">A</a>', "index.html#no has no such anchor"),
        ('<a href="#no">A</a>', "#no has no such anchor"),
        ('<script src="https://a.b/c.js"></script>', "from elsewhere"),
        ('<link href="//a.b/c.css">', "from elsewhere"),
        ('<img src="https://a.b/c.png">', "from elsewhere"),
    ],
)
def test_what_is_broken_is_told(site, body, told):
    write(site / "d.html", body)
    (line,) = broken(site)
    assert line.startswith("d.html: ")
    assert line.endswith(told)


def test_the_site_lists_each_page_once():
    root = pathlib.Path(__file__).parents[2]
    text = (root / "mkdocs.yml").read_text(encoding="utf-8")
    nav = text[text.index("\nnav:\n") :]
    names = {
        path.relative_to(root / "docs").as_posix()
        for end in ("md", "ipynb")
        for path in (root / "docs").rglob(f"*.{end}")
    }
    for name in names:
        assert nav.count(f" {name}\n") == 1, f"{name} in mkdocs.yml"
