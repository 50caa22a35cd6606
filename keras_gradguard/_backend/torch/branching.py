"""torch: updates that happen or not."""


def known_now(condition):
    """The bool `condition`.

    With an accelerator the host waits for it here. Keras's optimizers on torch
    do so anyway, for each number that they bring to the device, and a choice
    on the device would take three copies of weights and moments.
    """
    return bool(condition)


def chooses_after(exact):
    """Whether `branch` runs both sides and then chooses: it does not."""
    del exact
    return False


def branch(condition, then, otherwise, variables, exact=False):
    """Run `then` or `otherwise`.

    Args:
        condition: Scalar bool tensor.
        then: Function without arguments.
        otherwise: Function without arguments.
        variables: Not used: nothing is traced.
        exact: Not used: nothing is fused.
    """
    del variables, exact
    then() if known_now(condition) else otherwise()


def assert_in_graph(condition, message):
    """Make the compiled step fail with `message` unless `condition` holds.

    Returns:
        Whether a step can fail where this runs: `known_now` says it before.
    """
    del condition, message
    return False
