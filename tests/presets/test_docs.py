import pathlib
import re

import pytest

from keras_gradguard import presets
from keras_gradguard.presets import theory

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "presets.md"


@pytest.mark.once
def test_the_table_is_what_the_code_computes():
    text = PAGE.read_text(encoding="utf-8")
    (shown,) = re.findall(r"<!-- table -->\n(.*)\n<!-- /table -->", text, re.S)
    rows = [
        presets.pairing(name)
        for name in presets.names()
        if presets.pairing(name).name == name
    ]
    computed = theory.table(rows)

    # The backends differ in the ninth digit, so in a rounding here or there.
    def cells(table):
        return [
            [float(c) if re.fullmatch(r"[\d.]+", c) else c for c in line]
            for line in (
                [c.strip() for c in row.split("|")] for row in table.split("\n")
            )
        ]

    for a, b in zip(cells(shown), cells(computed), strict=True):
        for left, right in zip(a, b, strict=True):
            if isinstance(left, float):
                assert abs(left - right) <= 1e-4 + 0.02 * (left >= 10) * left
            else:
                assert left == right
