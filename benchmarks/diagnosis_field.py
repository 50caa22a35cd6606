"""Scores the verdicts on programs made after public reports.

    KERAS_BACKEND=torch python benchmarks/diagnosis_field.py
        [--kept 1] [--only NAME,NAME] [--seeds 1,2] [--by monitor,check] [--lot]
        [--runs DIR] [--again] [--score]

Each program is trained, watched with defaults, and its trace is saved beside
a line of JSON. `--again` has the rules judge the saved traces without
training. `--by check` asks `check` before the fit. `--kept` with a number
takes programs that no rule was made with, `--lot` only those whose backend,
drawn by their name, is the one that runs. `--seeds lot` takes the seed that
the last three sets drew, too. A program that is there already is
left out, and `--score` only prints what is there. For each point that is: sick
programs found, the right rule among the first two causes, healthy ones
flagged, and verdicts of None. What learns all the same is not scored as sick:
what gains half of what its corrected twin does, where it has one.
"""

import argparse
import inspect
import json
import os
import pathlib
import random

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
from detection import broad_fed  # noqa: F401  it fills the set of `broad`
from detection import broad_own
from detection import field_sides  # noqa: F401  it fills both sets
from detection import kept_again
from detection import kept_eighth
from detection import kept_eleventh
from detection import kept_fifth
from detection import kept_fourteenth
from detection import kept_fourth
from detection import kept_healthy
from detection import kept_ninth
from detection import kept_seventh
from detection import kept_sick
from detection import kept_sixth
from detection import kept_tenth
from detection import kept_third
from detection import kept_thirteenth
from detection import kept_twelfth
from detection import tutorial_images  # noqa: F401  it fills the set, too
from detection import tutorial_own
from detection import usual_own
from detection.alarm import FirstAlarm
from detection.field_healthy import HEALTHY
from detection.field_sick import SICK
from detection.gains import LEARNT
from detection.gains import gain

import keras_gradguard as kgg

_BACKENDS = ("jax", "tensorflow", "torch")


def drawn(name):
    """Return the backend that the lot gave a program."""
    mine = list(kept_sick.ONLY.get(name, _BACKENDS))
    if name in kept_ninth.SICK or name in kept_ninth.HEALTHY:
        mine += ["torch"] * ("torch" in mine)
    if any(
        name in kept
        for both in (kept_tenth, kept_eleventh)
        for kept in (both.SICK, both.HEALTHY)
    ):
        mine += 2 * ["torch"] * ("torch" in mine)
    return random.Random(name).choice(sorted(mine))


def seeds_of(name, told):
    """Return the seeds that are told, or the one that the lot gave."""
    if told == "lot":
        mine = kept_twelfth.SEEDS | kept_thirteenth.SEEDS
        mine |= kept_fourteenth.SEEDS
        return [mine.get(name, 1)]
    return [int(seed) for seed in told.split(",")]


def build(program, seed):
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    return program()


def train(program, seed, path):
    """Train a program, save its trace, and return report and facts."""
    model, x, y, fit = build(program, seed)
    monitor = kgg.GradientMonitor(verbose=0)
    alarm = FirstAlarm(monitor, fit.get("epochs", 1))
    facts = {}
    calls = [*fit.pop("callbacks", []), monitor, alarm]
    try:
        history = model.fit(x, y, **{"verbose": 0, **fit}, callbacks=calls)
        held_out = history.history.get("val_accuracy")
        if held_out:
            facts["held_out"] = held_out[-1]
    except Exception as error:
        facts["error"] = f"{type(error).__name__}: {error}"[:300]
    if isinstance(x, np.ndarray | list) and isinstance(y, np.ndarray):
        facts["gain"] = gain(model, x, y)
    facts["alarm"] = alarm.share
    monitor.trace.save(path)
    return monitor.report(), facts


def twin(name, program, path):
    """Return what the corrected twin of a program gains, by a first seed."""
    if "right" not in inspect.signature(program).parameters:
        return None
    if not path.exists():
        model, x, y, fit = build(lambda: program(right=True), 1)
        if inspect.isgenerator(x):
            return None  # it never ends, so nothing can be foretold from it
        model.fit(x, y, **{"verbose": 0, **fit})
        path.write_text(json.dumps({"name": name, "gain": gain(model, x, y)}))
    return json.loads(path.read_text())["gain"]


def told(report):
    """Return what is to be counted of a report."""
    causes = [f for f in report.ranked if f.cause is None]
    return {
        "healthy": report.healthy,
        "told": [f.rule for f in causes],
        "words": [f"{f.rule}: {f.message}" for f in causes[:2]],
        "verdict": report.verdict,
    }


def one(name, point, rules, program, seed, by, folder, again):
    """Return the line of one program and one judge."""
    backend = keras.backend.backend()
    stem = f"{name}.{backend}.{seed}"
    line = {"name": name, "point": point, "rules": rules, "seed": seed}
    line |= {"backend": backend, "by": by}
    if by == "check":
        model, x, y, _ = build(program, seed)
        try:
            return line | told(kgg.check(model, x, y))
        except Exception as error:
            line["error"] = f"{type(error).__name__}: {error}"[:300]
            return line | {"healthy": None, "told": [], "words": []}
    path, facts = folder / f"{stem}.npz", folder / f"{stem}.facts.json"
    if again and path.exists():
        report = kgg.diagnose(kgg.Trace.load(path))
        more = json.loads(facts.read_text()) if facts.exists() else {}
    else:
        report, more = train(program, seed, path)
        facts.write_text(json.dumps(more))
    line |= {"steps": int(report.trace.records_seen), **more}
    if rules is not None:
        line["twin"] = twin(name, program, folder / f"{name}.{backend}.twin")
    return line | told(report)


def learnt(line):
    """Whether a program that should not learn did, by validation if any."""
    if line.get("held_out") is not None:
        return line["held_out"] >= LEARNT
    at, best = line.get("gain", -1.0), line.get("twin")
    least = LEARNT if best is None else min(LEARNT, best / 2)
    return line["name"] not in kept_sick.LABELLED and at >= least


def state(line):
    if line["point"] == "few":
        return "ok" if line["healthy"] is None else "WRONG"
    if line["rules"] is None:
        if line["healthy"] is True:
            return "ok"
        return "FLAGGED" if line["healthy"] is False else "none"
    right = set(line["rules"]) & set(line["told"][:2])
    return "ok" if right else ("WRONG" if line["told"] else "MISSED")


def show(line):
    """Print a line, with what was said where it was not right."""
    now = state(line)
    print(
        f"{now:8}{line['point']:5}{line['name']:32}{line['by']:8}"
        f"{line['backend']:11}{line.get('gain', float('nan')):6.2f}",
        line.get("steps", ""),
        line["healthy"],
        line["told"][:3],
        line.get("error", ""),
        flush=True,
    )
    if now != "ok":
        for words in [*line["words"], line.get("verdict")]:
            print(f"            {words}", flush=True)


def table(lines, by):
    """Print the scores, by point and in all."""
    print(f"\n| {by} | found | right of found | healthy flagged | None |")
    print("|---|---|---|---|---|")
    points = sorted({entry["point"] for entry in lines})
    for point in [*points, "all"]:
        here = [e for e in lines if point in (e["point"], "all")]
        sick = [e for e in here if e["rules"] is not None and not learnt(e)]
        fine = [e for e in here if e["rules"] is None]
        found = [e for e in sick if e["healthy"] is False]
        print(
            f"| {point} | {len(found)}/{len(sick)} | "
            f"{sum(state(e) == 'ok' for e in found)}/{len(found)} | "
            f"{sum(e['healthy'] is False for e in fine)}/{len(fine)} | "
            f"{sum(e['healthy'] is None for e in here)} |"
        )
    alarms = [e["alarm"] for e in lines if e["rules"] and e.get("alarm")]
    if alarms:
        print(f"first told after {100 * np.median(alarms):.1f} % of the plan")


def score(lines):
    """Print a table for each judge, and one for both together."""
    judges = sorted({entry["by"] for entry in lines})
    facts = ("gain", "held_out", "twin")
    known: dict = {}
    for line in lines:
        own = {k: line[k] for k in facts if k in line}
        known[_key(line)] = {**known.get(_key(line), {}), **own}
    lines = [{**e, **known[_key(e)]} for e in lines]
    for by in judges:
        table([e for e in lines if e["by"] == by], by)
    if len(judges) < 2:
        return
    sick = [e for e in lines if e["rules"] is not None and not learnt(e)]
    right = {_key(e) for e in sick if state(e) == "ok"}
    print(f"\nright by either: {len(right)}/{len({_key(e) for e in sick})}")


def _key(line):
    return line["name"], line["backend"], line["seed"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="parts of names or points")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--by", default="monitor")
    parser.add_argument("--runs", default="runs/field")
    kept = [str(number) for number in range(1, 18)]
    parser.add_argument("--kept", choices=kept)
    for flag in ("lot", "again", "score"):
        parser.add_argument(f"--{flag}", action="store_true")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.runs)
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "lines.jsonl"
    lines = []
    if out.exists() and not arguments.again:
        lines = [json.loads(text) for text in out.read_text().splitlines()]
    sick, fine = {
        None: (SICK, HEALTHY),
        "1": (kept_sick.SICK, kept_healthy.HEALTHY),
        "2": (kept_again.SICK, kept_again.HEALTHY),
        "3": ({}, usual_own.HEALTHY),
        "4": (kept_third.SICK, kept_third.HEALTHY),
        "5": (kept_fourth.SICK, kept_fourth.HEALTHY),
        "6": (kept_fifth.SICK, kept_fifth.HEALTHY),
        "7": (kept_sixth.SICK, kept_sixth.HEALTHY),
        "8": ({}, tutorial_own.HEALTHY),
        "9": (kept_seventh.SICK, kept_seventh.HEALTHY),
        "10": ({}, broad_own.HEALTHY),
        "11": (kept_eighth.SICK, kept_eighth.HEALTHY),
        "12": (kept_ninth.SICK, kept_ninth.HEALTHY),
        "13": (kept_tenth.SICK, kept_tenth.HEALTHY),
        "14": (kept_eleventh.SICK, kept_eleventh.HEALTHY),
        "15": (kept_twelfth.SICK, kept_twelfth.HEALTHY),
        "16": (kept_thirteenth.SICK, kept_thirteenth.HEALTHY),
        "17": (kept_fourteenth.SICK, kept_fourteenth.HEALTHY),
    }[arguments.kept]
    programs = [(n, p, list(r), f) for n, (p, r, f) in sick.items()]
    programs += [(n, p, None, f) for n, (p, f) in fine.items()]
    here = keras.backend.backend()
    done = {(*_key(e), e["by"]) for e in lines}
    for name, point, rules, program in programs:
        wanted = arguments.only.split(",")
        if arguments.score or not any(w in f"{name} {point}" for w in wanted):
            continue
        if arguments.lot and drawn(name) != here:
            continue
        if here not in kept_sick.ONLY.get(name, _BACKENDS):
            continue
        for by in arguments.by.split(","):
            for seed in seeds_of(name, arguments.seeds):
                if (name, here, seed, by) in done:
                    continue
                line = one(
                    name,
                    point,
                    rules,
                    program,
                    seed,
                    by,
                    folder,
                    arguments.again,
                )
                lines.append(line)
                show(line)
                if not arguments.again:
                    with out.open("a") as file:
                        file.write(json.dumps(line) + "\n")
    score(lines)


if __name__ == "__main__":
    main()
