"""The command line: `python -m keras_gradguard demo | report | replay`."""

import argparse
import contextlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from urllib.parse import quote

from keras_gradguard._optional import require
from keras_gradguard.diagnosis import Finding
from keras_gradguard.diagnosis import Report
from keras_gradguard.diagnosis import diagnose
from keras_gradguard.findings import causes
from keras_gradguard.replaying.command import add_replay
from keras_gradguard.reporting.run_directory import FINDINGS
from keras_gradguard.reporting.run_directory import RUN
from keras_gradguard.reporting.run_directory import TRACE
from keras_gradguard.reporting.run_index import to_index
from keras_gradguard.trace.trace import Trace
from keras_gradguard.version import __version__

_BACKENDS = ("tensorflow", "jax", "torch")
_CASES = ("circles", "moons")


def main(arguments=None):
    """Run the command line.

    Args:
        arguments: List of str. Defaults to those of the process.

    Returns:
        Int. 0; 1 if the command failed, then stderr says why; 2 if findings
        stand that `--fail-on` asks for.
    """
    options = _parser().parse_args(arguments)
    try:
        code = options.run(options)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"keras_gradguard {options.command}: {error}", file=sys.stderr)
        return 1
    return code or 0


def load_report(run_dir):
    """Judge a finished or a crashed run from the files it left.

    The findings that the run itself wrote are kept, also those of rules of
    your own; what the rules say of the saved trace is added.

    Args:
        run_dir: Str or path. The `log_dir` of a `GradientMonitor`.

    Returns:
        A `Report`.

    Raises:
        OSError: If there is no such directory, or no run in it.
        ValueError: If the files are damaged.
    """
    run_dir = Path(run_dir)
    if not (run_dir / TRACE).is_file():
        raise FileNotFoundError(_no_run(run_dir))
    trace = Trace.load(run_dir / TRACE)
    report = _judged_as_it_was(trace)
    judged = {finding.key: finding for finding in report.findings}
    written = _written_findings(run_dir / FINDINGS)
    # A crashed run wrote its findings as they were when they came up.
    ended = {finding.key: finding for finding in causes.ended(report.history)}
    found = {f.key: f for f in written} | ended | judged
    history = sorted(found.values(), key=lambda f: f.first_step)
    report = Report(
        [f for f in history if f.status not in causes.ENDED],
        trace,
        notes=report.notes,
        not_judged=report.not_judged,
        history=history,
    )
    report.run_dir = str(run_dir)
    return report


def _judged_as_it_was(trace):
    """Judge a run by the rules as they were adjusted for it."""
    options = trace.meta.get("rules")
    if isinstance(options, dict):
        # Of another release, or of somebody else's making.
        with contextlib.suppress(TypeError, ValueError):
            return diagnose(trace, options)
    return diagnose(trace)


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m keras_gradguard",
        description="Finds and prevents vanishing and exploding gradients.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="train famous sick networks and say what is wrong with them",
        description="Trains two famous networks that cannot learn, and their "
        "cures, in under two minutes, on the backend that KERAS_BACKEND says.",
    )
    demo.add_argument(
        "--cases",
        nargs="+",
        choices=_CASES,
        default=list(_CASES),
        help="which to train (default: all)",
    )
    demo.add_argument(
        "--log-dir",
        default="runs/demo",
        help="where TensorBoard files and traces go (default: runs/demo)",
    )
    demo.add_argument(
        "--epochs",
        type=_positive,
        help="train for at most so many epochs (default: as each case needs)",
    )
    demo.add_argument(
        "--seed", type=int, default=1, help="seed of the weights (default: 1)"
    )
    demo.set_defaults(run=_demo)
    report = commands.add_parser(
        "report",
        help="make a report from the files of a finished or crashed run",
        description="Judges a run from the files that GradientMonitor("
        "log_dir=RUN_DIR) left. Of a directory that holds several runs it "
        "makes a page of each and index.html, which lists them. Neither Keras "
        "nor the model is needed.",
    )
    report.add_argument(
        "run_dir", metavar="RUN_DIR", help="its log_dir, or one of several"
    )
    report.add_argument(
        "-o",
        "--output",
        help="file to write: .html, .md or .json "
        "(default: report.html in RUN_DIR; index.html of several)",
    )
    report.add_argument(
        "--json",
        action="store_true",
        help="print the report as JSON, and write no file unless -o says one",
    )
    report.add_argument(
        "--fail-on",
        choices=("warning", "critical"),
        help="exit with 2 where a finding as severe as this, or more, stands",
    )
    report.set_defaults(run=_report)
    add_replay(commands, _BACKENDS)
    return parser


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return value


def _demo(options):
    _choose_backend()
    # Networks of width 10 only get slower with more threads.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    require("sklearn", "demo", "keras_gradguard demo")
    require("tensorboard", "demo", "keras_gradguard demo")
    from keras_gradguard.demo.run import run

    run(options.cases, options.log_dir, options.epochs, options.seed)


def _choose_backend():
    """Take the first backend that is installed, if the user chose none."""
    if "KERAS_BACKEND" in os.environ:
        return
    for name in _BACKENDS:
        if importlib.util.find_spec(name) is not None:
            os.environ["KERAS_BACKEND"] = name
            return
    raise ImportError(
        "TensorFlow, JAX or torch is needed and none is installed. "
        'Run: pip install "keras-gradguard[jax,demo]"'
    )


def _report(options):
    run_dir = Path(options.run_dir)
    if not (run_dir / TRACE).is_file():
        inside = sorted(path.parent for path in run_dir.rglob(TRACE))
        if inside:
            return _report_all(options, run_dir, inside)
    output = options.output or (None if options.json else "")
    report = load_report(run_dir)
    if output is not None:
        output = Path(output or run_dir / "report.html")
        report.save(output)
    if options.json:
        print(json.dumps(report.to_dict(), indent=2, allow_nan=False))
    else:
        _print_report(report, _state(run_dir), output)
    return _exit_code(options, [report])


def _exit_code(options, reports):
    """Return 2 where a finding stands that `--fail-on` asks for."""
    worrying = ("critical", options.fail_on)
    severe = [
        finding
        for report in reports
        for finding in report.findings
        if finding.severity in worrying
    ]
    return 2 if options.fail_on and severe else 0


def _report_all(options, folder, inside):
    """Report on each run of a directory, and list them on one page."""
    index = Path(options.output or folder / "index.html")
    if index.suffix.lower() != ".html":
        raise ValueError(
            f"`--output` must end in .html, because {folder} holds several "
            f"runs. Received: {options.output!r}. Pass one run, or --json."
        )
    write = options.output is not None or not options.json
    runs: list = []
    reports, bad = [], 0
    for run_dir in inside:
        name = run_dir.relative_to(folder).as_posix()
        written = (run_dir / TRACE).stat().st_mtime
        link: str | None = None
        try:
            report = load_report(run_dir)
        except (OSError, ValueError) as error:
            # One damaged run must not hide the others.
            runs.append((name, link, f"cannot be read: {error}", written))
            print(f"{name}: cannot be read: {error}", file=sys.stderr)
            bad += 1
            continue
        reports.append(report)
        if write:
            page = run_dir / "report.html"
            report.save(page)
            link = Path(os.path.relpath(page, index.parent)).as_posix()
        runs.append((name, quote(link) if link else None, report, written))
        if not options.json:
            print(f"{name}: {report.verdict}")
    if options.json:
        entries = [
            {"run": report.run_dir, **report.to_dict()} for report in reports
        ]
        print(json.dumps(entries, indent=2, allow_nan=False))
    if write:
        index.parent.mkdir(parents=True, exist_ok=True)
        text = to_index(runs, str(folder))
        index.write_text(text, encoding="utf-8", errors="replace")
    if write and not options.json:
        print(f"\nWritten: {index}")
    return _exit_code(options, reports) or int(bad == len(runs))


def _print_report(report, state, output):
    print(report)
    if state == "running":
        print(
            "\nThis run has not finished, or it crashed: the report goes as "
            f"far as step {report.trace.steps[-1]}, where it last saved."
            if len(report.trace.steps)
            else "\nThis run ended before its first step was saved."
        )
    print(f"\nWritten: {output}")


def _no_run(run_dir):
    what = (
        "`RUN_DIR` must be the log_dir of a GradientMonitor. Received: "
        f"{str(run_dir)!r}"
    )
    if not run_dir.exists():
        return f"{what}, which does not exist. Check the spelling."
    if not run_dir.is_dir():
        return f"{what}, which is a file. Pass the directory that it is in."
    return (
        f"{what}, in which there is no {TRACE}. It is written at the end of "
        "the first epoch: pass `log_dir` to GradientMonitor and train."
    )


def _written_findings(path):
    findings = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            findings.append(Finding.from_dict(json.loads(line)))
        except (ValueError, KeyError, TypeError):
            continue  # cut off by a crash
    return findings


def _state(run_dir):
    try:
        return json.loads((run_dir / RUN).read_text("utf-8")).get("state")
    except (OSError, ValueError, AttributeError):
        return None
