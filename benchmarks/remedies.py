"""Pastes the remedies that programs are told, and trains again.

    KERAS_BACKEND=torch python benchmarks/remedies.py
        [--only NAME,NAME] [--all] [--seeds 1] [--by monitor,check]
        [--out remedies.jsonl]

Each program that does not learn is trained, watched. Every remedy of each
cause is run with `exec` in the program, built anew, in the names `model`, `x`
and `y`: it must run. After the first remedy the program trains again, for
500 steps at least. It has learnt when it gains at least half of what a plain
network gains on its data over a constant: of numbers the explained variance,
of classes what accuracy gains over the most frequent one, of yes and no twice
the area under the curve, less one.
"""

import argparse
import collections
import contextlib
import io
import json
import os
import re

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
from detection.field_sick import SICK
from detection.gains import LEARNT
from detection.gains import gain

import keras_gradguard as kgg

# Some of the programs are short: no network learns in fewer steps.
_STEPS = 500


def build(program, seed):
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    return program()


def paste(program, seed, code):
    """Return the names of a program built anew, in which code has run."""
    model, x, y, fit = build(program, seed)
    names = {"model": model, "x": x, "y": y}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code, names)
    return names, fit


def learnt(program, seed, code):
    """Return what a program gains that trains after code has run."""
    names, fit = paste(program, seed, code)
    steps = -(-len(names["x"]) // fit.get("batch_size", 32))
    fit = {"verbose": 0, **fit}
    fit["epochs"] = max(fit.get("epochs", 1), -(-_STEPS // steps))
    names["model"].fit(names["x"], names["y"], **fit)
    return gain(names["model"], names["x"], names["y"])


def one(name, program, seed, by, every=False):
    """Return the line of one program."""
    model, x, y, fit = build(program, seed)
    line = {"name": name, "seed": seed, "by": by, "told": [], "failed": []}
    if by == "check":
        try:
            report = kgg.check(model, x, y)
        except Exception as error:
            return {**line, "failed": [f"check: {error}"[:200]]}
    else:
        monitor = kgg.GradientMonitor(verbose=0)
        try:
            model.fit(x, y, **{"verbose": 0, **fit}, callbacks=[monitor])
            line["before"] = gain(model, x, y)
        except Exception as error:
            line["error"] = f"{type(error).__name__}"
        report = monitor.report()
    causes = [f for f in report.ranked if f.cause is None]
    line["told"] = [f.rule for f in causes]
    first = next((r for f in causes for r in f.remedies), None)
    for finding in causes:
        for remedy in finding.remedies:
            # Whether it runs is asked, not what hours of it would give.
            code = re.sub(r"epochs=\d+", "epochs=1", remedy.code)
            try:
                if every:
                    after = learnt(program, seed, remedy.code)
                    print(f"    {after:.2f} {remedy.title}")
                else:
                    paste(program, seed, code)
            except Exception as error:
                told = f"{remedy.title}: {type(error).__name__}: {error}"
                line["failed"].append(told[:300])
    if first is None:
        return line
    line["first"], line["code"] = first.title, first.code
    try:
        line["after"] = learnt(program, seed, first.code)
    except Exception as error:
        line["error_after"] = f"{type(error).__name__}: {error}"[:300]
    return line


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--by", default="monitor")
    parser.add_argument("--all", action="store_true", help="train with each")
    parser.add_argument("--out", default="remedies.jsonl")
    arguments = parser.parse_args()
    lines = []
    for name, (_, _, program) in SICK.items():
        if not any(part in name for part in arguments.only.split(",")):
            continue
        for by in arguments.by.split(","):
            for seed in arguments.seeds.split(","):
                line = one(name, program, int(seed), by, arguments.all)
                lines.append(line)
                with open(arguments.out, "a") as file:
                    file.write(json.dumps(line) + "\n")
                _print(line)
    _score(lines)


def _print(line):
    ends = [f"{line.get(key, float('nan')):.2f}" for key in ("before", "after")]
    print(
        f"{line['name']:32}{line['by']:8}{' -> '.join(ends):16}",
        ", ".join(line["told"][:2]),
        "|",
        line.get("first", "nothing told"),
        line.get("error_after", ""),
    )
    for failure in line["failed"]:
        print(f"    DOES NOT RUN  {failure}")


def _score(lines):
    told = [line for line in lines if "first" in line]
    healed = [line for line in told if line.get("after", -1) >= LEARNT]
    ran = [line for line in lines if not line["failed"]]
    print(f"\nall remedies run in {len(ran)} of {len(lines)} programs")
    print(f"the first remedy makes {len(healed)} of {len(told)} learn")
    worst = collections.Counter(
        line["told"][0] for line in told if line not in healed
    )
    print("those that it does not:", dict(worst))


if __name__ == "__main__":
    main()
