"""What is not finite before the first step."""

import numpy as np

from keras_gradguard._text import count
from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard._text import profile_text
from keras_gradguard.diagnosis.evidence.origin import OF_THE_LOSS
from keras_gradguard.diagnosis.evidence.origin import OF_THE_SLOPE
from keras_gradguard.diagnosis.evidence.origin import SQUARED
from keras_gradguard.diagnosis.remedies.gradients import for_nonfinite
from keras_gradguard.diagnosis.rules.exploding_gradient.start import (
    first_nonfinite,
)
from keras_gradguard.diagnosis.rules.exploding_gradient.start import (
    norms_by_layer,
)
from keras_gradguard.diagnosis.rules.nonfinite_gradient.thresholds import GROWTH

_BEFORE = (
    "What comes right behind these layers has no finite slope: look for a "
    "square root, a norm, a spread or a logarithm at 0, or a division."
)


def judge(start, tell):
    """Find NaN or infinity in the data, the first gradient, the loss.

    Args:
        start: `Start`.
        tell: Callable that makes a finding, `Rule.at_start` of the rule.
    """
    if start.nonfinite:
        return [_in_data(start, tell)]
    if start.beyond:
        return [_beyond(start, tell)]
    made = first_nonfinite(start)
    if made is not None and not made[1]:
        return [_in_layer(start, tell, made[0])]
    gradient = start.gradient
    told = ("exploding_gradient", "vanishing_gradient")
    if gradient is None or start.tells(*told):
        return []
    bad = [
        path
        for path, norm in zip(gradient.paths, gradient.norms, strict=True)
        if not np.isfinite(norm)
    ]
    if bad and not start.tells("unscaled_data", "dead_relu"):
        return [_first_gradient(start, tell, bad)]
    if np.isfinite(gradient.loss) or not start.learns_in_principle:
        return []
    clue, what = _at_start(start)
    return [
        tell(
            "critical",
            [],
            {"kind": "loss_at_start", "loss": str(gradient.loss)},
            f"The loss is {gradient.loss} for the first batch, before any "
            f"training. All inputs and targets are finite.{what}",
            _remedies(start, [], clue or "layer"),
        )
    ]


def _remedies(start, layers, clue):
    if clue == "loss":
        # Finite outputs gave it: no layer is spared, and none to blame.
        layers = list(start.run.layers)
    return for_nonfinite(start.run, layers, clue, facts=start.facts)


def _first_gradient(start, tell, bad):
    gradient = start.gradient
    message = (
        f"The first gradient is not finite in {names(bad)}. That is before "
        "any training."
    )
    clue, what = _at_start(start)
    if len(bad) < len(gradient.paths) or not clue:
        # Something in between: it grows beyond all bounds on its way, or
        # stops at once where a slope is infinite.
        profile = profile_text(gradient.norms)
        what = f" Gradient norms from input to output: {profile}."
        clue = "growth"
        finite = gradient.norms[np.isfinite(gradient.norms)]
        if len(finite) and finite.max() < GROWTH * max(finite[-1], 1.0):
            clue = "slope"
            what += f" The loss is {number(gradient.loss)}. {_BEFORE}"
    return tell(
        "critical",
        bad,
        {
            "kind": "gradient_at_start",
            "grad_norm": norms_by_layer(gradient),
            "loss": str(gradient.loss),
            "origin": clue,
        },
        message + what,
        _remedies(start, bad, clue),
    )


def _beyond(start, tell):
    layers = list(start.beyond)
    top = max(index for index, _ in start.beyond.values())
    first, *more = (
        f"{layer} looks up the index {index}, but its table has the rows 0 "
        f"to {rows - 1}."
        for layer, (index, rows) in start.beyond.items()
    )
    return tell(
        "critical",
        layers,
        {
            "kind": "index",
            "indices": {k: list(v) for k, v in start.beyond.items()},
        },
        " ".join(
            [
                first,
                "That gives NaN on JAX, an error or zeros elsewhere.",
                *more,
            ]
        ),
        for_nonfinite(start.run, layers, "index", top),
    )


def ended(run, tell, where):
    """Judge a run that ended at an index that no table has a row for.

    Args:
        run: `RunInfo` of the run.
        tell: Callable that makes a finding, as `Rule.at_start`.
        where: Str. What ended, in words.
    """
    tables = {
        path: info["input_dim"]
        for path, info in run.layers.items()
        if isinstance(info.get("input_dim"), int)
    }
    named = names([f"{path} (rows 0 to {n - 1})" for path, n in tables.items()])
    which = "the table" if len(tables) == 1 else "one of the tables"
    return tell(
        "critical",
        list(tables),
        {"kind": "index"},
        f"An error ended {where}: an index lies outside of {which} {named}.",
        for_nonfinite(run, list(tables), "index"),
    )


def _in_layer(start, tell, layer):
    values = layer.output
    part = float((~np.isfinite(values)).mean())
    rows = (~np.isfinite(values)).reshape(len(values), -1).any(axis=1)
    what = "NaN" if np.isnan(values).any() else "infinity"
    return tell(
        "critical",
        [layer.path],
        {
            "kind": "output_at_start",
            "nonfinite_fraction": part,
            "rows": int(rows.sum()),
        },
        f"{layer.path} gives {what} in {count(int(rows.sum()), 'row')} of "
        f"{len(rows)}, though all that comes in is finite and of usual "
        "size. A softmax over a mask that masks all does so, a logarithm "
        "or root of what it must not, a division by 0.",
        for_nonfinite(start.run, [layer.path], "output"),
    )


def _in_data(start, tell):
    where = {"x": "inputs", "y": "targets"}
    told = " and ".join(
        f"{count(c['values'], 'value')} of the {where[name]} "
        f"({count(c['rows'], 'row')})"
        for name, c in start.nonfinite.items()
    )
    one = [c["values"] for c in start.nonfinite.values()] == [1]
    are = "is" if one else "are"
    return tell(
        "critical",
        [],
        {"kind": "data", "nonfinite": start.nonfinite},
        f"{told} {are} NaN or infinite. One such value makes the loss and "
        "all weights NaN.",
        for_nonfinite(start.run, [], "data"),
    )


def _at_start(start):
    """Return what outputs and loss say of the first gradient.

    Returns:
        Tuple of a clue, "" where there is none, and a sentence behind a space.
    """
    facts = [head.facts for head in start.heads]
    if not facts or None in facts:
        return "", ""
    ends = [end for f in facts for end in (f.output_min, f.output_max)]
    if None in ends or not (np.abs(ends) < SQUARED).all():
        return "", ""
    loss = start.gradient.loss
    if np.isfinite(loss):
        return "slope", f" The loss is finite ({number(loss)}), {OF_THE_SLOPE}."
    return "loss", f" The outputs are finite. {OF_THE_LOSS}."
