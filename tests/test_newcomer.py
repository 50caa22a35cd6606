"""Each example of CONTRIBUTING is all that it takes, tried in a copy."""

import pathlib
import re
import shutil

import pytest

from tests import fresh

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).parents[1]
PROGRAM = pathlib.Path(__file__).with_name("newcomer_program.py")
BLOCKS = re.compile(r"```diff\n(.*?)```", re.DOTALL)


def apply(diff, folder):
    """Apply a diff, which gives no line numbers: its context is unique."""
    for part in re.split(r"(?m)^\+\+\+ b/", diff)[1:]:
        name, _, body = part.partition("\n")
        path = folder / name.strip()
        for hunk in re.split(r"(?m)^@@.*\n", body):
            lines = [line or " " for line in hunk.strip("\n").splitlines()]
            if not lines:
                continue
            old = "\n".join(line[1:] for line in lines if line[0] in " -")
            new = "\n".join(line[1:] for line in lines if line[0] in " +")
            if not old:
                path.write_text(new + "\n")
                continue
            text = path.read_text()
            assert text.count(old) == 1, f"{name}: {old}"
            path.write_text(text.replace(old, new))


def test_each_example_is_all_that_it_takes(tmp_path):
    shutil.copytree(ROOT / "keras_gradguard", tmp_path / "keras_gradguard")
    diffs = BLOCKS.findall((ROOT / "CONTRIBUTING.md").read_text())
    assert len(diffs) == 7
    for diff in diffs:
        apply(diff, tmp_path)
    run = fresh.run(PROGRAM, tmp_path / "run", cwd=tmp_path, path=tmp_path)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.split()[-1] == "done"
