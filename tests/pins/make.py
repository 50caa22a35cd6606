"""Writes the pins anew: `KERAS_BACKEND=torch python -m tests.pins.make`.

Look at `git diff` and commit what was intended. With `--traces` the programs
train again, too, and what was recorded of them is replaced. With `--files`
the trace, the model and the configs of format 1 are replaced by what is saved
today: they stand for files that users have, so a change that needs this
breaks those.
"""

import argparse
import json
import pathlib
import tempfile

from tests.pins import programs
from tests.pins import runs
from tests.pins import stored
from tests.pins import surface


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.pins.make")
    parser.add_argument("--traces", action="store_true")
    parser.add_argument("--files", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _make(options, pathlib.Path(folder))


def _make(options, folder):
    stored.make_trace().save(stored.SAVED_FILE)
    if options.files:
        stored.make_trace().save(stored.TRACE_FILE)
        surface.write_configs()
        runs.write_model()
    if options.traces:
        traces = {
            name: programs.train(program).trace
            for name, program in programs.PROGRAMS.items()
        }
        stored.store_traces(traces, _new(folder / "train"))
    pins = {
        "diagnoses": stored.diagnoses(_new(folder / "traces")),
        "trace_v1": stored.trace_file(),
        "commands": stored.commands(),
        "names": surface.names(),
        "ids": surface.ids(),
        "checks": runs.checks(),
        "run_files": runs.run_files(_new(folder / "run")),
        "model_v1": runs.model_file(),
    }
    for name, content in pins.items():
        text = json.dumps(
            content,
            indent=1,
            sort_keys=True,
            allow_nan=False,
            ensure_ascii=False,
        )
        (stored.HERE / f"{name}.json").write_text(text + "\n", "utf-8")


def _new(path):
    path.mkdir()
    return path


if __name__ == "__main__":
    main()
