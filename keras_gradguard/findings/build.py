"""Makes the findings of the rules."""

from keras_gradguard.findings.finding import Finding


def in_a_run(
    trace,
    rule,
    severity,
    layers,
    first_step,
    last_step,
    evidence,
    message,
    remedies=(),
):
    """Return what a rule finds in a run.

    Args:
        trace: `Trace` of the run.
        rule: Str. Id of the rule.
        severity: Str. `"warning"` or `"critical"`.
        layers: Sequence of layer paths, the culprits first.
        first_step: Int. Where it began.
        last_step: Int. The last step that shows it.
        evidence: Dict of what JSON can hold.
        message: Str.
        remedies: Sequence of `Remedy`. Defaults to none.
    """
    return _finding(
        rule,
        severity,
        layers,
        (int(first_step), int(last_step)),
        trace.epoch_of(int(first_step)),
        evidence,
        trace.run.in_words(message),
        remedies,
    )


def before_a_run(rule, severity, layers, evidence, message, remedies=()):
    """Return what a rule finds in a model and its data, before any step.

    Args:
        rule: Str. Id of the rule.
        severity: Str. `"warning"` or `"critical"`.
        layers: Sequence of layer paths, the culprits first.
        evidence: Dict of what JSON can hold.
        message: Str.
        remedies: Sequence of `Remedy`. Defaults to none.
    """
    return _finding(
        rule, severity, layers, (0, 0), None, evidence, message, remedies
    )


def _finding(rule, severity, layers, steps, epoch, evidence, message, remedies):
    first_step, last_step = steps
    return Finding(
        rule=rule,
        severity=severity,
        layers=[str(layer) for layer in layers],
        first_step=first_step,
        last_step=last_step,
        epoch=epoch,
        evidence=evidence,
        message=message,
        remedies=list(remedies),
    )
