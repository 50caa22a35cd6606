"""Values that stand where something else belongs."""

import math

import hypothesis.strategies as st

NESTED = 5_000

TEXTS = (
    "",
    "x",
    "NaN",
    "../../../etc/passwd",
    "/etc/passwd",
    "<script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    "a" * 10_000,
    "a\nb",
    "a\x00b",
    "\u202egnp.exe",
    "\ud800",
    "100 %s {0} [red]",
    "```\n# heading",
    "|`*_",
)
NUMBERS = (
    0,
    1,
    -1,
    5,
    2**31,
    2**63 - 1,
    2**63,
    -(2**63),
    10**400,
    0.0,
    0.5,
    -0.5,
    1e308,
    -1e308,
    5e-324,
    math.nan,
    math.inf,
    -math.inf,
)
CONTAINERS = (
    [],
    {},
    [None],
    [[]],
    [1, 2],
    ["a", 1],
    {"": None},
    {"a": {"b": {"c": []}}},
)


def nested(depth=NESTED, kind="[]"):
    """Text of JSON that is nested so deep that a parser may give up."""
    return kind[0] * depth + kind[1] * depth


def json_values():
    """What JSON can hold, odd values first."""
    odd = st.sampled_from((None, True, False, *NUMBERS, *TEXTS, *CONTAINERS))
    return st.one_of(odd, st.recursive(odd, _containers, max_leaves=6))


def _containers(inner):
    return st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(TEXTS), inner, max_size=3),
    )
