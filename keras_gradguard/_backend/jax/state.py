"""JAX: the state that a trainer holds outside of the variables."""

import keras


def state_by_variable(optimizer, state):
    return {
        id(variable): value
        for variable, value in zip(optimizer.variables, state[2], strict=True)
    }


def in_stateless_scope(variables, values, function):
    scope = keras.StatelessScope(
        state_mapping=list(zip(variables, values, strict=True))
    )
    with scope:
        function()
    return [scope.get_current_value(v) for v in variables]
