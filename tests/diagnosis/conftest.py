"""Whatever finding a test of the rules makes, its message counts right."""

import pytest

from keras_gradguard import Finding
from tests.grammar import disagreements


@pytest.fixture(autouse=True)
def every_message_counts_right(monkeypatch):
    """Look at each finding that comes up while a test runs."""
    made, init = [], Finding.__init__

    def noting(finding, *arguments, **named):
        init(finding, *arguments, **named)
        made.append(finding)

    monkeypatch.setattr(Finding, "__init__", noting)
    yield
    for text in {finding.message for finding in made}:
        assert not disagreements(text), text
