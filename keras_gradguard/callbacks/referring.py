"""When it is asked what trivial learners get out of rows of a run."""

from keras_gradguard.diagnosis.evidence.learning import of_plan
from keras_gradguard.diagnosis.evidence.learning import planned_steps

# Share of the plan, fewest and most steps: before the first rule asks.
_WAIT = 0.4, 100, 250
_REFERENCE = "reference"


def note_reference(trace, rows, is_last):
    """Write into a trace what trivial learners get out of rows of its batches.

    Once, before the rules ask that go by it: what they said is not to change.

    Args:
        trace: `Trace` of the run.
        rows: `Rows` of the run.
        is_last: Bool. Whether no more steps come.
    """
    if _REFERENCE in trace.meta or not len(trace.steps):
        return
    rows.settle()
    step = int(trace.steps[-1])
    done = step - int(trace.steps[0]) + 1
    if is_last or done >= _wait(trace):
        found = rows.reference(trace.run)
        if found is not None:
            trace.meta[_REFERENCE] = {"step": step, **found}
            rows.end()
    if is_last:
        rows.end()


def _wait(trace):
    with trace.unchanged():
        known = planned_steps(trace) is not None
        return of_plan(trace, *_WAIT) if known else float("inf")
