"""What a type checker knows of the public names, and finds in the package."""

import pathlib
import subprocess
import sys

import pytest

import keras_gradguard as kgg

pytestmark = pytest.mark.pure
pytest.importorskip("mypy", reason="mypy is in the extra `dev`.")

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]


def check(*arguments, cache):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            f"--config-file={ROOT / 'pyproject.toml'}",
            f"--cache-dir={cache}",
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


PROGRAM = (HERE / "mistakes.py").read_text()
NAMES = [name for name in kgg.__all__ if not name.startswith("_")]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What one run says of the package and of four programs that use it."""
    folder = tmp_path_factory.mktemp("typed")
    (folder / "bare.py").write_text(
        "\n".join(line.split("  # type")[0] for line in PROGRAM.splitlines())
    )
    (folder / "names.py").write_text(
        "import keras_gradguard as kgg\n"
        + "".join(f"reveal_type(kgg.{name})\n" for name in NAMES)
    )
    return check(
        "keras_gradguard",
        "tests/typed/sound.py",
        "tests/typed/mistakes.py",
        folder / "bare.py",
        folder / "names.py",
        cache=folder / "cache",
    )


def said_of(file, told):
    return [line for line in told if f"{file}:" in line]


def test_a_sound_program_passes(told):
    assert not said_of("sound.py", told)
    assert " 10 errors in 1 file (" in told[-1], told[-1]


def test_each_planted_mistake_is_found(told):
    # An unused `type: ignore` is an error: each of the ten is needed.
    assert not said_of("mistakes.py", told)
    assert PROGRAM.count("# type: ignore[") == 10
    found = [line for line in said_of("bare.py", told) if " error: " in line]
    assert len(found) == 10, found


def test_the_checker_sees_all_public_names(told):
    revealed = [line for line in said_of("names.py", told) if "Reveal" in line]
    assert len(revealed) == len(NAMES)
    assert not [line for line in revealed if '"Any"' in line]


def test_the_package_has_no_errors(told):
    errors = [line for line in told if " error: " in line]
    assert not [e for e in errors if e.startswith("keras_gradguard/")]
    checked = int(told[-1].split("checked ")[1].split()[0])
    assert checked == 4 + len(list((ROOT / "keras_gradguard").rglob("*.py")))
