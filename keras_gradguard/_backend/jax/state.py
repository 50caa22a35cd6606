"""JAX: the state that a trainer holds outside of the variables."""

import keras


def state_by_variable(optimizer, state):
    """Map `id(variable)` to its array in a trainer's state."""
    return {
        id(variable): value
        for variable, value in zip(optimizer.variables, state[2], strict=True)
    }


def in_stateless_scope(variables, values, function):
    """Run `function` on variables that hold `values`; return their new values.

    Args:
        variables: List of Keras variables.
        values: List of arrays, their current values.
        function: Callable without arguments that assigns to them.

    Returns:
        List of arrays, the values afterwards.
    """
    scope = keras.StatelessScope(
        state_mapping=list(zip(variables, values, strict=True))
    )
    with scope:
        function()
    return [scope.get_current_value(v) for v in variables]
