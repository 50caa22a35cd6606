"""HTML reports and the index page: on a screen, on a phone, in print."""

import base64
import contextlib
import shutil
import subprocess
import sys

from keras_gradguard import commands
from tests.tensorboard_plugin.accessibility import violations
from tests.tensorboard_plugin.browser import browsing

# Pixels of an A4 page in a browser.
_PAPER = 794, 1123


def make(folder, runs):
    """Make the pictures of the pages."""
    # Pages say where they lie: seen from beside them.
    with contextlib.chdir(runs.parent):
        commands.main(["report", runs.name])
    index = runs / "index.html"
    report = runs / "ten_sigmoid" / "report.html"
    for name, path, size, dark in (
        ("report", report, (900, 1250), False),
        ("report_dark", report, (900, 1250), True),
        ("report_phone", report, (390, 1500), False),
        ("report_resnet_phone", runs / "resnet/report.html", (390, 1500), 0),
        ("report_index", index, (1000, 600), False),
        ("report_index_phone", index, (390, 1400), False),
    ):
        with browsing(*size) as page:
            page.phone(*size)
            page.scheme(dark)
            page.chrome.get(path.resolve().as_uri())
            page.chrome.save_screenshot(str(folder / f"{name}.png"))
            wide = page.script("return document.documentElement.scrollWidth")
            found = violations(page)
            sys.stdout.write(f"{name}.png {wide} px wide {found or ''}\n")
    for name in ("ten_sigmoid", "backbone"):
        _printed(folder, name, runs / name / "report.html")


def _printed(folder, name, path):
    """Print a report, and keep a picture of the first page."""
    with browsing(*_PAPER) as page:
        page.chrome.get(path.resolve().as_uri())
        printed = page.chrome.execute_cdp_cmd("Page.printToPDF", {})
    file = path.with_suffix(".pdf")
    file.write_bytes(base64.b64decode(printed["data"]))
    if shutil.which("pdftoppm") is None:
        sys.stdout.write("no pdftoppm (poppler-utils): no picture of print\n")
        return
    told = subprocess.check_output(["pdfinfo", file], text=True)
    pages = next(one for one in told.splitlines() if one.startswith("Pages"))
    sys.stdout.write(f"{name} in print: {pages}\n")
    picture = folder / f"report_print_{name}"
    command = ["pdftoppm", "-png", "-r", "70", "-f", "1", "-l", "1"]
    subprocess.check_call([*command, "-singlefile", file, picture])
