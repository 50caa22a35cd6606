"""A cell of a notebook that follows a run while it goes on."""

import sys
import time
from typing import Any

from keras_gradguard.reporting.console import ConsoleReporter
from keras_gradguard.reporting.reporter import Reporter

# Drawing may take this share of the time, and is done so often at most.
_SHARE_OF_TIME, _SECONDS = 0.02, 1.0


def reporter_for(verbose):
    """Return what tells of a run where it runs.

    Args:
        verbose: `"auto"`, 0, 1 or 2. `"auto"` is a live cell in a notebook,
            and 1 elsewhere.
    """
    if verbose == "auto" and in_notebook():
        return LiveReporter()
    return ConsoleReporter(verbose)


def in_notebook():
    """Whether a Jupyter kernel runs this, whatever shows its cells."""
    # A kernel has imported it; nobody else pays for it.
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class LiveReporter(Reporter):
    """Shows verdict, findings and map of a run in one cell, and keeps it new.

    It draws at most once a second, and less often where that would take more
    than a fiftieth of the time; findings and the end are drawn at once.
    """

    work = "the live cell"

    def __init__(self):
        self._shown: Any = None
        self._took, self._last = 0.0, 0.0
        self._findings = []

    def on_findings(self, findings, trace):
        """Draw; `on_judged` has said which stand."""
        self._draw(trace)

    def on_judged(self, findings, history, trace):
        """Keep the findings that stand."""
        self._findings = list(findings)

    def on_records(self, trace, first_step):
        """Draw if it is time."""
        self._draw_if_due(trace)

    def on_epoch(self, trace, epoch):
        """Draw if it is time."""
        self._draw_if_due(trace)

    def close(self, trace, findings):
        """Draw how the run ended."""
        self._findings = list(findings)
        self._draw(trace)

    def _draw_if_due(self, trace):
        wait = max(_SECONDS, self._took / _SHARE_OF_TIME)
        if time.perf_counter() - self._last >= wait:
            self._draw(trace)

    def _draw(self, trace):
        from keras_gradguard.reporting.notebook import run_html

        display: Any = sys.modules["IPython"].display
        begun = time.perf_counter()
        data = {"text/html": run_html(trace, self._findings)}
        if self._shown is None:
            data["text/plain"] = "GradGuard"
            self._shown = display.display(data, raw=True, display_id=True)
        else:
            self._shown.update(data, raw=True)
        self._last = time.perf_counter()
        self._took = self._last - begun
