"""The rules, and how an argument `rules` becomes a list of them."""

from collections.abc import Mapping
from typing import Any

from keras_gradguard._validation import shown
from keras_gradguard.diagnosis.rules.adjusted import adjust
from keras_gradguard.diagnosis.rules.adjusted import noted
from keras_gradguard.diagnosis.rules.adjusted import options_of
from keras_gradguard.diagnosis.rules.adjusted import said_of
from keras_gradguard.diagnosis.rules.clipping import Clipping
from keras_gradguard.diagnosis.rules.dead_relu import DeadReLU
from keras_gradguard.diagnosis.rules.exploding_gradient import ExplodingGradient
from keras_gradguard.diagnosis.rules.frozen_layer import FrozenLayer
from keras_gradguard.diagnosis.rules.nonfinite_gradient import NonfiniteGradient
from keras_gradguard.diagnosis.rules.oscillating_loss import OscillatingLoss
from keras_gradguard.diagnosis.rules.output_mismatch.rule import OutputMismatch
from keras_gradguard.diagnosis.rules.poor_initialization import (
    PoorInitialization,
)
from keras_gradguard.diagnosis.rules.progress import LossPlateau
from keras_gradguard.diagnosis.rules.progress import SlowConvergence
from keras_gradguard.diagnosis.rules.rule import Rule
from keras_gradguard.diagnosis.rules.saturated_activation import (
    SaturatedActivation,
)
from keras_gradguard.diagnosis.rules.unscaled_data import UnscaledData
from keras_gradguard.diagnosis.rules.update_ratio import UpdateRatio
from keras_gradguard.diagnosis.rules.vanishing_gradient import VanishingGradient
from keras_gradguard.findings.causes import place

# In the order in which a report tells them: the cause before its effects.
RULES: tuple[Any, ...] = tuple(
    sorted(
        (
            Clipping,
            DeadReLU,
            ExplodingGradient,
            FrozenLayer,
            LossPlateau,
            NonfiniteGradient,
            OscillatingLoss,
            OutputMismatch,
            PoorInitialization,
            SaturatedActivation,
            SlowConvergence,
            UnscaledData,
            UpdateRatio,
            VanishingGradient,
        ),
        key=lambda rule: place(rule.id),
    )
)

__all__ = [
    "RULES",
    "Rule",
    "effects_of",
    "left_out",
    "noted",
    "options_of",
    "resolve_rules",
    "said_of",
]


def left_out(rules):
    """Return the ids of rules where defaults are missing among them, or None.

    Args:
        rules: List of `Rule`.
    """
    ids = [rule.id for rule in rules]
    return None if {rule.id for rule in RULES} <= set(ids) else ids


def resolve_rules(
    rules: Any = "default", owner: str = "diagnose"
) -> list[Rule]:
    """Return the rules that an argument `rules` means.

    Args:
        rules: `"default"` for all, or a list of `Rule` objects and rule ids.
            Or a dict from rule ids to dicts: all rules, some of them quieted
            for some layers or with thresholds of the user's.
        owner: Str. Who took the argument, for the error message.

    Returns:
        List of `Rule`.

    Raises:
        TypeError: If an entry is neither a rule nor a str, or `rules` is no
            list.
        ValueError: If an id is unknown.
    """
    known: dict[str, Any] = {rule.id: rule for rule in RULES}
    if isinstance(rules, str) and rules == "default":
        return [rule() for rule in RULES]
    names = ", ".join(repr(name) for name in known)
    what = (
        f"'default', a list of Rule objects and rule ids ({names}), or a dict "
        "from ids to changes, as {'frozen_layer': {'ignore': 'embed*'}}"
    )
    if isinstance(rules, Mapping):
        unknown = [name for name in rules if name not in known]
        if unknown:
            raise ValueError(
                f"{owner}: a dict `rules` must have rule ids as keys "
                f"({names}). Received the unknown id {shown(unknown[0])}. "
                "Check the spelling."
            )
        return [adjust(rule(), rules.get(rule.id, {}), owner) for rule in RULES]
    if isinstance(rules, str):
        raise ValueError(
            f"{owner}: `rules` must be {what}. Received: rules={shown(rules)}. "
            "Put a single id into a list."
        )
    if not isinstance(rules, list | tuple):
        raise TypeError(
            f"{owner}: `rules` must be {what}. Received: rules={shown(rules)} "
            f"(of type {type(rules).__name__})."
        )
    resolved: list[Rule] = []
    for rule in rules:
        if isinstance(rule, str) and rule in known:
            resolved.append(known[rule]())
        elif isinstance(rule, str):
            raise ValueError(
                f"{owner}: `rules` must be {what}. Received the unknown id "
                f"{shown(rule)}. Check the spelling."
            )
        elif isinstance(rule, type) and issubclass(rule, Rule):
            raise TypeError(
                f"{owner}: `rules` must be {what}. Received the class "
                f"{rule.__name__}. Pass an object: {rule.__name__}()."
            )
        elif isinstance(rule, Rule):
            resolved.append(rule)
        else:
            raise TypeError(
                f"{owner}: `rules` must be {what}. Received an entry "
                f"{shown(rule)} (of type {type(rule).__name__}). Subclass "
                "keras_gradguard.Rule."
            )
    return resolved


def effects_of(rules):
    """Return a dict from the id of each rule to the ids of its effects.

    Args:
        rules: Iterable of `Rule`.
    """
    return {rule.id: tuple(rule.effects) for rule in rules}
