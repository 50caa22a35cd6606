import pytest

from keras_gradguard import _validation

pytestmark = pytest.mark.pure


def test_int_rejects_bool_and_names_type():
    with pytest.raises(
        TypeError,
        match=r"A: `n` must be an integer >= 1. Received: n=True \(of type b",
    ):
        _validation.check_int("A", "n", True, minimum=1)


def test_int_below_minimum_gives_the_hint():
    with pytest.raises(
        ValueError, match=r"Received: n=0. Pass 1 for every step"
    ):
        _validation.check_int(
            "A", "n", 0, minimum=1, hint="Pass 1 for every step."
        )
    assert _validation.check_int("A", "n", 3, minimum=1) == 3


@pytest.mark.parametrize("value", [-1, 101, float("nan")])
def test_number_outside_range(value):
    with pytest.raises(
        ValueError, match=r"`percentile` must be a number in \[0, 100\]"
    ):
        _validation.check_number(
            "AutoClip", "percentile", value, minimum=0, maximum=100
        )


def test_number_exclusive_limit():
    with pytest.raises(ValueError, match="must be a number > 0"):
        _validation.check_number("A", "x", 0.0, above=0)
    assert _validation.check_number("A", "x", 2, above=0) == 2.0


def test_choice_shows_all():
    with pytest.raises(ValueError, match=r"one of 'a', None. Received: x='b'"):
        _validation.check_choice("A", "x", "b", ("a", None))
    assert _validation.check_choice("A", "x", None, ("a", None)) is None
