"""Scores the rules on labelled programs, beside published detectors.

    KERAS_BACKEND=jax python benchmarks/diagnosis.py CASES.json
        [--only NAME] [--seeds 0,1] [--limit-epochs N] [--out runs.jsonl]
    KERAS_BACKEND=jax python benchmarks/diagnosis.py --planted
    KERAS_BACKEND=torch python benchmarks/diagnosis.py --drawn 200

`CASES.json` describes the programs: layers, initializers, optimizer, loss,
data recipe, label, and what became of each seed. One line of JSON is written
per run, and a run that is there already is left out, so it can be stopped. At
the end it prints: problem runs found, the right rule among the first two of
`report.ranked` and of `findings`, which are by their first step, healthy runs
flagged, and the first alarm as a share of the planned epochs; as labelled (A),
on problem runs that did not learn and healthy ones that did (B), and where the
label held (C).

`--planted` trains healthy and sick pairs of larger models, each sick in one
known layer, and counts how often the finding that leads names that layer.
`--drawn` trains programs drawn at random, and counts what was said of those
that learnt and of those that did not.
"""

import argparse
import json
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from detection import drawn
from detection import planted
from detection import programs
from detection import published
from detection.alarm import FirstAlarm

import keras_gradguard as kgg

HERE = pathlib.Path(__file__).parent
# Steps after which a run that is no longer needed is cut: an alarm comes
# early or not at all.
_MOST_STEPS = 40_000


def run(case, seed, limit):
    """Train one program, watched, and return its line."""
    program = programs.build(case, seed)
    per_epoch = -(-len(program.x) // program.batch_size)
    epochs = min(
        program.epochs,
        case.get("epochs_checked", program.epochs),
        limit or program.epochs,
        max(1, _MOST_STEPS // per_epoch),
    )
    monitor = kgg.GradientMonitor(verbose=0)
    alarm = FirstAlarm(monitor, program.epochs)
    first = slice(0, program.batch_size)
    probe = published.Probe(program.x[first], program.y[first])
    program.model.fit(
        program.x,
        program.y,
        batch_size=program.batch_size,
        epochs=epochs,
        verbose=0,
        validation_data=program.validation,
        callbacks=[monitor, alarm, probe],
    )
    ranked = monitor.report().ranked
    at = case["outcome"]["seeds"].index(seed)
    return {
        "id": case["id"],
        "seed": seed,
        "label": case["label"],
        "epochs_run": epochs,
        "learnt": case["outcome"]["learnt"][at],
        "held": case["outcome"]["label_held"][at],
        "rules": [finding.rule for finding in ranked],
        "by_step": [finding.rule for finding in monitor.findings],
        "alarm": alarm.share if ranked else None,
        "others": {
            name: {
                kind: epoch / program.epochs
                for kind, epoch in detect(probe, epochs).items()
            }
            for name, detect in published.DETECTORS.items()
        },
    }


def lines_of(path):
    """Return the runs in a file of JSON lines, none if there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def score(runs):
    """Print the tables."""
    ways = {
        "A": lambda r: True,
        "B": lambda r: r["learnt"] == (r["label"] == "healthy"),
        "C": lambda r: r["held"],
    }
    print(
        "| rules | way | found | right | right by step | healthy flagged "
        "| first alarm |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in ("keras_gradguard", *published.DETECTORS):
        for way, keep in ways.items():
            print(_row(name, way, [r for r in runs if keep(r)]))


def _row(name, way, runs):
    ours = name == "keras_gradguard"

    def kinds(r):
        return r["rules"] if ours else list(r["others"][name])

    def alarm(r):
        return r["alarm"] if ours else min(r["others"][name].values())

    sick = [r for r in runs if r["label"] != "healthy"]
    healthy = [r for r in runs if r["label"] == "healthy"]
    found = [r for r in sick if kinds(r)]
    right = [r for r in found if _right(r, kinds(r)[: 2 if ours else None])]
    by_step = [r for r in found if ours and _right(r, r["by_step"][:2])]
    by_step = f"{len(by_step)}/{len(found)}" if ours else ""
    flagged = [r for r in healthy if kinds(r)]
    first = [alarm(r) for r in found if alarm(r) is not None]
    middle = f"{100 * np.median(first):.1f} %" if first else "-"
    return (
        f"| {name} | {way} | {len(found)}/{len(sick)} | "
        f"{len(right)}/{len(found)} | {by_step} | "
        f"{len(flagged)}/{len(healthy)} | {middle} |"
    )


def _right(run_, kinds):
    wanted = {run_["label"], *programs.RULES.get(run_["label"], ())}
    return bool(wanted & set(kinds))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="?", help="file of labelled programs")
    parser.add_argument("--only", default="", help="part of a program's id")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--limit-epochs", type=int, default=None)
    parser.add_argument("--planted", action="store_true")
    parser.add_argument("--drawn", type=int, help="how many programs")
    parser.add_argument("--start", type=int, default=0, help="of --drawn")
    parser.add_argument("--out", default=HERE / "results/diagnosis_runs.jsonl")
    arguments = parser.parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    if arguments.planted:
        planted.main(seeds, arguments.only)
        return
    if arguments.drawn:
        drawn.main(arguments.drawn, arguments.start)
        return
    if not arguments.cases:
        parser.error("pass a file of labelled programs, --planted or --drawn")
    out = pathlib.Path(arguments.out)
    done = {(r["id"], r["seed"]) for r in lines_of(out)}
    cases = json.loads(pathlib.Path(arguments.cases).read_text())["cases"]
    for case in cases:
        for seed in case["outcome"]["seeds"]:
            wanted = seed in seeds and arguments.only in case["id"]
            if not wanted or (case["id"], seed) in done:
                continue
            line = run(case, seed, arguments.limit_epochs)
            with out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(line["id"], seed, line["label"], line["rules"], flush=True)
            keras.backend.clear_session()
    score(lines_of(out))


if __name__ == "__main__":
    main()
