"""HTML reports and the index page in a real browser: any width, any light."""

import base64
import re

import numpy as np
import pytest

from keras_gradguard import commands
from keras_gradguard.reporting.run_directory import TRACE
from tests.diagnosis.synthetic import make_trace
from tests.diagnosis.synthetic import steady
from tests.reporting.conftest import with_weights
from tests.tensorboard_plugin.accessibility import violations
from tests.tensorboard_plugin.browser import browsing

pytestmark = pytest.mark.pure


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory of three runs: sick, sound, damaged."""
    folder = tmp_path_factory.mktemp("runs")
    profile = np.geomspace(1e-9, 1, 100)
    runs = {
        "a_run_with_a_long_name/of_a_search_of_learning_rates/3e-4": (
            make_trace(steady(profile), np.full(200, 0.693))
        ),
        "sound": make_trace(steady(np.ones(4)), np.linspace(0.7, 0.1, 200)),
    }
    for name, trace in runs.items():
        (folder / name).mkdir(parents=True)
        with_weights(trace).save(folder / name / TRACE)
    (folder / "damaged").mkdir()
    (folder / "damaged" / TRACE).write_bytes(b"foreign")
    assert commands.main(["report", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def browser(folder):
    with browsing(1000, 1000) as page:
        yield page


def pages(folder):
    return [folder / "index.html", *sorted(folder.rglob("report.html"))]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1000])
def test_pages_fit_and_axe_core_finds_nothing(folder, browser, width, dark):
    browser.phone(width, 1000)
    browser.scheme(dark)
    for path in pages(folder):
        browser.chrome.get(path.as_uri())
        wide = browser.script("return document.documentElement.scrollWidth")
        assert wide <= width, path
        background = browser.script(
            "return getComputedStyle(document.body).backgroundColor"
        )
        assert (sum(map(int, background[4:-1].split(","))) < 300) == dark
        assert violations(browser) == []


def test_a_report_of_a_hundred_layers_prints_on_three_pages(folder, browser):
    for path in folder.rglob("report.html"):
        browser.chrome.get(path.as_uri())
        paper = {"paperWidth": 8.27, "paperHeight": 11.69}  # A4, in inches
        printed = browser.chrome.execute_cdp_cmd("Page.printToPDF", paper)
        pages = re.findall(
            rb"/Type\s*/Page\b", base64.b64decode(printed["data"])
        )
        assert 1 <= len(pages) <= 3, path


def test_the_list_of_runs_needs_no_scrolling_on_a_phone(folder, browser):
    browser.phone(390, 1000)
    browser.chrome.get((folder / "index.html").as_uri())
    inside, room = browser.script(
        "const box = document.querySelector('.wide');"
        "return [box.scrollWidth, box.clientWidth]"
    )
    assert inside <= room
    sick = browser.all("tbody tr")[1].text
    assert "vanishing_gradient" in sick
    # The head has no room: each cell says what it is.
    title = browser.script(
        "const row = document.querySelectorAll('tbody tr')[1];"
        "return [getComputedStyle(row.cells[1], '::before').content,"
        " row.cells[1].dataset.title]"
    )
    assert title == ['"Verdict"', "Verdict"] or title[0].startswith("attr(")
