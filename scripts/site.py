"""Builds the site strictly, then checks every link of what was built.

Usage: python scripts/site.py [directory]. Keras is not needed.
"""

import html.parser
import logging
import os
import pathlib
import sys
import urllib.parse

# The theme prints an advertisement for its successor.
os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")

ROOT = pathlib.Path(__file__).resolve().parents[1]
# What a browser fetches as soon as it opens a page.
LOADED = {
    ("img", "src"),
    ("script", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("link", "href"),
}


class Page(html.parser.HTMLParser):
    """The anchors and links of a page.

    Attributes:
        anchors: Set of str.
        links: List of str. What a reader may follow.
        loaded: List of str. What the browser fetches.
    """

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.loaded = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif (tag, name) in LOADED:
                self.loaded.append(value)
            elif name == "href":
                self.links.append(value)


def build(directory):
    """Build the site into a directory; a warning is an error.

    Raises:
        SystemExit: If the build fails or warns.
    """
    from mkdocs.commands.build import build as mkdocs_build
    from mkdocs.config import load_config
    from mkdocs.exceptions import Abort
    from mkdocs.utils import CountHandler

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    counter = CountHandler()
    counter.setLevel(logging.WARNING)
    logging.getLogger("mkdocs").addHandler(counter)
    # Paths in mkdocs.yml are relative to the repository.
    os.chdir(ROOT)
    config = load_config(
        str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(directory)
    )
    try:
        mkdocs_build(config)
    except Abort as error:
        sys.exit(f"scripts/site.py: {error}")
    if sum(count for _, count in counter.get_counts()):
        sys.exit("scripts/site.py: the build warned, see above")


def broken(directory):
    """Return what is wrong with the links of a built site, as lines.

    Args:
        directory: Path of the site.
    """
    pages = {
        path: Page(path.read_text(encoding="utf-8"))
        for path in sorted(directory.rglob("*.html"))
    }
    wrong = []
    for path, page in pages.items():
        where = path.relative_to(directory)
        for link in [*page.links, *page.loaded]:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme in ("http", "https") or parts.netloc:
                if link in page.loaded:
                    wrong.append(f"{where}: loads {link} from elsewhere")
                continue
            if parts.scheme in ("data", "mailto", "javascript"):
                continue
            # The page for what is missing links from the root.
            base = directory if parts.path[:1] == "/" else path.parent
            name = urllib.parse.unquote(parts.path).lstrip("/")
            target = (base / name).resolve() if name else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                wrong.append(f"{where}: {link} leads nowhere")
            elif parts.fragment and target in pages:
                anchor = urllib.parse.unquote(parts.fragment)
                if anchor not in pages[target].anchors | {"", "__top"}:
                    wrong.append(f"{where}: {link} has no such anchor")
    return wrong


def main(arguments):
    """Build, check, and say so."""
    directory = pathlib.Path(*arguments or (ROOT / "build" / "site",)).resolve()
    build(directory)
    wrong = broken(directory)
    if wrong:
        sys.exit("\n".join(["scripts/site.py: broken links:", *wrong]))
    pages = len([*directory.rglob("*.html")])
    print(f"scripts/site.py: {pages} pages, all links lead somewhere")


if __name__ == "__main__":
    main(sys.argv[1:])
