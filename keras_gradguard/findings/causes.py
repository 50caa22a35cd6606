"""Tells a root cause once: which findings follow from which."""

import dataclasses
import math

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
# That the loss stays where it is needs no saying where its cause is named.
SYMPTOMS = ("loss_plateau", "slow_convergence")
# What has become of a finding that does not stand any more.
ENDED = ("resolved", "withdrawn")
# Of these two either may come first, and the first is the cause.
_UNITS = ("dead_relu", "saturated_activation")
_LOSS = ("oscillating_loss", "slow_convergence", "loss_plateau")
_STUCK = ("vanishing_gradient", "frozen_layer", *SYMPTOMS)
# Kinds of a finding that have a place of their own, before
# `exploding_gradient`: what may follow from them, and from what they follow.
_KINDS = {
    **dict.fromkeys(
        (
            "no_dependence",
            "features",
            "one_row",
            "two_rows",
            "cut_off",
            "one_number",
            "untracked",
            "zero_factors",
            "gives_nothing",
        ),
        (
            ("vanishing_gradient", *_UNITS, *_LOSS),
            (
                "output_mismatch",
                "unscaled_data",
                "poor_initialization",
                "exploding_gradient",
            ),
        ),
    ),
    **dict.fromkeys(
        ("penalty", "activity_penalty", "decay", "dropout", "constraint"),
        (
            (*_UNITS, "vanishing_gradient", "frozen_layer", *_LOSS),
            ("output_mismatch", "unscaled_data"),
        ),
    ),
    **dict.fromkeys(
        ("clipnorm", "clipvalue", "global_clipnorm"),
        ((*_STUCK, "update_ratio"), ()),
    ),
    # What a clip takes of one kind of batch, a rare class among them, is lost.
    "uneven": (("frozen_layer", "update_ratio", *_LOSS), ()),
    "schedule": (_STUCK, ()),
    **dict.fromkeys(
        ("float16", "summed", "uncleared"),
        (
            (
                "exploding_gradient",
                "nonfinite_gradient",
                *_UNITS,
                "vanishing_gradient",
                "frozen_layer",
                *_LOSS,
            ),
            ("output_mismatch", "unscaled_data"),
        ),
    ),
    # The loss that they throw about is reported beside it.
    "first_steps": (
        ("vanishing_gradient", "frozen_layer", *_UNITS, *SYMPTOMS),
        (
            "output_mismatch",
            "unscaled_data",
            "poor_initialization",
            "exploding_gradient",
            *_UNITS,
            "nonfinite_gradient",
        ),
    ),
    "learning_rate": (
        ("vanishing_gradient", "frozen_layer", *_UNITS, *_LOSS),
        (
            "output_mismatch",
            "unscaled_data",
            "poor_initialization",
            *_UNITS,
            "nonfinite_gradient",
        ),
    ),
    # A loss that is NaN beside outputs that are finite, before any step.
    "loss_function": (
        ("exploding_gradient", "update_ratio", *_LOSS),
        ("output_mismatch", "exploding_gradient"),
    ),
    "one_side": ((*_UNITS, "vanishing_gradient", "exploding_gradient"), ()),
    "lost": (
        (*_UNITS, "vanishing_gradient", *_LOSS),
        (
            "output_mismatch",
            "unscaled_data",
            "exploding_gradient",
            "two_rows",
            "uneven",
        ),
    ),
}
# That all steps together are too small is said where nothing explains it.
_KINDS["reach"] = (
    SYMPTOMS,
    (
        *_KINDS,
        "output_mismatch",
        "unscaled_data",
        "poor_initialization",
        "exploding_gradient",
        *_UNITS,
        "vanishing_gradient",
    ),
)
# Outputs that have become a constant, or have nothing to do with the targets:
# whatever else is found is the cause, but that the loss stays where it is.
_LAST = ("constant_outputs", "unrelated")
# As its rule, but for a clip that takes what a rare class says.
_RARE = "rare_class"
# Units that were dead or saturated at the first step are a cause of steps that
# do not help, others an effect. So are gradients that are not finite.
_STEPS = ("first_steps", "learning_rate")
_FROM_THE_START = (*_UNITS, "nonfinite_gradient")
_OF_RULES = ("output_mismatch", "frozen_layer", "clipping", "update_ratio")


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
        where it is, for a cause that is named, is left out.
    """
    rules: dict = {}
    begin: dict = {}
    for finding in findings:
        name = _name(finding)
        rules[name] = finding.rule
        begin[name] = min(begin.get(name, math.inf), _begin(finding))
    rooted = []
    for finding in findings:
        root = _root(_name(finding), set(rules), begin, effects)
        rooted.append(dataclasses.replace(finding, cause=rules.get(root)))
    return [f for f in rooted if f.cause is None or not is_symptom(f)]


def _begin(finding):
    """Return when a finding began: units that were alive before it, behind."""
    alive = finding.evidence.get("alive_at_start") is True
    return finding.first_step + (0.5 if alive else 0.0)


def is_symptom(finding):
    """Return whether a finding needs no saying where its cause is named."""
    return _name(finding) in (*SYMPTOMS, "reach", "unrelated")


def _name(finding):
    """Return the rule of a finding, or its kind where that stands apart."""
    kind = finding.evidence.get("kind")
    if finding.rule == "nonfinite_gradient":
        own = finding.evidence.get("origin") == "loss" and kind == "NaN"
        if own and finding.first_step == 0:
            return "loss_function"
    apart = kind in _KINDS or kind in (*_LAST, _RARE)
    if finding.rule in _OF_RULES and apart:
        return kind
    return finding.rule


def _place(name):
    """Return where a rule or a kind stands among all, a tuple."""
    if name in _KINDS:
        return place("exploding_gradient") - 0.5, list(_KINDS).index(name)
    if name == _RARE:
        return place("output_mismatch"), 1
    return (len(ORDER) + 1, 0) if name in _LAST else (place(name), 0)


def _leads(cause, name, effects):
    """Whether a finding of one name may lead to one of another."""
    if name == _RARE:
        return cause == "uneven"
    cause = "output_mismatch" if cause == _RARE else cause
    if name in _LAST:
        return cause not in (*SYMPTOMS, "reach")
    if cause in _LAST:
        return name in SYMPTOMS
    if name in _KINDS:
        return cause in _KINDS[name][1]
    if cause in _KINDS:
        return name in _KINDS[cause][0]
    return name in effects.get(cause, ())


def _root(rule, rules, begin, effects):
    """Return the name at the end of the way back, None if it is `rule`."""
    for cause in sorted(rules, key=lambda rule: (_place(rule), rule)):
        if cause == rule or not _leads(cause, rule, effects):
            continue
        if not _came_first(cause, rule, begin, effects):
            continue
        root = _root(cause, rules - {rule}, begin, effects)
        return cause if root is None else root
    return None


def _came_first(cause, rule, begin, effects):
    """Whether one that may lead to another began in time to do so."""
    if rule in _UNITS:
        return _before_units(cause, rule, begin)
    if rule in _STEPS and cause in _FROM_THE_START:
        return begin[cause] <= begin[rule]
    if not _leads(rule, cause, effects):
        return True
    # Either may lead to the other: the one that began first does.
    ours, theirs = ((begin[n], _place(n), n) for n in (rule, cause))
    return theirs < ours


def _before_units(cause, rule, begin):
    """Whether a cause of dead or saturated units began before them."""
    if cause in _STEPS:
        return begin[cause] < begin[rule]
    if cause in _KINDS:
        return True
    if cause == "exploding_gradient":
        return begin[cause] <= begin[rule]
    # Layers that let nothing pass leave those behind nothing to do.
    return cause not in _UNITS or begin[cause] < begin[rule]


def ended(history):
    """Return the findings that no longer stand, in the same order.

    Args:
        history: Iterable of `Finding`.
    """
    return [f for f in history if f.status in ENDED]


def ranked(findings):
    """Return findings in a report's order: causes first, effects behind theirs.

    Causes are in order of severity, then of the way in which one leads to the
    next; so are the effects of each.

    Args:
        findings: List of `Finding`.
    """
    rules = {f.rule for f in findings if f.cause is None}

    def key(finding):
        severe = 0 if finding.severity == "critical" else 1
        return severe, _place(_name(finding)), finding.first_step

    def effects(rule):
        return sorted(
            (f for f in findings if f.cause == rule),
            key=lambda f: (_place(_name(f)), f.first_step),
        )

    out, placed = [], set()
    leading = [f for f in findings if f.cause is None or f.cause not in rules]
    for finding in sorted(leading, key=key):
        out.append(finding)
        # One that names a cause which is not there has effects of nobody.
        if finding.rule in rules and finding.rule not in placed:
            placed.add(finding.rule)
            out += effects(finding.rule)
    return out
