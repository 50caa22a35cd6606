"""Pinned: what `check` says, and names and keys of what a run writes.

If a change is meant: `KERAS_BACKEND=torch python -m tests.pins.make`.
"""

import pytest

pytest.importorskip("sklearn")

from tests.pins import programs
from tests.pins import runs
from tests.pins.compare import differences
from tests.pins.stored import pinned

CHECKS = pinned("checks")


def test_each_program_is_checked():
    assert set(CHECKS) == set(programs.PROGRAMS)


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_check_of_a_program(name):
    # Backends sum in other orders.
    assert differences(CHECKS[name], runs.check(name), 1e-2, words=1e-2) == []


def test_files_tags_and_keys_of_a_run(tmp_path):
    pytest.importorskip("tensorboard")
    assert differences(pinned("run_files"), runs.run_files(tmp_path)) == []
