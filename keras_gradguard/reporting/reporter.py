"""What a reporter is, and how its failure is kept from a training run."""

import contextlib
import warnings

from keras_gradguard._text import error_in_words
from keras_gradguard.exceptions import GradGuardWarning

# What users call the callbacks.
_USUAL_NAMES = {"GradientMonitor": "monitor", "DeadReLUDetector": "detector"}

# What writes as the run goes on may take this share of the time, its thread's
# included: points get sparser where a step takes a tenth of a millisecond, and
# a crash loses a few seconds at most.
SHARE_OF_TIME = 0.005


class Reporter:
    """Shows or writes down a run, as it goes on and at its end.

    A subclass has those of the methods that it needs; the others do nothing.
    Each may raise: `Guarded` says it once and goes on without the reporter.

    Attributes:
        work: Str. What it does, as the user is told where that fails.
    """

    work = "reporting"

    def on_judged(self, findings, history, trace):
        """Take in what the rules say now; called at each of their looks.

        Args:
            findings: List of `Finding` that stand.
            history: List of `Finding`. All, those that no longer stand, too.
            trace: `Trace` of the run.
        """

    def on_findings(self, findings, trace):
        """Take in findings that are new.

        Args:
            findings: List of `Finding`.
            trace: `Trace` of the run.
        """

    def on_records(self, trace, first_step):
        """Take in that there are records from `first_step` on.

        Args:
            trace: `Trace` of the run.
            first_step: Int.
        """

    def on_histogram(self, histogram, trace):
        """Take in the histograms of the gradients of one update.

        Args:
            histogram: `GradientHistogram`.
            trace: `Trace` of the run.
        """

    def on_epoch(self, trace, epoch):
        """Take in that an epoch is over.

        Args:
            trace: `Trace` of the run, with the logs of the epoch.
            epoch: Int. Its number, from 0.
        """

    def close(self, trace, findings):
        """Take in that the run is over, and close files.

        Args:
            trace: `Trace` of the run.
            findings: List of `Finding` that stand.
        """

    def close_again(self, trace, findings):
        """Take in that a run is over of which nothing new is to be said.

        Args:
            trace: `Trace` of the run.
            findings: List of `Finding` that stand, as before.
        """
        self.close(trace, findings)

    def abandon(self):
        """Close files as they are: the run, or the reporter, has failed."""


class Guarded:
    """Passes on what happens to a reporter until it fails, then drops it.

    A full disk or a directory that vanished costs the reports, not the run:
    the first failure makes one warning, and the trace in memory stays
    whole.

    Args:
        reporter: The reporter.
        owner: Str. Name of the callback, as the user is told.

    Attributes:
        reporter: The reporter.
        failed: Bool. Whether it was dropped.
    """

    def __init__(self, reporter, owner="GradientMonitor"):
        self.reporter = reporter
        self._owner = owner
        self.failed = False

    def deliver(self, what, *arguments):
        """Let the reporter know.

        Args:
            what: Str. Name of one of the methods of a `Reporter`.
            *arguments: Its arguments.
        """
        if self.failed:
            return
        try:
            getattr(self.reporter, what)(*arguments)
        except Exception as error:
            self.abandon()
            warnings.warn(
                f"{self._owner}: {self.reporter.work} failed and is off for "
                f"the rest of the run: {error_in_words(error)}. Training goes "
                f"on and `{_USUAL_NAMES.get(self._owner, 'callback')}.trace` "
                "is complete.",
                GradGuardWarning,
                stacklevel=3,
            )

    def abandon(self):
        """Have the reporter close what it holds open, whatever its state."""
        self.failed = True
        # What fails once fails again, and was reported.
        with contextlib.suppress(Exception):
            self.reporter.abandon()
