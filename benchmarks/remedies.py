"""Pastes the remedies that programs are told, and trains again.

    KERAS_BACKEND=torch python benchmarks/remedies.py
        [--only NAME,NAME] [--all] [--seeds 1]
        [--by monitor,check,detector,heal]
        [--kept 1,advice] [--lot] [--minutes 10] [--score]
        [--out remedies.jsonl]

Each program that does not learn is trained, watched; with `--kept` and a number
as of `diagnosis_field` those that no rule was made with, with `--lot` those
alone whose lot is the backend that runs. A program that is in the file already
is left out.
`--kept advice`, `pasted`, `pasted_again`, `dead`: those written for this
question; `field`: those that the remedies were developed on. Seeds from 2 on
have a lot of their own. With `--minutes` programs come in an order drawn by
lot, and none starts after that time.
`detector` is the `DeadReLUDetector`: of it the share of dead units is noted
before and after, and `--after` pastes into the model as it was trained. `heal`
is what `kgg.heal` gives back, trained on.

Every remedy of each cause is run with `exec` in the program, built anew, in the
names `model`, `x` and `y`: it must run. After the first remedy the program
trains again, for 500 steps at least. It has learnt when it gains at least half
of what a plain network gains on its data over a constant: of numbers the
explained variance, of classes what accuracy gains over the most frequent one,
of yes and no twice the area under the curve, less one.

Where a program has a corrected twin (`right=True`, or one in `twins`), that one
is trained as long with the same seed, and half of what it gains is the bar.
"""

import argparse
import collections
import contextlib
import functools
import inspect
import io
import json
import os
import pathlib
import random
import re
import time

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
from detection import field_sides  # noqa: F401  it fills the set
from detection import kept_advice
from detection import kept_again
from detection import kept_dead
from detection import kept_eleventh
from detection import kept_fifth
from detection import kept_fourth
from detection import kept_pasted
from detection import kept_pasted_again
from detection import kept_seventh
from detection import kept_sick
from detection import kept_sixth
from detection import kept_third
from detection import kept_twelfth
from detection.field_sick import SICK
from detection.gains import LEARNT
from detection.gains import gain
from detection.twins import TWINS

import keras_gradguard as kgg

# Some of the programs are short: no network learns in fewer steps.
_STEPS = 500
_SETS = {
    "field": SICK,
    "1": kept_sick.SICK,
    "2": kept_again.SICK,
    "4": kept_third.SICK,
    "5": kept_fourth.SICK,
    "6": kept_fifth.SICK,
    "7": kept_sixth.SICK,
    "9": kept_seventh.SICK,
    "14": kept_eleventh.SICK,
    "15": kept_twelfth.SICK,
    "advice": kept_advice.SICK,
    "pasted": kept_pasted.SICK,
    "pasted_again": kept_pasted_again.SICK,
    "dead": kept_dead.SICK,
}


def build(program, seed):
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    return program()


def paste(program, seed, code, state=None):
    """Return the names of a program built anew, in which code has run.

    Args:
        program: Function that builds it.
        seed: Int.
        code: Str.
        state: Weights and variables of the optimizer that the model has
            before, or None for those that it starts with.
    """
    model, x, y, fit = build(program, seed)
    if state is not None:
        model.set_weights(state[0])
        model.optimizer.build(model.trainable_variables)
        for variable, value in zip(
            model.optimizer.variables, state[1], strict=True
        ):
            variable.assign(value)
    names = {"model": model, "x": x, "y": y}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code, names)
    return names, fit


def state_of(model):
    """Return what training has changed of a model, as `paste` takes it."""
    numpy = keras.ops.convert_to_numpy
    return model.get_weights(), [numpy(v) for v in model.optimizer.variables]


def dead_share(detector):
    """Return the share of dead units among all that a detector judged."""
    total = sum(map(len, detector.share.values()))
    return sum(map(len, detector.dead_units.values())) / max(1, total)


def learnt(program, seed, code, state=None, watch=None):
    """Return what a program gains that trains after code has run."""
    names, fit = paste(program, seed, code, state)
    if "without the callback" in code:
        fit.pop("callbacks", None)
    if "without class_weight" in code:
        fit = {k: v for k, v in fit.items() if not k.endswith("_weight")}
    larger = re.search(r"fit\(.*batch_size=(\d+)", code)
    if larger:
        fit["batch_size"] = int(larger[1])
    if watch is not None:
        fit["callbacks"] = [*fit.get("callbacks", []), watch]
    return trained(names["model"], names["x"], names["y"], fit)


def trained(model, x, y, fit):
    """Train for as long as programs are trained, and return the gain."""
    arrays = hasattr(x, "shape") or isinstance(x, list | tuple | dict)
    size = fit.get("batch_size", 32) if arrays else 1
    rows = len(keras.tree.flatten(x)[0]) if arrays else len(x)
    fit = {"verbose": 0, **fit}
    fit["epochs"] = max(fit.get("epochs", 1), -(-_STEPS // -(-rows // size)))
    model.fit(x, y, **fit)
    return gain(model, x, y)


@functools.cache
def half_of_twin(program, seed):
    """Return half of what the corrected twin gains, or the fixed bar."""
    right = TWINS.get(getattr(program, "__name__", ""))
    if "right" in inspect.signature(program).parameters:
        right = functools.partial(program, right=True)
    if right is None:
        return LEARNT
    model, x, y, fit = build(right, seed)
    half = trained(model, x, y, fit) / 2
    # Of a twin that gains next to nothing, no half can be told.
    return half if abs(half) > 0.05 else LEARNT


def heals(line):
    """Return whether the first remedy of a line makes its program learn.

    Where a small answer means yes, what is right gains less than nothing.
    """
    after, bar = line.get("after", float("nan")), line.get("bar", LEARNT)
    return after >= bar if bar > 0 else after <= bar


def one(name, program, seed, by, every=False, trained_on=False):
    """Return the line of one program."""
    state = watch = None
    line = {"name": name, "seed": seed, "by": by, "told": [], "failed": []}
    model, x, y, fit = build(program, seed)
    if by == "heal":
        return _with_bar(healed(line, model, x, y, fit), program, seed)
    if by == "check":
        try:
            report = kgg.check(model, x, y)
        except Exception as error:
            line = {**line, "failed": [f"check: {error}"[:200]]}
            return {**line, "bar": LEARNT}
    else:
        watches = kgg.DeadReLUDetector
        if by != "detector":
            watches = kgg.GradientMonitor
        monitor = watches(verbose=0)
        fit = {"verbose": 0, **fit}
        fit["callbacks"] = [*fit.get("callbacks", []), monitor]
        try:
            model.fit(x, y, **fit)
            line["before"] = gain(model, x, y)
        except Exception as error:
            line["error"] = f"{type(error).__name__}"
        report = monitor.report()
        if by == "detector":
            line["dead"] = [dead_share(monitor)]
            watch = kgg.DeadReLUDetector(verbose=0)
        if trained_on:
            state, line["by"] = state_of(model), f"{by}, after"
    causes = [f for f in report.ranked if f.cause is None]
    line["told"] = [f.rule for f in causes]
    first = next((r for f in causes for r in f.remedies), None)
    for finding in causes:
        for remedy in finding.remedies:
            # Whether it runs is asked, not what hours of it would give.
            code = re.sub(r"epochs=\d+", "epochs=1", remedy.code)
            try:
                if every:
                    after = learnt(program, seed, remedy.code, state)
                    print(f"    {after:.2f} {remedy.title}")
                else:
                    paste(program, seed, code, state)
            except Exception as error:
                told = f"{remedy.title}: {type(error).__name__}: {error}"
                line["failed"].append(told[:300])
    if first is None:
        return _with_bar(line, program, seed)
    line["first"], line["code"] = first.title, first.code
    try:
        line["after"] = learnt(program, seed, first.code, state, watch)
        if watch is not None:
            line["dead"].append(dead_share(watch))
    except Exception as error:
        line["error_after"] = f"{type(error).__name__}: {error}"[:300]
    return _with_bar(line, program, seed)


def _with_bar(line, program, seed):
    """Return a line with its bar; the twin trains where it may decide."""
    before, after = (line.get(key, 0.0) for key in ("before", "after"))
    # Nothing gains more than one, so half of it is enough for any bar.
    sure = after >= 0.5 and not 0.2 < before < 0.5
    bar = 0.5 if sure else half_of_twin(program, seed)
    return {**line, "bar": bar}


def healed(line, model, x, y, fit):
    """Return the line of a program that `heal` got, with its own words."""
    size = {"batch_size": fit["batch_size"]} if "batch_size" in fit else {}
    try:
        better, report = kgg.heal(
            model, x, y, epochs=fit.get("epochs", 1), verbose=0, **size
        )
    except Exception as error:
        return {**line, "failed": [f"heal: {error}"[:300]]}
    line["told"] = [finding.rule for finding in report.findings]
    line["healthy"] = report.healthy
    kept = [attempt.title for attempt in report.attempts if attempt.kept]
    line["first"] = "; ".join(kept) or "nothing changed"
    line["words"] = [
        *map(str, report.attempts),
        *report.notes,
        *report.not_judged,
    ]
    line["after"] = trained(better, x, y, fit)
    return line


def drawn(name, seed=1):
    """Return the backend that the lot gave a program and a seed."""
    mine = kept_sick.ONLY.get(name, ("jax", "tensorflow", "torch"))
    lot = name if seed == 1 else f"{name} {seed}"
    return random.Random(lot).choice(sorted(mine))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--by", default="monitor")
    parser.add_argument("--all", action="store_true", help="train with each")
    parser.add_argument("--kept", default="field")
    parser.add_argument("--minutes", type=float)
    for flag in ("lot", "score", "after"):
        parser.add_argument(f"--{flag}", action="store_true")
    parser.add_argument("--out", default="remedies.jsonl")
    arguments = parser.parse_args()
    out, lines = pathlib.Path(arguments.out), []
    if out.exists():
        lines = [json.loads(text) for text in out.read_text().splitlines()]
    here = keras.backend.backend()
    done = {(e["name"], e["seed"], e["by"]) for e in lines}
    start, programs = time.monotonic(), {}
    for kept in arguments.kept.split(","):
        programs |= _SETS[kept]
    asked = [
        (name, by, seed)
        for name in programs
        for by in arguments.by.split(",")
        for seed in map(int, arguments.seeds.split(","))
        if any(part in name for part in arguments.only.split(","))
        if not arguments.lot or drawn(name, seed) == here
    ]
    if arguments.minutes is not None:
        random.Random("order").shuffle(asked)
    for name, by, seed in asked:
        # What no score shows cannot be seen to heal.
        if arguments.score or name in kept_sick.LABELLED:
            continue
        said = f"{by}, after" if arguments.after else by
        spent = (time.monotonic() - start) / 60
        late = arguments.minutes is not None and spent > arguments.minutes
        if late or (name, seed, said) in done:
            continue
        program = programs[name][2]
        line = one(name, program, seed, by, arguments.all, arguments.after)
        lines.append({**line, "backend": here})
        with out.open("a") as file:
            file.write(json.dumps(lines[-1]) + "\n")
        _print(line)
    _score(lines)


def _print(line):
    ends = [f"{line.get(key, float('nan')):.2f}" for key in ("before", "after")]
    print(
        f"{line['name']:38}{line['by']:9}{' -> '.join(ends):16}",
        f"bar {line['bar']:.2f}",
        ", ".join(line["told"][:2]),
        "|",
        line.get("first", "nothing told"),
        line.get("error_after", ""),
        f"dead {line['dead']}" if "dead" in line else "",
        flush=True,
    )
    for failure in line["failed"]:
        print(f"    DOES NOT RUN  {failure}")
    for word in line.get("words", ()):
        print(f"    {word}")


def _score(lines):
    told = [line for line in lines if "first" in line]
    healed = [line for line in told if heals(line)]
    ran = [line for line in lines if not line["failed"]]
    print(f"\nall remedies run in {len(ran)} of {len(lines)} programs")
    print(f"the first remedy makes {len(healed)} of {len(told)} learn")
    worst = collections.Counter(
        line["told"][0] for line in told if line not in healed
    )
    print("those that it does not:", dict(worst))


if __name__ == "__main__":
    main()
