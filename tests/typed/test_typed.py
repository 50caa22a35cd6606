"""What a type checker knows of the public names, and finds in the package."""

import pathlib
import subprocess
import sys

import pytest

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


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("mypy")


def errors_in(file, lines):
    return [line for line in lines if line.startswith(f"tests/typed/{file}:")]


def test_a_sound_program_passes(cache):
    lines = check("tests/typed/sound.py", cache=cache)
    assert lines == ["Success: no issues found in 1 source file"]


def test_each_planted_mistake_is_found(cache, tmp_path):
    # An unused `type: ignore` is an error: each of the ten is needed.
    lines = check("tests/typed/mistakes.py", cache=cache)
    assert lines == ["Success: no issues found in 1 source file"]
    program = (HERE / "mistakes.py").read_text()
    assert program.count("# type: ignore[") == 10
    bare = tmp_path / "bare.py"
    bare.write_text(
        "\n".join(line.split("  # type")[0] for line in program.splitlines())
    )
    *found, last = check(bare, cache=cache)
    assert last.startswith("Found 10 errors in 1 file"), found


def test_the_checker_sees_all_public_names(cache, tmp_path):
    import keras_gradguard as kgg

    program = tmp_path / "names.py"
    names = [name for name in kgg.__all__ if not name.startswith("_")]
    program.write_text(
        "import keras_gradguard as kgg\n"
        + "".join(f"reveal_type(kgg.{name})\n" for name in names)
    )
    told = [line for line in check(program, cache=cache) if "Revealed" in line]
    assert len(told) == len(names)
    assert not [line for line in told if '"Any"' in line]


def test_the_package_has_no_errors(cache):
    last = check("keras_gradguard", cache=cache)[-1]
    assert last.startswith("Success: no issues found")
