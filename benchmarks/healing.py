"""Heals labelled programs and scores what comes back.

    KERAS_BACKEND=jax python benchmarks/healing.py CASES.json
        [--only NAME] [--seeds 0] [--out healing_runs.jsonl]

Each program is trained as it is, then a fresh copy goes through `kgg.heal`
with its data and nothing else, and the model that comes back is trained on,
watched, for as many epochs as the plain one. Skill is measured on validation
data where there are any: 1 is perfect, 0 is always giving the mean or the most
frequent class. A sick program counts as cured when nothing is found in the
healed model's training and it is more skilled than the plain one, which is what
AUTOTRAINER calls repaired; as repaired when besides its skill is at least 0.3.
Any that was changed counts as worse when it lost over 0.05. Time is that of
`heal` over that of the plain training; epochs are those of the trials over
those of the plain training.
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from detection import programs

import keras_gradguard as kgg
from keras_gradguard.healing.skill import skill
from keras_gradguard.healing.skill import tasks_of

HERE = pathlib.Path(__file__).parent
_MOST_STEPS = 20_000
_LEARNT, _WORSE = 0.3, 0.05


def run(case, seed):
    """Train and heal one program, and return its line."""
    program = programs.build(case, seed)
    per_epoch = -(-len(program.x) // program.batch_size)
    epochs = max(1, min(program.epochs, _MOST_STEPS // per_epoch))
    tasks = tasks_of(program.model, program.y)
    start = time.perf_counter()
    _fit(program.model, program, epochs)
    plain_seconds = time.perf_counter() - start
    plain = _skill(program.model, program, tasks)
    keras.backend.clear_session()
    program = programs.build(case, seed)
    start = time.perf_counter()
    healed, report = kgg.heal(
        program.model,
        x=program.x,
        y=program.y,
        epochs=epochs,
        batch_size=program.batch_size,
    )
    heal_seconds = time.perf_counter() - start
    monitor = kgg.GradientMonitor(verbose=0)
    _fit(healed, program, epochs, monitor)
    return {
        "id": case["id"],
        "seed": seed,
        "label": case["label"],
        "plain": plain,
        "healed": _skill(healed, program, tasks),
        "left": [finding.rule for finding in monitor.findings],
        "time": heal_seconds / plain_seconds,
        "heal_epochs": sum(a.epochs for a in report.attempts),
        "epochs": epochs,
        "kept": [a.title for a in report.attempts if a.kept],
        "tried": [str(attempt) for attempt in report.attempts],
    }


def _fit(model, program, epochs, *callbacks):
    model.fit(
        program.x,
        program.y,
        batch_size=program.batch_size,
        epochs=epochs,
        verbose=0,
        callbacks=list(callbacks),
    )


def _skill(model, program, tasks):
    x, y = program.validation or (program.x, program.y)
    return float(skill(model, x, y, tasks))


def cured(line):
    """Tell whether what was found is gone, and the predictions are better."""
    return not line["left"] and line["healed"] > line["plain"]


def repaired(line):
    """Tell whether a sick program's run came back in order."""
    learnt = line["healed"] >= _LEARNT
    better = not line["healed"] < line["plain"] - _WORSE
    return learnt and better and not line["left"]


def score(lines):
    """Print what became of the programs."""
    sick = [r for r in lines if r["label"] != "healthy"]
    bad = [r for r in sick if not r["plain"] >= _LEARNT]
    healthy = [r for r in lines if r["label"] == "healthy"]
    lost = [r for r in lines if r["healed"] < r["plain"] - _WORSE]
    # What was not changed differs by chance.
    worse = [r for r in lost if r["kept"]]
    print(
        "| runs | cured | repaired | epochs, median | epochs, largest "
        "| time, median | time, largest |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, rows in (
        ("sick as labelled", sick),
        ("sick that did not learn", bad),
    ):
        times = [r["time"] for r in rows] or [np.nan]
        epochs = [r["heal_epochs"] / r["epochs"] for r in rows] or [np.nan]
        print(
            f"| {name} | {sum(map(cured, rows))}/{len(rows)} "
            f"| {sum(map(repaired, rows))}/{len(rows)} "
            f"| {np.median(epochs):.2f} | {np.max(epochs):.2f} "
            f"| {np.median(times):.2f} | {np.max(times):.2f} |"
        )
    changed = sum(bool(r["kept"]) for r in healthy)
    print(f"\nHealthy programs changed: {changed}/{len(healthy)}.")
    print(f"Worse than before: {len(worse)}/{len(lines)}.")
    for r in lines:
        if r in worse or (r["label"] != "healthy" and not repaired(r)):
            print(
                f"- {r['id']} ({r['label']}), seed {r['seed']}: "
                f"{r['plain']:.2f} -> {r['healed']:.2f}; kept {r['kept']}; "
                f"left {r['left']}"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", help="file of labelled programs")
    parser.add_argument("--only", default="", help="part of a program's id")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--out", default=HERE / "results/healing_runs.jsonl")
    arguments = parser.parse_args()
    out = pathlib.Path(arguments.out)
    lines = []
    if out.exists():
        lines = [json.loads(text) for text in out.read_text().splitlines()]
    done = {(r["id"], r["seed"]) for r in lines}
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    cases = json.loads(pathlib.Path(arguments.cases).read_text())["cases"]
    for case in cases:
        for seed in seeds:
            skipped = arguments.only not in case["id"]
            if skipped or (case["id"], seed) in done:
                continue
            line = run(case, seed)
            lines.append(line)
            with out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(line["id"], line["plain"], line["healed"], flush=True)
            keras.backend.clear_session()
    score(lines)


if __name__ == "__main__":
    main()
