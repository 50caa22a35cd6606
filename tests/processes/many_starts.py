"""Starts a job of two processes again and again, and counts good ends.

`KERAS_BACKEND=jax python -m tests.processes.many_starts 20`. A race between
processes shows in one start of several, so one test says little.
"""

import sys
import tempfile
from pathlib import Path

from tests.processes import test_two_processes as job

CHECKS = (
    job.test_watching_changes_no_bit_in_any_process,
    job.test_all_processes_record_the_same,
    job.test_one_set_of_files_and_one_voice,
    job.test_a_finding_stops_all_processes_at_the_same_step,
)


def ends_well(number):
    """Whether one start passes all checks."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = job.run_job(Path(folder))
            for check in CHECKS:
                check(done)
        except Exception as error:
            sys.stdout.write(f"start {number}: {error}\n")
            return False
    return True


def main(starts):
    good = 0
    for number in range(1, starts + 1):
        good += ends_well(number)
        sys.stdout.write(f"{good} of {number} ended well\n")
        sys.stdout.flush()
    return int(good < starts)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
