"""Numbers and names in messages."""

import pytest

from keras_gradguard._text import error_in_words
from keras_gradguard._text import many_times
from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard._text import profile_text

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (0.0012, "0.0012"),
        (0.00099, "9.9e-4"),
        (0.07, "0.07"),
        (12.34, "12"),
        (89.2, "89"),
        (37549, "38,000"),
        (999_999, "1 million"),
        (536870176.0, "540 million"),
        (9.5e10, "95 billion"),
        (9.99e11, "10^12"),
        (7.4e16, "7 x 10^16"),
        (-1e13, "-10^13"),
        (1e-5, "1e-5"),
        (1e-45, "1e-45"),
        (-0.5, "-0.5"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
    ],
)
def test_two_digits_count(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.69314, "0.693"),
        (123.4, "123"),
        (12.34, "12.3"),
        (1234.5, "1,230"),
        (361501360128.0, "362 billion"),
        (2.6e30, "3 x 10^30"),
    ],
)
def test_three_digits_count(value, text):
    assert number(value, 3) == text


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (52.3, "52 times"),
        (360_000, "360,000 times"),
        (9.5e7, "95 million times"),
        (2e9, "2 billion times"),
        (9.5e10, "95 billion times"),
        (1e12, "10^12 times"),
        (float("inf"), "inf times"),
    ],
)
def test_factors_in_words(factor, text):
    assert many_times(factor) == text


def test_names_in_words():
    assert names([]) == ""
    assert names(["a"]) == "a"
    assert names(["a", "b", "c"]) == "a, b and c"
    assert names(list("abcdefgh")) == "a, b, c, d and 4 more layers"


def test_long_profiles_lose_their_middle():
    assert profile_text([1, 2]) == "1, 2"
    assert profile_text([1] * 40).count(",") == 12
    assert "..." in profile_text([1] * 40)


def test_an_error_is_one_line_in_words():
    error = ValueError(
        "Exception encountered when calling Dense.call().\n\n"
        "\x1b[1mshapes differ.\x1b[0m\n\nArguments received by Dense.call():\n"
    )
    assert error_in_words(error) == (
        "ValueError: Exception encountered when calling Dense.call(). "
        "shapes differ"
    )
    assert error_in_words(KeyError()) == "KeyError"
    assert error_in_words(OSError("x" * 400), 4) == "OSError: xxxx"
