"""Keeps a failing reporter from ending a training run."""

import contextlib
import warnings

from keras_gradguard.exceptions import GradGuardWarning


class Guarded:
    """Passes calls on to a reporter until one fails, then drops it.

    A full disk or a directory that vanished costs the reports, not the run:
    the first failure is told in one warning, and the trace in memory stays
    whole.

    Args:
        reporter: The reporter.

    Attributes:
        reporter: The reporter.
        failed: Bool. Whether it was dropped.
    """

    def __init__(self, reporter):
        self.reporter = reporter
        self.failed = False

    def on_judged(self, findings, history, trace):
        """Tell what has become of all findings, where that is listened to."""
        if hasattr(self.reporter, "on_judged"):
            self._call("on_judged", findings, history, trace)

    def on_findings(self, findings, trace):
        """Tell of new findings."""
        self._call("on_findings", findings, trace)

    def on_records(self, trace, first_step):
        """Tell of new records, from `first_step` on."""
        self._call("on_records", trace, first_step)

    def on_histogram(self, histogram, trace):
        """Tell of histograms of the gradients of one update."""
        self._call("on_histogram", histogram, trace)

    def on_epoch(self, trace, epoch):
        """Tell of the end of an epoch."""
        self._call("on_epoch", trace, epoch)

    def close(self, trace, findings):
        """Tell of the end of the run."""
        self._call("close", trace, findings)

    def abandon(self):
        """Let go of its files, since the run did not come to its end."""
        self.failed = True
        self._let_go()

    def _call(self, method, *arguments):
        if self.failed:
            return
        try:
            getattr(self.reporter, method)(*arguments)
        except Exception as error:
            self.failed = True
            self._let_go()
            name = type(self.reporter).__name__
            warnings.warn(
                f"{name}: reporting failed and is off for the rest of the "
                f"run: {type(error).__name__}: {error}. Training goes on and "
                "`monitor.trace` is complete.",
                GradGuardWarning,
                stacklevel=4,
            )

    def _let_go(self):
        """Have the reporter close what it holds open, whatever its state."""
        abandon = getattr(self.reporter, "abandon", None)
        if abandon is not None:
            # What fails once fails again, and was told.
            with contextlib.suppress(Exception):
                abandon()
