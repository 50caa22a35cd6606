"""The console at 60, 80 and 120 columns, as a terminal shows it."""

import os
import pty
import subprocess
import sys
from html import escape

from tests.tensorboard_plugin.browser import browsing

_WIDTHS = (60, 80, 120)
_NEXT = "=== next ==="
# Fits the net of the README in a terminal of each width, under Keras's own
# progress bar in the first one.
_PROGRAM = f"""
import os
import keras
import keras_gradguard as kgg
from scripts.pictures import runs
for width in {_WIDTHS}:
    os.environ["COLUMNS"] = str(width)
    keras.utils.set_random_seed(1)
    model = runs.dense(10, "sigmoid")
    model.compile("adam", "binary_crossentropy")
    print("{_NEXT}", flush=True)
    x, y = runs.moons()
    monitor = kgg.GradientMonitor()
    model.fit(x, y, epochs=20, verbose=0, callbacks=[monitor])
"""
_STYLE = """body{margin:0;background:#1c1e26}pre{margin:0;padding:14px;
color:#d8dae0;font:13px/1.35 "DejaVu Sans Mono",monospace;
white-space:pre-wrap;word-break:break-all}"""
# By the number of the colour in a terminal.
_COLOURS = {1: "#ff7b72", 3: "#e3b341"}


def make(folder, runs):
    """Make the pictures of the console."""
    said = _in_a_terminal([sys.executable, "-c", _PROGRAM])
    shown = said.replace("\r\n", "\n").split(f"{_NEXT}\n")[1:]
    for width, text in zip(_WIDTHS, shown, strict=True):
        _picture(folder / f"console_{width}.png", text.strip("\n"), width)


def _in_a_terminal(command):
    """Run a program in a terminal; return what it wrote there."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        command,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        stdin=theirs,
        env=environment,
    )
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # its other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    if process.wait():
        raise RuntimeError(b"".join(parts).decode())
    return b"".join(parts).decode()


def _picture(path, text, width):
    with browsing(1200, 900) as page:
        page.chrome.get("data:text/html,<meta charset=utf-8><pre>")
        page.script(
            "document.head.innerHTML = `<style>${arguments[0]}</style>`;"
            "const pre = document.querySelector('pre');"
            "pre.innerHTML = arguments[1];"
            "pre.style.width = `${arguments[2]}ch`;",
            *(_STYLE, _html(text), width),
        )
        page.find("pre").screenshot(str(path))
    lines = text.count("\n") + 1
    sys.stdout.write(f"{path.name} {lines} lines\n")


def _html(text):
    """Return what a terminal shows, colours too, as HTML."""
    from rich.text import Text

    lines = []
    for line in text.split("\n"):
        line = Text.from_ansi(line)
        at, parts = 0, []
        for span in line.spans:
            parts.append(escape(line.plain[at : span.start]))
            style = _css(span.style)
            inside = escape(line.plain[span.start : span.end])
            parts.append(f'<span style="{style}">{inside}</span>')
            at = span.end
        lines.append("".join([*parts, escape(line.plain[at:])]))
    return "\n".join(lines)


def _css(style):
    from rich.style import Style

    style = style if isinstance(style, Style) else Style.parse(style)
    css = "font-weight:bold;" if style.bold else ""
    colour = _COLOURS.get(style.color.number) if style.color else None
    return css + (f"color:{colour}" if colour else "")
