"""Counts what cases come to: `python -m tests.hostile.counts [KIND ...]`."""

import pathlib
import sys
import tempfile
import time

from hypothesis import given

from tests.hostile import budget
from tests.hostile import outcomes


def of_traces(folder):
    """Damaged and hostile trace files, small ones."""
    from tests.hostile import readers
    from tests.hostile import traces

    counts = outcomes.Counts()

    def count(case):
        path = folder / "case.npz"
        path.write_bytes(case.data)
        counts.add(readers.outcome_of_trace(path), repr(case))

    for case in (
        *traces.odd_files(),
        *budget.share(list(traces.every_array()), 50),
        *budget.share(list(traces.every_field()), 50),
    ):
        count(case)
    budget.examples(40)(given(traces.damaged())(count))()
    return counts


def of_streams(folder):
    """Forged event streams in the tab."""
    from tests.hostile import readers
    from tests.hostile import streams

    counts = outcomes.Counts()

    def count(case):
        outcome, _ = readers.outcome_of_stream(case.stream)
        counts.add(outcome, repr(case))

    for case in (
        *budget.share(list(streams.odd_chunks()), 60),
        *budget.share(list(streams.every_array()), 60),
        *budget.share(list(streams.every_field()), 60),
    ):
        count(case)
    budget.examples(40)(given(streams.forged())(count))()
    return counts


def of_arguments(folder):
    """Wrong arguments of every public callable."""
    from tests.hostile import arguments

    counts = outcomes.Counts()
    targets = arguments.targets()

    def count(case):
        outcome = arguments.outcome(
            case.target, case.argument, case.what, case.arguments
        )
        counts.add(outcome, repr(case))

    for case in budget.share(list(arguments.every_case(targets)), 400):
        count(case)
    budget.examples(100)(given(arguments.drawn(targets))(count))()
    return counts


KINDS = {
    "traces": of_traces,
    "streams": of_streams,
    "arguments": of_arguments,
}


def main(kinds):
    """Print the counts of each kind."""
    for kind in kinds or KINDS:
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            counts = KINDS[kind](pathlib.Path(folder))
        seconds = time.perf_counter() - begin
        lines = "\n".join(counts.lines())
        sys.stdout.write(f"{kind}: {seconds:.0f} s, {lines}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
