"""Each example runs by itself and says what it is there to show."""

import pathlib

import pytest

from tests import fresh

pytest.importorskip("sklearn")

ROOT = pathlib.Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
# What each must say, in this order.
SAYS = {
    "01_quickstart": ["vanishing_gradient", "As data: vanishing_gradient"],
    "02_circles": ["vanishing_gradient", "Healthy"],
    "03_moons": ["vanishing_gradient", "Healthy", "Healthy"],
    "04_exploding": ["nonfinite_gradient", "Healthy"],
    "05_recurrent": [
        *("simple_rnn_relu", "exploding_gradient", "simple_rnn_tanh"),
        *("simple_rnn_1 vanishes through time", "orthogonal"),
        *("No problem found", "lstm", "No problem found"),
    ],
    "06_deep_plain": ["vanishing_gradient", "Healthy"],
    "07_digits_cnn": ["Healthy", "Mean gradient norm"],
    "08_write_your_own_rule": ["growing_weights"],
    "09_check_and_heal": ["output_mismatch", "unscaled_data", "Changed"],
    "10_wgan_gp": ["No problem found", "Mean gradient norm", "critic/score"],
}


def test_each_example_is_known_here():
    assert [path.stem for path in EXAMPLES] == sorted(SAYS)


@pytest.mark.once
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path):
    done = fresh.run(path, cwd=tmp_path)
    assert not done.returncode, done.stderr
    assert "GradGuardWarning" not in done.stderr
    at = 0
    for text in SAYS[path.stem]:
        at = done.stdout.find(text, at) + len(text)
        assert at >= len(text), f"{text!r} is not in:\n{done.stdout}"
