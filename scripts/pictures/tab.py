"""The tab of TensorBoard, in chromium."""

import sys

from tests.tensorboard_plugin.accessibility import violations
from tests.tensorboard_plugin.browser import browsing
from tests.tensorboard_plugin.conftest import serving


def show(page, run):
    """Open a run."""
    # They are read one after the other.
    page.wait(lambda: run in page.text(".toolbar select"))
    page.choose("Run", run)
    page.wait(lambda: page.text(".panel h2").startswith(run))
    page.wait(lambda: page.all(".detail svg .line"))


def hover(page, x, y):
    """Point at a place of the map."""
    page.script("document.activeElement.blur()")
    page.move_to(".heatmap canvas", x, y)
    to_top(page)


def to_top(page):
    """Scroll to the top: the head of the tab lies over what is scrolled."""
    top = (
        "window.scrollTo({top: 0, behavior: 'instant'});"
        "const done = arguments[0];"
        "requestAnimationFrame(() => requestAnimationFrame(() =>"
        "done(window.scrollY === 0)))"
    )
    page.wait(lambda: page.chrome.execute_async_script(top))


def loaded(page):
    """Wait until what was asked for is drawn."""
    page.wait(lambda: not page.all("main[aria-busy=true]"))


def compare(page, runs, total):
    """Choose runs in the table, and compare them."""
    page.find("button.toggle").click()
    for run in runs:
        page.wait(lambda run=run: page.find(f"[aria-label='Compare {run}']"))
        page.find(f"[aria-label='Compare {run}']").click()
    page.find(".runs-tools button").click()
    page.wait(lambda: len(page.all(".panel .verdict")) == total)


def make(folder, runs):
    """Make the pictures of the tab."""
    with serving(runs) as url:
        _wide(folder, url, len([*runs.glob("*/trace.npz")]))
        _dark_and_narrow(folder, url)


def _shot(folder, page, name):
    page.shot(folder / f"tensorboard_{name}.png")
    found, errors = violations(page), page.errors()
    sys.stdout.write(f"tensorboard_{name}.png {found or ''} {errors or ''}\n")


def _wide(folder, url, total):
    with browsing(1280, 1240) as page:
        page.open(url)
        for name, run, at in (
            ("resnet", "resnet", (0.5, 0.5)),
            ("200_layers", "backbone", (0.6, 0.3)),
        ):
            show(page, run)
            hover(page, *at)
            _shot(folder, page, name)
        page.drag(".heatmap canvas", 0.3, 0.4, 0.6)
        page.wait(lambda: page.find(".steps button").is_enabled())
        loaded(page)
        hover(page, 0.5, 0.6)
        _shot(folder, page, "zoom")
        page.script("document.querySelector('.steps button').click()")
        page.wait(lambda: not page.find(".steps button").is_enabled())
        page.find("button.toggle").click()
        page.wait(lambda: len(page.all(".runs tbody tr")) == total)
        loaded(page)
        to_top(page)
        _shot(folder, page, "runs")
        page.find("button.toggle").click()
        compare(page, ["moons_sigmoid", "moons_relu"], 2)
        page.wait(lambda: len(page.all(".detail svg")) == 4)
        to_top(page)
        _shot(folder, page, "compare")


def _dark_and_narrow(folder, url):
    for name, width, height, dark in (
        ("dark", 1280, 1240, True),
        ("phone", 390, 1500, False),
    ):
        with browsing(width, height) as page:
            page.phone(width, height)
            page.open(url, dark)
            show(page, "ten_sigmoid")
            hover(page, 0.5, 0.2)
            _shot(folder, page, name)
