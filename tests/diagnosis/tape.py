"""A twin of the recorder: gradients straight from `jax.value_and_grad`.

So the rules are tested on real runs without the recorder. Only imported in a
process whose backend is JAX.
"""

import jax
import jax.numpy as jnp
import keras
import numpy as np

from keras_gradguard import Trace
from keras_gradguard.models.layers import layer_info


def leaves(model):
    """Layers that own trainable variables, in forward order."""
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += leaves(layer)
        elif layer.trainable_variables:
            found.append(layer)
    return found


def record(case, **meta):
    """Train a `rule_cases.Case` and return the trace."""
    model, optimizer, loss = case.model, case.optimizer, LOSSES[case.loss]
    batch, epochs, seed = case.batch, case.epochs, case.seed
    x, y = np.asarray(case.x, "float32"), np.asarray(case.y)
    own = leaves(model)
    variables = [v for layer in own for v in layer.trainable_variables]
    assert {id(v) for v in variables} == {
        id(v) for v in model.trainable_variables
    }
    optimizer.build(variables)
    at = {id(v): i for i, v in enumerate(model.trainable_variables)}
    order = [at[id(v)] for v in variables]
    owners = [i for i, a in enumerate(own) for _ in a.trainable_variables]
    steps = max(1, len(x) // batch)
    trace = Trace(
        [layer.path for layer in own],
        [v.path for v in variables],
        owners,
        capacity_bytes=16 * 2**20,
        has_gradient=np.ones(len(variables), bool),
        sizes=[int(np.prod(v.shape)) for v in variables],
        meta={
            "layer_info": {layer.path: layer_info(layer) for layer in own},
            "epochs_planned": epochs,
            "steps_per_epoch": steps,
            "optimizer": {
                "class": type(optimizer).__name__,
                "learning_rate": float(optimizer.learning_rate),
            },
            **meta,
        },
    )

    def norm(a):
        return jnp.sqrt(jnp.sum(jnp.square(a.astype("float32"))))

    def one(state, data):
        weights, rest, slots = state
        xb, yb = data

        def compute(weights):
            out, new = model.stateless_call(weights, rest, xb, training=True)
            return loss(yb, out), new

        (value, new), grads = jax.value_and_grad(compute, has_aux=True)(weights)
        old = [weights[i] for i in order]
        fresh, slots = optimizer.stateless_apply(
            slots, [grads[i] for i in order], old
        )
        row = (
            jnp.stack([norm(grads[i]) for i in order]),
            jnp.stack([norm(w) for w in old]),
            jnp.stack([norm(a - b) for a, b in zip(fresh, old, strict=True)]),
            value,
        )
        back = dict(zip(order, fresh, strict=True))
        return ([back[i] for i in range(len(order))], new, slots), row

    run = jax.jit(lambda state, data: jax.lax.scan(one, state, data))
    state = (
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
        [v.value for v in optimizer.variables],
    )
    rng = np.random.default_rng(seed)
    for epoch in range(epochs):
        pick = rng.permutation(len(x))[: steps * batch].reshape(steps, -1)
        state, rows = run(state, (x[pick], y[pick]))
        grads, weights, updates, values = (np.asarray(r) for r in rows)
        index = np.arange(epoch * steps, (epoch + 1) * steps)
        trace.append(index, grads, extra={"loss": values})
        take = slice(None, None, max(1, steps // 8))
        trace.append_updates(index[take], weights[take], updates[take])
        trace.append_epoch(epoch, index[-1], {"loss": values.mean()})
    return trace


def binary(y, out):
    out = jnp.clip(jnp.reshape(out, (-1,)), 1e-7, 1 - 1e-7)
    y = jnp.reshape(y, (-1,))
    return -jnp.mean(y * jnp.log(out) + (1 - y) * jnp.log(1 - out))


def squared(y, out):
    return jnp.mean((jnp.reshape(y, out.shape) - out) ** 2)


def categorical(y, out):
    picked = jnp.take_along_axis(out, y[:, None].astype(int), axis=1)
    return -jnp.mean(jnp.log(jnp.clip(picked, 1e-7, 1)))


LOSSES = {"binary": binary, "categorical": categorical, "squared": squared}
