"""torch: updates that happen or not."""

import torch


def known_now(condition):
    # `torch.compile` would break its graph here, in the middle of an update.
    return None if torch.compiler.is_compiling() else bool(condition)


def chooses_after(exact):
    del exact
    return False


def branch(condition, then, otherwise, variables, exact=False):
    del variables, exact
    then() if bool(condition) else otherwise()


def assert_in_graph(condition, message):
    del condition, message
    return False
