"""Two updates of the same variables, of which one is kept."""

from keras import ops


def choose_after(condition, then, otherwise, variables, *, read):
    """Run `then` and `otherwise`, and keep what one of them assigned.

    Args:
        condition: Scalar bool tensor: whether to keep what `then` did.
        then: Function without arguments.
        otherwise: Function without arguments.
        variables: Every Keras variable that either of them changes.
        read: Function from a variable to its value, which later assignments
            leave as it is.
    """
    before = [read(v) for v in variables]
    then()
    after = [read(v) for v in variables]
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    otherwise()
    pairs = []
    for variable, value in zip(variables, after, strict=True):
        other = read(variable)
        if value is not other:
            pairs.append((variable, value, other))
    changed, values, others = map(list, zip(*pairs, strict=True))
    # A `where` would be fused with the update and change its bits.
    values = ops.cond(condition, lambda: values, lambda: others)
    for variable, value in zip(changed, values, strict=True):
        variable.assign(value)
