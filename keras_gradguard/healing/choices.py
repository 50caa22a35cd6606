"""What to try next, and what to say of it: plain functions of findings."""

import json

from keras_gradguard import edits
from keras_gradguard.findings.remedy import Remedy
from keras_gradguard.findings.remedy import edits_of
from keras_gradguard.healing.trials import USELESS
from keras_gradguard.reporting.report import Report

_PLAIN_CAUSES = ("output_mismatch", "unscaled_data")


def why_useless(run):
    """Return why a run without findings may not be called healthy."""
    if not run.skill < USELESS:
        return []
    return ["after training it predicts no better than a constant"]


def left_to_you(findings):
    """Return what could not be tried, as changes of the user's own code."""
    told = []
    for finding in Report(findings).ranked:
        first = next(iter(finding.remedies), None)
        if finding.cause is None and first and first.apply is None:
            lines = [line for line in first.code.split("\n") if line]
            code = f" `{lines[0]}`" if len(lines) == 1 else ""
            told.append(
                f"Left to you: {first.title}.{code} `heal` changes neither "
                "data nor code of your own."
            )
    return told


def key_of(remedy):
    """Return what tells an edit from others."""
    return remedy.action, json.dumps(remedy.arguments)


def of_whole_run(remedy, steps):
    """Return a remedy whose schedules last for the run, not for a trial."""
    edits_now = edits_of(remedy)
    longer = [
        (action, {**how, "steps": steps} if action == "schedule" else how)
        for action, how in edits_now
    ]
    if longer == edits_now:
        return remedy
    return Remedy(
        remedy.title,
        remedy.why,
        action=edits.SEVERAL,
        arguments={
            "changes": [
                {"action": action, "arguments": how} for action, how in longer
            ]
        },
    )


def is_curable(findings):
    """Whether one of the gravest has a remedy that can be applied."""
    return any(
        finding.severity == "critical"
        and any(remedy.apply is not None for remedy in finding.remedies)
        for finding in findings
    )


def not_known(findings, known):
    """Return those whose rules did not report anything yet."""
    rules = {finding.rule for finding in known}
    return [finding for finding in findings if finding.rule not in rules]


def about(finding):
    """What makes it the same finding in another model."""
    return finding.rule, finding.evidence.get("of")


def together(findings):
    """Return a finding and remedy that stand for several plain causes.

    Data and outputs that do not fit spoil each other's cure, so that each
    alone may help nothing.

    Args:
        findings: List of `Finding`.

    Returns:
        Tuple (finding, remedy, list of its parts), or None if there are not
        two of them.
    """
    chosen: dict = {}
    for finding in Report(findings).ranked:
        cures = [r for r in finding.remedies if r.apply is not None]
        if finding.rule in _PLAIN_CAUSES and cures:
            chosen.setdefault(about(finding), (finding, cures[0]))
    if len(chosen) < 2:
        return None

    def apply(model):
        for _, remedy in chosen.values():
            model = remedy.apply(model)
        return model

    titles = " + ".join(remedy.title for _, remedy in chosen.values())
    first = next(iter(chosen.values()))[0]
    together = Remedy(titles, "They spoil each other's cure.", apply=apply)
    return first, together, [remedy for _, remedy in chosen.values()]
