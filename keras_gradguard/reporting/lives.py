"""What has become of findings, in the words of every report."""

import re

from keras_gradguard._text import count
from keras_gradguard.findings.causes import ended


def state(finding, trace):
    """Return the severity and the status of a finding.

    A verdict on a model that has not trained yet has no status.

    Args:
        finding: `Finding`.
        trace: `Trace` it was found on, or None.
    """
    if trace is None:
        return finding.severity
    return f"{finding.severity}, {finding.status}"


def culprits(finding, trace):
    """Return the layers of a finding as the user calls them.

    Args:
        finding: `Finding`.
        trace: `Trace` it was found on, or None.
    """
    layers = finding.layers
    return [*map(str, layers)] if trace is None else trace.run.names(layers)


def counted(text, layers):
    """Return a text in which a list of three layers and more is their number.

    For where the layers themselves stand beside it.

    Args:
        text: Str.
        layers: List of str. The names that may be listed.
    """
    if len(layers) < 3:
        return text
    names = "|".join(map(re.escape, sorted(layers, key=len, reverse=True)))
    one = rf"(?:{names})(?![\w/])"
    listed = rf"(?<![\w/]){one}(?:, {one})* and (?:{one}|(\d+) more layers)"

    def number_of(found):
        named = len(re.split(", | and ", found[0]))
        many = named if found[1] is None else named - 1 + int(found[1])
        return count(many, "layer") if many > 2 else found[0]

    return re.sub(listed, number_of, text)


def what_became_of(history):
    """Return a line for each finding that no longer stands.

    Args:
        history: Iterable of `Finding`.
    """
    return [end_of(finding) for finding in ended(history)]


def end_of(finding):
    """Return in words why a finding no longer stands."""
    what = f"{finding.rule} since step {finding.first_step}"
    if finding.status == "resolved":
        return (
            f"Resolved at step {finding.resolved_step}: {what}; the model has "
            "learnt since."
        )
    why = f"; {finding.cause} explains it" if finding.cause else ""
    return f"Withdrawn: {what}{why}."
