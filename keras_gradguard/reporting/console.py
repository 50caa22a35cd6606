"""Findings as they come, and a summary, on the terminal."""

import sys
from typing import Any

from keras_gradguard.findings.causes import ranked
from keras_gradguard.reporting.tables import clipping
from keras_gradguard.reporting.tables import layer_rows
from keras_gradguard.reporting.tables import shown_columns
from keras_gradguard.reporting.tables import verdict

_COLOURS = {"critical": "bold red", "warning": "bold yellow"}
_PLAIN_WIDTH = 120
_CODE_LINES = 5
_NAME_WIDTH = 40


class ConsoleReporter:
    """Prints findings as they come and a summary at the end.

    A healthy run gets one line. Colours and tables follow the terminal; where
    the output is no terminal, it is plain text. Each message starts on a line
    of its own, because Keras's progress bar leaves its line open.

    Args:
        verbose: Int. 0 prints nothing, 1 findings and a summary, 2 the table
            of layers for healthy runs, too. Defaults to 1.
    """

    def __init__(self, verbose=1):
        self.verbose = verbose

    def on_findings(self, findings, trace):
        """Print one paragraph per finding."""
        if not self.verbose:
            return
        from rich.text import Text

        console = _console()
        for finding in findings:
            text = Text("\n")
            text.append("GradGuard ")
            text.append(finding.rule, style=_COLOURS.get(finding.severity, ""))
            text.append(f" since step {finding.first_step}")
            if finding.epoch is not None:
                text.append(f" (epoch {finding.epoch + 1})")
            if finding.cause:
                text.append(f", follows from {finding.cause}")
            text.append(f": {finding.message}")
            if finding.remedies and not finding.cause:
                text.append(f" Try: {finding.remedies[0].title}.")
            _print(console, text)

    def on_records(self, trace, first_step):
        """Print nothing."""

    def on_histogram(self, histogram, trace):
        """Print nothing."""

    def on_epoch(self, trace, epoch):
        """Print nothing."""

    def close(self, trace, findings):
        """Print the summary."""
        if not self.verbose:
            return
        from rich.text import Text

        console = _console()
        lead = "\n" if findings else ""
        _print(console, Text(f"{lead}GradGuard: {verdict(trace, findings)}"))
        shown = set()
        clipped = clipping(trace)
        if clipped is not None:
            _print(console, Text(f"  {clipped}"))
        for finding in ranked(findings):
            where = ", ".join(finding.layers[:3]) or "the whole model"
            more = len(finding.layers) - 3
            where += f" and {more} more" if more > 0 else ""
            line = Text("    " if finding.cause else "  ")
            line.append(finding.rule, style=_COLOURS.get(finding.severity, ""))
            line.append(
                f", steps {finding.first_step}-{finding.last_step}: {where}"
            )
            _print(console, line)
            # What helps against the cause helps against what follows.
            for remedy in finding.remedies[: 0 if finding.cause else 1]:
                code = "\n      ".join(_first_lines(remedy.code))
                if remedy.code in shown:
                    code = "(as above)"
                shown.add(remedy.code)
                _print(console, Text(f"    {remedy.title}:\n      {code}"))
        if findings or self.verbose > 1:
            _print_table(console, layer_rows(trace, findings))


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
        """Write text; a name that cannot be shown must not end the record."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        data = text.encode(encoding, errors="replace")
        return self._stream.write(data.decode(encoding))


def _console():
    """Return a console on what is stdout now, which tests and notebooks swap.

    Layer names may hold square brackets, so markup is off throughout.
    """
    from rich.console import Console

    file: Any = _Replacing(sys.stdout)
    terminal = getattr(sys.stdout, "isatty", lambda: False)()
    return Console(
        file=file,
        markup=False,
        emoji=False,
        highlight=False,
        width=None if terminal else _PLAIN_WIDTH,
    )


def say(text):
    """Print a line of text as the reporter prints its own.

    Args:
        text: Str.
    """
    from rich.text import Text

    _print(_console(), Text(text))


def _print(console, text):
    # A log file is searched by line, so nothing is wrapped there.
    console.print(text, soft_wrap=not console.is_terminal)


def _first_lines(code):
    """Return the lines of a remedy, few where it names fifty layers."""
    lines = code.splitlines()
    if len(lines) <= _CODE_LINES + 1:
        return lines
    more = len(lines) - _CODE_LINES
    return [*lines[:_CODE_LINES], f"... {more} more lines, see the report"]


def _print_table(console, rows):
    from rich import box
    from rich.table import Table
    from rich.text import Text

    columns = shown_columns(rows)
    table = Table(box=box.SIMPLE, pad_edge=False)
    rows = [
        {**row, "rules": row.get("rules", "").replace(", ", "\n")}
        for row in _shortened(rows)
    ]
    for key, title in columns:
        # A name that is cut in two cannot be searched for.
        name = key in ("layer", "rules")
        texts = [row.get(key, "") for row in rows] if name else [title]
        words = " ".join(texts).split()
        table.add_column(
            Text(title),
            justify="left" if name else "right",
            min_width=min(_NAME_WIDTH, max(map(len, words))),
            no_wrap=name,
            overflow="ellipsis" if name else "fold",
        )
    for row in rows:
        table.add_row(*(Text(row.get(key, "")) for key, _ in columns))
    console.print(table)


def _shortened(rows, limit=30):
    """Keep the rows with findings, and the ends of a long table."""
    if len(rows) <= limit:
        return rows
    keep = {*range(limit // 3), *range(len(rows) - limit // 3, len(rows))}
    keep |= (
        {i for i, row in enumerate(rows) if row["rules"]}
        if len([row for row in rows if row["rules"]]) <= limit
        else set()
    )
    out, last = [], -1
    for at in sorted(keep):
        if at > last + 1:
            out.append({"layer": f"... {at - last - 1} more"})
        out.append(rows[at])
        last = at
    return out
