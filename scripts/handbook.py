"""Writes what the handbook takes from the code: conditions, programs, pictures.

Usage: python scripts/handbook.py [conditions] [rule ...]

With "conditions" only the conditions and their sources are written, from the
docstrings of the rules, without Keras. Else each program of
docs/handbook/programs is run as well: the page gets the program, what it
prints, and a picture of its run.
"""

import contextlib
import inspect
import io
import pathlib
import re
import runpy
import sys
import textwrap

from keras_gradguard.diagnosis.rules import RULES
from keras_gradguard.findings.causes import ORDER

PAGES = pathlib.Path(__file__).resolve().parents[1] / "docs" / "handbook"
PROGRAMS = PAGES / "programs"
PICTURES = PAGES.parent / "images" / "handbook"
# Panels of `monitor.plot()` that show it, besides the loss.
RATIO = "Update / weights"
SHOWN = dict.fromkeys(("update_ratio", "slow_convergence", "clipping"), RATIO)
COLOURS, DPI, WIDTH = 128, 80, 76
# Powers of ten within which a picture has one colour.
FLAT = 0.01


def block(page, name):
    """Return the match of a marked part of a page."""
    found = re.search(
        rf"(<!-- begin: {name} -->\n)(.*?)(<!-- end -->)", page, re.DOTALL
    )
    if found is None:
        raise ValueError(f"scripts/handbook.py: no part {name!r} in a page")
    return found


def filled(page, name, text):
    """Return a page with a marked part replaced."""
    found = block(page, name)
    return f"{page[: found.end(1)]}\n{text}\n\n{page[found.start(3) :]}"


def condition(rule):
    """Return the condition of a rule and its sources, as Markdown.

    Args:
        rule: Class of a rule.
    """
    text = inspect.cleandoc(rule.__doc__)
    _, text = text.split("\n\n", 1)
    parts = re.split(r"^(References|Notes):\n", text, flags=re.MULTILINE)
    lines = [tidy(parts[0])]
    for kind, part in zip(parts[1::2], parts[2::2], strict=True):
        part = textwrap.dedent(part)
        if kind == "References":
            lines += ["**Sources**", part.strip()]
        else:
            lines.append(tidy(part))
    effects = [name for name in ORDER if name in rule.effects]
    if effects:
        lines.append("**What may follow from it:** " + links(effects))
    causes = [r.id for r in RULES if rule.id in r.effects]
    if causes:
        lines.append("**What may lead to it:** " + links(causes))
    return "\n\n".join(line for line in lines if line)


def tidy(text):
    """Return the body of a docstring without its indentation."""
    return inspect.cleandoc(text).strip()


def links(ids):
    """Return links to the pages of rules, as a sentence."""
    return ", ".join(f"[`{name}`]({name}.md)" for name in ids) + "."


def ran(rule):
    """Run the program of a rule.

    Returns:
        What it prints, and its `GradientMonitor`.
    """
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        names = runpy.run_path(str(PROGRAMS / f"{rule}.py"))
    return out.getvalue(), names["monitor"]


def program(rule, printed):
    """Return the program of a rule and what it prints, as Markdown."""
    code = (PROGRAMS / f"{rule}.py").read_text(encoding="utf-8").strip()
    shown = "\n".join(
        line
        for whole in printed.strip().splitlines()
        for line in textwrap.wrap(whole, WIDTH)
    )
    return (
        f"```python\n{code}\n```\n\nIt prints (your numbers differ a little):"
        f"\n\n```text\n{shown}\n```"
    )


def draw(rule, monitor):
    """Save the loss and the panel that shows a rule, as a small PNG."""
    from PIL import Image

    figure = monitor.plot()
    figure.canvas.draw()
    figure.set_layout_engine("none")
    figure.suptitle("")
    for legend in [*figure.legends]:
        legend.remove()
    loss, heat, bar = figure.axes[:3]
    shown = [loss, heat, bar]
    if rule in SHOWN:
        (panel,) = [
            axes
            for axes in figure.axes
            if axes.get_title(loc="left").startswith(SHOWN[rule])
        ]
        place = loss.get_position()
        panel.set_position(
            [
                place.x0,
                place.y0 - place.height - 0.05,
                place.width,
                place.height,
            ]
        )
        panel.legend(loc="best", fontsize="small")
        shown = [loss, panel]
    elif (bar.get_ylim()[1] - bar.get_ylim()[0]) < FLAT:
        shown.remove(bar)  # of one colour only
    for axes in [*figure.axes]:
        if axes not in shown:
            axes.remove()
    shown[1].set_xlabel("step")
    PICTURES.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    figure.savefig(file, dpi=DPI, bbox_inches="tight", facecolor="white")
    image = Image.open(file).convert("RGB")
    # Dots between two colours would make small letters pale, and the usual
    # choice of colours leaves out that of a few letters.
    kept = Image.Quantize.MAXCOVERAGE
    image = image.quantize(COLOURS, kept, dither=Image.Dither.NONE)
    image.save(PICTURES / f"{rule}.png", optimize=True)


def main(arguments):
    """Write the marked parts of all pages, or of those that are named."""
    ids = [rule.id for rule in RULES]
    named = [name for name in arguments if name in ids]
    for rule in RULES:
        if named and rule.id not in named:
            continue
        path = PAGES / f"{rule.id}.md"
        page = path.read_text(encoding="utf-8")
        page = filled(page, "condition", condition(rule))
        if "conditions" not in arguments:
            printed, monitor = ran(rule.id)
            page = filled(page, "program", program(rule.id, printed))
            draw(rule.id, monitor)
            print(rule.id, [finding.rule for finding in monitor.findings])
        path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
