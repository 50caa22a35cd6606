"""torch: updates that happen or not."""

import torch

from keras_gradguard._backend.choosing import choose_after
from keras_gradguard._backend.torch.values import copy
from keras_gradguard._backend.torch.values import read


def known_now(condition):
    """The bool `condition`, or `None` where the host cannot know it yet.

    The host never waits for an accelerator.
    """
    return bool(condition) if condition.device.type == "cpu" else None


def chooses_after(exact):
    """Whether `branch` runs both sides and then chooses: it does."""
    del exact
    return True


def branch(condition, then, otherwise, variables, exact=False):
    """Run `then` or `otherwise`, both of which only assign to variables.

    Args:
        condition: Scalar bool tensor that only the device knows.
        then: Function without arguments.
        otherwise: Function without arguments.
        variables: Every variable that either of them reads or changes.
        exact: Not used: nothing is fused.
    """
    del exact
    choose_after(
        condition,
        then,
        otherwise,
        variables,
        read=read,
        # torch updates in place.
        snapshot=copy,
        # A `cond` would make the host wait for the device.
        select=lambda c, a, b: [
            torch.where(c, value, other)
            for value, other in zip(a, b, strict=True)
        ],
    )


def assert_in_graph(condition, message):
    """Make the compiled step fail with `message` unless `condition` holds.

    Returns:
        Whether a step can fail where this runs without the host's waiting for
        the device: it cannot.
    """
    del condition, message
    return False
