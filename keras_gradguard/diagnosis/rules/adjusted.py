"""Rules that a user has quieted for some layers, or whose threshold moved."""

import copy
import dataclasses
import fnmatch
import math
from collections.abc import Mapping
from typing import Any

from keras_gradguard._validation import shown
from keras_gradguard.diagnosis.rules.rule import Rule

_IGNORE = "ignore"


def adjust(rule: Rule, options: Any, owner: str) -> Rule:
    """Return a rule with what a user wants to be different.

    Args:
        rule: `Rule`.
        options: Dict with `"ignore"`, a pattern of layers or a list of them,
            and names of the rule's thresholds.
        owner: Str. Who took the argument, for error messages.

    Raises:
        TypeError: If a value is of the wrong type.
        ValueError: If a name is unknown, or a value out of range.
    """
    where = f"rules[{rule.id!r}]"
    if not isinstance(options, Mapping):
        raise TypeError(
            f"{owner}: `{where}` must be a dict of {_choices(rule)}. "
            f"Received: {shown(options)} (of type {type(options).__name__})."
        )
    moved = {}
    for name, value in options.items():
        if name == _IGNORE:
            continue
        if name not in rule.thresholds:
            raise ValueError(
                f"{owner}: `{where}` may hold {_choices(rule)}. Received the "
                f"unknown name {shown(name)}. Check the spelling."
            )
        moved[name] = _number(value, f"{where}[{name!r}]", owner)
    if moved:
        rule = copy.copy(rule)
        rule._moved = moved
    patterns = _patterns(options.get(_IGNORE, ()), where, owner)
    return Quieted(rule, patterns) if patterns else rule


def said_of(rules, trace):
    """Return in sentences what is different of the rules.

    Args:
        rules: List of `Rule`.
        trace: `Trace` that they judge.
    """
    said = []
    for rule in rules:
        inner = rule.rule if isinstance(rule, Quieted) else rule
        for name, value in inner._moved.items():
            usual = inner.thresholds[name]
            said.append(
                f"Moved: {rule.id} takes {name}={value:g}, not {usual:g}."
                if value != usual
                else f"Not moved: {rule.id} takes {name}={value:g} anyway."
            )
        if isinstance(rule, Quieted):
            said.append(rule.said_of(trace))
    return said


def noted(rules, trace):
    """Return what is no finding and yet worth knowing, in sentences.

    Args:
        rules: List of `Rule`.
        trace: `Trace` that they judge.
    """
    with trace.unchanged():
        return [note for rule in rules for note in rule.notes(trace)]


def options_of(rules):
    """Return what `adjust` was given, as `rules` takes it.

    Args:
        rules: List of `Rule`.
    """
    found = {}
    for rule in rules:
        quiet = isinstance(rule, Quieted)
        options: dict = dict((rule.rule if quiet else rule)._moved)
        if quiet:
            options[_IGNORE] = list(rule.patterns)
        if options:
            found[rule.id] = options
    return found


class Quieted(Rule):
    """A rule that does not look at some layers.

    For the rule they have no gradient and no activations, as frozen ones.

    Args:
        rule: `Rule`.
        patterns: List of str. Names or paths of layers, with `*`, `?` and
            `[...]`; what is inside of a layer that fits is left out, too.

    Attributes:
        rule: The rule.
        patterns: List of str.
    """

    def __init__(self, rule: Rule, patterns: list[str]) -> None:
        self.rule, self.patterns = rule, patterns
        self.id, self.effects = rule.id, rule.effects
        self.thresholds = rule.thresholds

    def check(self, trace):
        """See `Rule.check`."""
        seen = trace.without(self._fits)
        return self._left(self.rule.check(seen))

    def notes(self, trace):
        """See `Rule.notes`."""
        return self.rule.notes(trace.without(self._fits))

    def check_start(self, start):
        """See `Rule.check_start`."""
        return self._left(self.rule.check_start(start))

    def said_of(self, trace):
        """Return in a sentence which layers are left out."""
        layers = [str(layer) for layer in trace.layers]
        fit = {
            pattern: [at for at in layers if _fits(at, pattern)]
            for pattern in self.patterns
        }
        told = [pattern for pattern in fit if fit[pattern] or not layers]
        none = _listed([pattern for pattern in fit if pattern not in told])
        if not told:
            return f"Not quieted: no layer fits {none} of {self.id}."
        count = len({at for found in fit.values() for at in found})
        many = "1 layer" if count == 1 else f"{count} layers"
        said = f"Quieted: {self.id} leaves out {many} ({_listed(told)})."
        return f"{said} No layer fits {none}." if none else said

    def _fits(self, path):
        return any(_fits(path, pattern) for pattern in self.patterns)

    def _left(self, found):
        """Return findings without the layers; none of those alone."""
        out = []
        for finding in found:
            layers = [at for at in finding.layers if not self._fits(at)]
            if layers or not finding.layers:
                out.append(dataclasses.replace(finding, layers=layers))
        return out


def _fits(path, pattern):
    """Whether a pattern is that of a layer, or of one that holds it."""
    parts = [path, *path.split("/")]
    return any(fnmatch.fnmatchcase(part, pattern) for part in parts)


def _listed(patterns):
    return ", ".join(repr(pattern) for pattern in patterns)


def _choices(rule):
    names = [f"{_IGNORE!r} (patterns of layers)"]
    names += [
        f"{name!r} (now {value:g})" for name, value in rule.thresholds.items()
    ]
    return ", ".join(names)


def _number(value, where, owner):
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number:
        raise TypeError(
            f"{owner}: `{where}` must be a number above 0. Received: "
            f"{shown(value)} (of type {type(value).__name__})."
        )
    if not 0 < value < math.inf:
        raise ValueError(
            f"{owner}: `{where}` must be a finite number above 0. Received: "
            f"{shown(value)}."
        )
    return float(value)


def _patterns(value, where, owner):
    entries = [value] if isinstance(value, str) else value
    good = isinstance(entries, list | tuple)
    good = good and all(isinstance(e, str) and e for e in entries)
    if not good:
        raise TypeError(
            f"{owner}: `{where}['ignore']` must be a pattern of layers, or a "
            f"list of them. Received: {shown(value)} (of type "
            f"{type(value).__name__}). For instance 'embed*'."
        )
    return list(entries)
