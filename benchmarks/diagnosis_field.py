"""Scores the verdicts on programs made after public reports.

    KERAS_BACKEND=torch python benchmarks/diagnosis_field.py
        [--only NAME] [--seeds 1,2] [--traces DIR] [--again]

Each program is trained, watched with defaults, and its trace is saved. Then
the rules judge the saved traces: `--again` judges them without training. Told
are for each point: sick programs found, the right rule among the first two
causes, healthy ones flagged, and verdicts of None.
"""

import argparse
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
from detection import field_sides  # noqa: F401  it fills both sets
from detection.field_healthy import HEALTHY
from detection.field_sick import SICK

import keras_gradguard as kgg

_SYMPTOMS = ("loss_plateau", "slow_convergence")


def train(program, seed, path):
    """Train a program and save its trace."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    model, x, y, fit = program()
    monitor = kgg.GradientMonitor(verbose=0)
    try:
        model.fit(x, y, **{"verbose": 0, **fit}, callbacks=[monitor])
    except Exception as error:
        print(f"  {path.stem}: {type(error).__name__}: {error}"[:120])
    monitor.trace.save(path)
    return monitor.report()


def judge(path):
    """Return the report on a saved trace."""
    return kgg.diagnose(kgg.Trace.load(path))


def line(name, point, rules, report):
    """Return what is to be counted of one run, and print it."""
    causes = [f for f in report.ranked if f.cause is None]
    told = [f.rule for f in causes]
    if rules is None:
        fine = report.healthy is True
        state = "ok" if fine else ("FLAGGED" if told else "none")
    else:
        right = set(rules) & set(told[:2])
        state = "ok" if right else ("WRONG" if told else "MISSED")
    loss = report.trace.logs.get("loss")
    ends = "" if loss is None else f"{loss[0]:.4g}->{loss[-1]:.4g}"
    print(f"{state:8}{point:6}{name:34}{ends:22}", report.healthy, told[:3])
    if state not in ("ok",):
        for finding in causes[:2]:
            print(f"            {finding.rule}: {finding.message}")
        print(f"            {report.verdict}")
    return {
        "point": point,
        "sick": rules is not None,
        "found": report.healthy is False,
        "right": state == "ok",
        "none": report.healthy is None,
    }


def table(lines):
    """Print the scores, by point and in all."""
    print("\n| point | found | right of found | healthy flagged | None |")
    print("|---|---|---|---|---|")
    points = sorted({entry["point"] for entry in lines})
    for point in [*points, "all"]:
        here = [e for e in lines if point in (e["point"], "all")]
        sick = [e for e in here if e["sick"]]
        fine = [e for e in here if not e["sick"]]
        found = [e for e in sick if e["found"]]
        print(
            f"| {point} | {len(found)}/{len(sick)} | "
            f"{sum(e['right'] for e in found)}/{len(found)} | "
            f"{sum(e['found'] for e in fine)}/{len(fine)} | "
            f"{sum(e['none'] for e in here)} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="part of a name or a point")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--traces", default="runs/field")
    parser.add_argument("--again", action="store_true")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.traces)
    folder.mkdir(parents=True, exist_ok=True)
    programs = [(n, p, r, f) for n, (p, r, f) in SICK.items()]
    programs += [(n, p, None, f) for n, (p, f) in HEALTHY.items()]
    lines = []
    for name, point, rules, program in programs:
        if arguments.only not in f"{name} {point}":
            continue
        for seed in arguments.seeds.split(","):
            path = folder / f"{name}.{keras.backend.backend()}.{seed}.npz"
            if arguments.again and path.exists():
                report = judge(path)
            else:
                report = train(program, int(seed), path)
            lines.append(line(name, point, rules, report))
    table(lines)


if __name__ == "__main__":
    main()
