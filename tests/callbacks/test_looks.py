"""When a trace is judged follows from the plan alone."""

import math

import pytest

from keras_gradguard.callbacks.looks import Looks

pytestmark = pytest.mark.once


def test_without_a_plan_only_the_first_look_is_known():
    looks = Looks.of({"epochs": 5, "steps": None})
    assert (looks.plan, looks.first, looks.early) == (0, 16, 64)
    assert looks.marks == looks.sure == []


@pytest.mark.parametrize("plan", [96, 240, 300, 999])
def test_a_look_is_within_five_percent_and_one_within_half_of_the_plan(plan):
    looks = Looks(1, plan)
    for share in (0.05, 0.5) if plan >= 128 else (0.05,):
        assert max(at for at in looks.sure if at <= share * plan) == int(
            share * plan
        )


@pytest.mark.parametrize(
    ("plan", "first"), [(8, 2), (80, 2), (200, 5), (640, 16), (10**6, 16)]
)
def test_the_first_look_is_after_a_fortieth(plan, first):
    assert Looks(1, plan).first == first


def test_marks_follow_the_steps_that_are_measured():
    # Played through batch by batch. What is measured are the first steps and
    # each 64th; the last batch of an epoch is none of them.
    epochs, steps = 20, 50
    plan, counted, over = epochs * steps, 0, []
    for batch in range(plan):
        if (batch + 1) % steps:
            if counted in (0, 1, 2, 4, 16) or counted % 64 == 0:
                over.append(batch + 1)
            counted += 1

    def marks(shares, epoch_shares):
        wanted = {next(o for o in over if o >= plan * s) for s in shares}
        wanted |= {max(o for o in over if o <= 0.05 * plan), 50, 500}
        # The record behind the epoch that ends with the share, or after it.
        return sorted(
            wanted | {math.ceil(epochs * s) * steps + 1 for s in epoch_shares}
        )

    looks = Looks(epochs, steps)
    shares = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
    assert looks.marks == marks(shares, (0.1, 0.2, 0.25, 0.3, 0.4))
    assert looks.sure == marks((0.05, 0.1, 0.2), (0.15,))
