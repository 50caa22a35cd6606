"""The thresholds of the rule `clipping`, all of them."""

from typing import Any

# Of the updates that are clipped; and what that leaves of their norm.
ADJUSTABLE = {"share": 0.99, "left": 0.1}


# rule
ALWAYS = {"window": 500}
NEVER = {"window": 2000, "ratio": 0.1}


# of_keras
# What is left of a gradient that a step no longer feels.
OF_KERAS_LEFT = 0.05
OF_KERAS_SHARE = 0.95
RECORDS = 30
# By then a run that is not starved has begun to learn.
OF_PLAN, MOST = 0.02, 100
# A clip that leaves so little, where all planned steps together would move the
# weights by less than this of their size: reported after so many records.
AT_ONCE: dict[str, Any] = {
    "left": 1e-3,
    "reach": 0.015,
    "measured": 3,
    "of_plan": 0.015,
    "records": (4, 16),
}


# uneven
# So much is left at most of a gradient that is cut, and so many updates of a
# window lose as much. Outliers are fewer.
UNEVEN_LEFT = 0.1
UNEVEN_SHARE = 0.1
WINDOW = 200
# At that many measurements in a row nothing was learnt.
MEASUREMENTS = 3
