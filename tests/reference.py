"""Slow, plain twins: gradients by the backend's own tape, norms in float64."""

import numpy as np


def gradients(model, x, y):
    """Gradient of the loss for each trainable variable, None without one.

    The forward pass runs in training mode and leaves the model unchanged.
    """
    import keras

    name = keras.backend.backend()
    return {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[name](
        model, x, y
    )


def _loss(model, x, y, outputs):
    return model.compute_loss(x, y, outputs, training=True)


def _tensorflow(model, x, y):
    import tensorflow as tf

    saved = model.get_weights()
    with tf.GradientTape() as tape:
        loss = _loss(model, x, y, model(x, training=True))
    found = tape.gradient(loss, model.trainable_variables)
    model.set_weights(saved)
    return [
        None if g is None else tf.convert_to_tensor(g).numpy() for g in found
    ]


def _jax(model, x, y):
    import jax

    def loss(trainable, others, metrics, x, y):
        outputs, _ = model.stateless_call(trainable, others, x, training=True)
        value, _ = model.stateless_compute_loss(
            trainable,
            others,
            metrics,
            x=x,
            y=y,
            y_pred=outputs,
            sample_weight=None,
            training=True,
        )
        return value

    # Compiled as a whole, once: JAX would compile each operation of it.
    made_for = [id(v) for v in model.trainable_variables]
    known, gradient = vars(model).get("_twin", (None, None))
    if known != made_for:
        gradient = jax.jit(jax.grad(loss))
        vars(model)["_twin"] = made_for, gradient
    state = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.metrics_variables,
    )
    found = gradient(*([v.value for v in part] for part in state), x, y)
    return [np.asarray(g) for g in found]


def _torch(model, x, y):
    import keras

    saved = model.get_weights()
    model.zero_grad()
    x, y = keras.tree.map_structure(keras.ops.convert_to_tensor, (x, y))
    outputs = model(x, training=True)
    _loss(model, x, y, outputs).backward()
    found = [
        None
        if v.value.grad is None
        else v.value.grad.detach().cpu().numpy().copy()
        for v in model.trainable_variables
    ]
    model.zero_grad()
    model.set_weights(saved)
    return found


def norm(array):
    """L2 norm in float64."""
    if array is None:
        return np.nan
    return np.linalg.norm(np.asarray(array, "float64").ravel())


def train(model, x, y, batch_size, epochs=1):
    """Train batch by batch without shuffling; norms before each update.

    Returns:
        Dict of float64 arrays over steps and trainable variables:
        `grad_norm`, `weight_norm`, `update_norm`.
    """
    import keras

    rows = {"grad_norm": [], "weight_norm": [], "update_norm": []}
    for _ in range(epochs):
        for start in range(0, len(keras.tree.flatten(x)[0]), batch_size):
            part = slice(start, start + batch_size)
            batch = [
                keras.tree.map_structure(lambda a, p=part: a[p], whole)
                for whole in (x, y)
            ]
            found = gradients(model, *batch)
            before = [np.array(v.numpy()) for v in model.trainable_variables]
            model.train_on_batch(*batch)
            after = [np.array(v.numpy()) for v in model.trainable_variables]
            rows["grad_norm"].append([norm(g) for g in found])
            rows["weight_norm"].append([norm(w) for w in before])
            rows["update_norm"].append(
                [
                    norm(a.astype("float64") - b)
                    for a, b in zip(after, before, strict=True)
                ]
            )
    return {name: np.array(values) for name, values in rows.items()}


def octaves(array, bins):
    """Entries of an array by sign and power of two, counted in float64.

    Returns:
        Dict of `exponent` (of the largest entry), `positive` and `negative`
        (int arrays of `bins` octaves downwards, the last with all below),
        `zero` and `nonfinite`.
    """
    values = np.asarray(array, "float32").astype("float64").ravel()
    finite = values[np.isfinite(values)]
    used = finite[np.abs(finite) >= 2.0**-126]
    # frexp: |x| = m * 2 ** e with m in [0.5, 1).
    exponents = np.frexp(np.abs(used))[1] - 1
    top = int(exponents.max()) if len(used) else 0
    bin_of = np.minimum(top - exponents, bins - 1)
    return {
        "exponent": top,
        "positive": np.bincount(bin_of[used > 0], minlength=bins),
        "negative": np.bincount(bin_of[used < 0], minlength=bins),
        "zero": len(finite) - len(used),
        "nonfinite": len(values) - len(finite),
    }
