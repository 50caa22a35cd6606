"""Tells a root cause once: which findings follow from which."""

import dataclasses

# Rule ids, in the order in which one leads to the next. Others come last.
ORDER = (
    "output_mismatch",
    "unscaled_data",
    "poor_initialization",
    "exploding_gradient",
    "dead_relu",
    "saturated_activation",
    "vanishing_gradient",
    "nonfinite_gradient",
    "frozen_layer",
    "update_ratio",
    "oscillating_loss",
    "slow_convergence",
    "loss_plateau",
    "clipping",
)
# That the loss stays where it is needs no telling where the cause is told.
_SYMPTOMS = ("loss_plateau", "slow_convergence")
# Of these two either may come first, and the first is the cause.
_EITHER = ("dead_relu", "saturated_activation")


def place(rule):
    """Return where a rule id stands among all: a cause before its effects."""
    return ORDER.index(rule) if rule in ORDER else len(ORDER)


def trace_causes(findings, effects):
    """Return the findings, each effect with the rule of its root cause.

    Args:
        findings: List of `Finding`.
        effects: Dict from a rule id to the ids of what may follow from it.

    Returns:
        List of `Finding` in the same order; `cause` is the id of the rule of
        the finding that leads, None for those that lead. A loss that stays
        where it is, for a cause that is told, is left out.
    """
    rules = {finding.rule for finding in findings}
    begin = {}
    for finding in findings:
        step = begin.get(finding.rule, finding.first_step)
        begin[finding.rule] = min(step, finding.first_step)
    rooted = [
        dataclasses.replace(f, cause=_root(f.rule, rules, begin, effects))
        for f in findings
    ]
    return [f for f in rooted if f.cause is None or f.rule not in _SYMPTOMS]


def _root(rule, rules, begin, effects):
    """Return the rule at the end of the way back, None if it is `rule`."""
    for cause in sorted(rules, key=lambda rule: (place(rule), rule)):
        if cause == rule:
            continue
        if rule not in effects.get(cause, ()):
            continue
        if rule in _EITHER and not _came_first(cause, rule, begin):
            continue
        root = _root(cause, rules - {rule}, begin, effects)
        return cause if root is None else root
    return None


def _came_first(cause, rule, begin):
    """Whether a cause of dead or saturated units began before them."""
    if cause == "exploding_gradient":
        return begin[cause] <= begin[rule]
    # Layers that let nothing pass leave those behind nothing to do.
    return cause not in _EITHER or begin[cause] < begin[rule]


def ranked(findings):
    """Return findings as they are told: causes first, effects behind theirs.

    Causes are in order of severity, then of the way in which one leads to the
    next; so are the effects of each.

    Args:
        findings: List of `Finding`.
    """
    rules = {f.rule for f in findings if f.cause is None}

    def key(finding):
        severe = 0 if finding.severity == "critical" else 1
        return severe, place(finding.rule), finding.first_step

    def effects(rule):
        return sorted(
            (f for f in findings if f.cause == rule),
            key=lambda f: (place(f.rule), f.first_step),
        )

    out, told = [], set()
    leading = [f for f in findings if f.cause is None or f.cause not in rules]
    for finding in sorted(leading, key=key):
        out.append(finding)
        if finding.rule not in told:
            told.add(finding.rule)
            out += effects(finding.rule)
    return out
