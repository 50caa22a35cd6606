"""Makes the pictures of the tab in the documentation.

    python -m tests.tensorboard_plugin.pictures docs/images

It needs chromium and chromedriver. The runs are made up (`made_up.py`): nets
of 10, 122 and 200 layers, up to 10,000 steps. `AXE_CORE` may name the file
`axe.min.js` of axe-core; then each page is checked with it, too.
"""

import pathlib
import sys
import tempfile

from tests.tensorboard_plugin import made_up
from tests.tensorboard_plugin.accessibility import violations
from tests.tensorboard_plugin.browser import browsing
from tests.tensorboard_plugin.conftest import serving


def write_runs(folder):
    """Write the runs that the pictures show."""
    made_up.write(folder / "resnet", made_up.resnet())
    made_up.write_deep(folder / "backbone")
    made_up.write(folder / "sigmoid", made_up.sigmoid())
    for seed, steps in enumerate((480, 720, 300)):
        made_up.write(
            folder / f"relu_{seed + 1}",
            made_up.sigmoid(steps, "relu", seed=seed),
        )


def show(page, run):
    page.choose("Run", run)
    page.wait(lambda: page.text(".panel h2").startswith(run))
    page.wait(lambda: page.all(".detail svg .line"))


def hover(page, x, y):
    page.script("window.scrollTo(0, 0); document.activeElement.blur()")
    page.move_to(".heatmap canvas", x, y)


def compare(page, runs, total):
    page.find("button.toggle").click()
    for run in runs:
        page.wait(lambda run=run: page.find(f"[aria-label='Compare {run}']"))
        page.find(f"[aria-label='Compare {run}']").click()
    page.find(".runs-tools button").click()
    page.wait(lambda: len(page.all(".panel .verdict")) == total)


def make(folder, url, names):
    """Make the pictures of these names, or all."""
    done = []

    def shot(page, name):
        found = violations(page)
        page.shot(folder / f"tensorboard_{name}.png")
        errors = page.errors()
        done.append(name)
        sys.stdout.write(f"{name}: {found or ''} {errors or ''}\n")

    with browsing(1280, 1240) as page:
        page.open(url)
        for name, run, at in (
            ("resnet", "resnet", (0.5, 0.5)),
            ("200_layers", "backbone", (0.6, 0.62)),
        ):
            show(page, run)
            hover(page, *at)
            shot(page, name)
        page.drag(".heatmap canvas", 0.74, 0.82, 0.6)
        page.wait(lambda: page.find(".steps button").is_enabled())
        page.wait(lambda: "7," in page.text(".options") or True)
        hover(page, 0.5, 0.6)
        shot(page, "zoom")
        page.click(".steps button", 0.5, 0.5)
        page.find("button.toggle").click()
        page.wait(lambda: len(page.all(".runs tbody tr")) == 6)
        shot(page, "runs")
        compare_off = page.find("button.toggle")
        compare_off.click()
        compare(page, ["sigmoid", "relu_1"], 2)
        page.wait(lambda: len(page.all(".detail svg")) == 4)
        shot(page, "compare")
        compare(page, ["relu_2", "relu_3"], 4)
        shot(page, "compare_four")
        # Back to one run: the list of the first already says this one.
        page.choose("Compare with", "")
        show(page, "sigmoid")
        hover(page, 0.4, 0.06)
        shot(page, "light")
        page.find(".finding summary").click()
        page.script("document.querySelector('.finding').scrollIntoView()")
        shot(page, "finding")
    for name, width, height, dark in (
        ("dark", 1280, 1240, True),
        ("phone", 390, 1500, False),
    ):
        with browsing(width, height) as page:
            page.phone(width, height)
            page.open(url, dark)
            show(page, "sigmoid")
            hover(page, 0.5, 0.2)
            shot(page, name)
    return done


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as runs:
        write_runs(pathlib.Path(runs))
        with serving(runs) as url:
            make(folder, url, None)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
