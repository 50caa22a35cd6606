"""Findings as they come, and a summary, on the terminal."""

import shutil
import sys
import textwrap
import warnings
from typing import Any

from keras_gradguard._text import showable
from keras_gradguard.exceptions import GradGuardWarning
from keras_gradguard.findings.causes import ENDED
from keras_gradguard.findings.causes import ranked
from keras_gradguard.reporting.brief import brief
from keras_gradguard.reporting.layer_table import layer_table
from keras_gradguard.reporting.layer_table import span
from keras_gradguard.reporting.lives import end_of
from keras_gradguard.reporting.reporter import Reporter
from keras_gradguard.reporting.spark import bands
from keras_gradguard.reporting.spark import can_show
from keras_gradguard.reporting.spark import sparkline
from keras_gradguard.reporting.tables import clipping
from keras_gradguard.reporting.tables import verdict

_COLOURS = {"critical": "bold red", "warning": "bold yellow"}
_SIGNS = {"critical": "✖", "warning": "!"}
_IN_ASCII = {"✖": "x"}
_PLAIN_WIDTH = 120
_CODE_LINES = 5
_FEWEST_BARS = 8
_FULL = "print(monitor.report())"


class ConsoleReporter(Reporter):
    """Prints findings as they come and a summary at the end.

    A finding is four lines: what and where, by how much (with a bar for each
    layer, from input to output), what the loss does, what to do. What does not
    fit a narrow terminal has a further line. A healthy
    run gets one line. Colours and tables follow the terminal; where the
    output is no terminal, it is plain text. Each message starts on a line
    of its own, because Keras's progress bar leaves its line open.

    Args:
        verbose: Int or `"auto"`. 0 prints nothing, 1 (and `"auto"`) findings
            and a summary, 2 the table of layers for healthy runs, too.
            Defaults to 1.
    """

    work = "printing"

    def __init__(self, verbose=1):
        self.verbose = 1 if verbose == "auto" else verbose
        self._told = {}

    def on_findings(self, findings, trace):
        """Print four lines per finding."""
        if not self.verbose:
            return
        page = _Page()
        for finding in findings:
            self._told[finding.key] = finding.status
            page.line("")
            _print_finding(page, brief(finding, trace))
        page.flush()

    def on_judged(self, findings, history, trace):
        """Print what has become of those that were printed, once each."""
        if not self.verbose:
            return
        page = _Page()
        for finding in history:
            before = self._told.get(finding.key, finding.status)
            if before == finding.status:
                continue
            self._told[finding.key] = finding.status
            if finding.status in ENDED:
                page.line("")
                page.line(f"GradGuard: {end_of(finding)}")
                if finding.status == "withdrawn":
                    page.line("Do not follow its advice.", indent=2)
        page.flush()

    def close(self, trace, findings):
        """Print the summary."""
        if not self.verbose:
            return
        page = _Page()
        if findings:
            page.line("")
        page.line(f"GradGuard: {verdict(trace, findings)}")
        clipped = clipping(trace)
        if clipped is not None:
            page.line(f"  {clipped}")
        for note in trace.meta.get("notes") or ():
            page.line(f"  {note}")
        findings = ranked(findings)
        shown: set = set()
        for at, finding in enumerate(findings):
            _print_remedy(page, finding, at + 1, trace, shown)
        if findings or self.verbose > 1:
            page.line("")
            for line in layer_table(trace, findings, page.width):
                page.line(line, whole=True)
        if findings:
            page.line("")
            page.line(f"All numbers, reasons and code: {_FULL}")
        page.flush()

    def close_again(self, trace, findings):
        """Print nothing: the summary of the fit before says the same."""


def _print_finding(page, lines):
    sign = page.sign(_SIGNS.get(lines.severity, "!"))
    page.line(
        ("GradGuard ", ""),
        (f"{sign} {lines.rule}", _COLOURS.get(lines.severity, "")),
        (f"  {lines.where}", ""),
    )
    for line in _fact_and_bars(page, lines):
        page.line(line, indent=2)
    if lines.loss:
        room = page.width - len(lines.loss) - 3
        most = min(len(lines.losses), max(_FEWEST_BARS, room))
        bars = sparkline(bands(lines.losses, most), page.encoding)
        page.line(f"{lines.loss} {bars}".rstrip(), indent=2)
    if lines.do:
        page.line(("Do: ", "bold"), (f"{lines.do}.", ""), indent=2)


def _fact_and_bars(page, lines):
    """Return by how much, and its bars: in one line where they fit."""
    if not len(lines.profile):
        return [lines.fact]
    what, after = lines.profile_of, f" ({span(lines.profile)})"
    room = page.width - 2 - len(after)
    few = min(len(lines.profile), _FEWEST_BARS)
    both = f"{lines.fact} {what[0].upper()}{what[1:]}, input to output: "
    alone = f"{what}, from input to output: "
    fits = len(both) + min(len(lines.profile), 2 * few) <= room
    if not fits and len(alone) + few > room:
        alone = f"{what}, input to output: "
    before = both if fits else alone
    shown = bands(lines.profile, max(_FEWEST_BARS, room - len(before)))
    bars = f"{before}{sparkline(shown, page.encoding)}{after}"
    return [bars] if fits else [lines.fact, bars]


def _print_remedy(page, finding, place, trace, shown):
    """Print a finding of the summary, with the code of its first remedy."""
    indent = 4 if finding.cause else 2
    where = brief(finding, trace).where
    page.line(
        (f"{place}  ", ""),
        (finding.rule, _COLOURS.get(finding.severity, "")),
        (f"  {where}, to step {finding.last_step}, {finding.status}", ""),
        indent=indent,
    )
    # What helps against the cause helps against what follows.
    for remedy in finding.remedies[: 0 if finding.cause else 1]:
        page.line(f"{remedy.title}:", indent=5)
        lines = _first_lines(remedy.code)
        if remedy.code in shown:
            lines = ["(as above)"]
        shown.add(remedy.code)
        for line in lines:
            page.line(line, indent=7, whole=True)


class _Replacing:
    """A stream that takes what its encoding lacks as question marks.

    Args:
        stream: The stream.
    """

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        """Write text."""
        return self._stream.write(showable(text, self._stream))


class _Page:
    """Lines for what is stdout now, which tests and notebooks swap.

    Layer names may hold square brackets, so markup is off throughout.

    Attributes:
        width: Int. Columns to wrap at.
        encoding: Str. Of stdout.
    """

    def __init__(self):
        from rich.console import Console

        file: Any = _Replacing(sys.stdout)
        terminal = getattr(sys.stdout, "isatty", lambda: False)()
        self.encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        self.width = _PLAIN_WIDTH
        if terminal:
            columns = shutil.get_terminal_size().columns
            self.width = min(columns, _PLAIN_WIDTH)
        self._console = Console(
            file=file,
            markup=False,
            emoji=False,
            highlight=False,
            force_jupyter=False,
            # A line that is too long is wrapped here, or is code.
            width=10_000,
        )
        self._lines: list = []

    def sign(self, sign):
        """Return a sign, or what stands for it in this encoding."""
        shown = can_show(sign, self.encoding)
        return sign if shown else _IN_ASCII.get(sign, "?")

    def line(self, *parts, indent=0, whole=False):
        """Add a line.

        Args:
            *parts: Str, or pairs of text and style.
            indent: Int. Blanks before it; what is wrapped gets two more.
            whole: Bool. Never wrap: code can be copied.
        """
        from rich.text import Text

        text = Text(" " * indent)
        for part in parts:
            text.append(*([part] if isinstance(part, str) else part))
        if whole or len(text) <= self.width:
            self._lines.append(text)
            return
        hang = " " * (indent + 2)
        plain = textwrap.wrap(
            text.plain,
            max(20, self.width),
            subsequent_indent=hang,
            drop_whitespace=True,
            break_on_hyphens=False,
        )
        # The styles are at the start, which is not moved.
        first = text[: len(plain[0])]
        self._lines.append(first)
        self._lines += [Text(line) for line in plain[1:]]

    def flush(self):
        """Print the lines."""
        lines, self._lines = self._lines, []
        if sys.stdout is None:
            return  # As `print` does in a program without a console.
        for text in lines:
            self._console.print(text, soft_wrap=True)


def say(text):
    """Print a paragraph as the reporter prints its own.

    Where stdout is gone, it becomes a warning: no training ends for it.

    Args:
        text: Str.
    """
    page = _Page()
    # Keras's progress bar leaves its line open.
    page.line("")
    page.line(text)
    try:
        page.flush()
    except (OSError, ValueError):
        warnings.warn(text, GradGuardWarning, stacklevel=2)


def _first_lines(code):
    """Return the lines of a remedy, few where it names fifty layers."""
    lines = code.splitlines()
    if len(lines) <= _CODE_LINES + 1:
        return lines
    more = len(lines) - _CODE_LINES
    return [*lines[:_CODE_LINES], f"... {more} more lines: {_FULL}"]
