"""Two updates of the same variables, of which one is kept."""

from keras import ops


def by_branch(condition, values, others):
    """One of two lists of values.

    A `where` would be fused with the update and change its bits.
    """
    return ops.cond(condition, lambda: values, lambda: others)


def choose_after(
    condition,
    then,
    otherwise,
    variables,
    *,
    read,
    snapshot=None,
    select=by_branch,
):
    """Run `then` and `otherwise`, and keep what one of them assigned.

    Args:
        condition: Scalar bool tensor: whether to keep what `then` did.
        then: Function without arguments.
        otherwise: Function without arguments.
        variables: Every Keras variable that either of them changes.
        read: Function from a variable to its value.
        snapshot: The same where a later assignment changes that value, to one
            that stays. Defaults to `read`.
        select: Function of `condition` and two lists of values to the list
            that it stands for. Defaults to `by_branch`.
    """
    snapshot = snapshot or read
    before = [snapshot(v) for v in variables]
    then()
    after = [snapshot(v) for v in variables]
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    otherwise()
    pairs = []
    for variable, value in zip(variables, after, strict=True):
        other = read(variable)
        if value is not other:
            pairs.append((variable, value, other))
    changed, values, others = zip(*pairs, strict=True)
    values = select(condition, list(values), list(others))
    for variable, value in zip(changed, values, strict=True):
        variable.assign(value)
