"""TensorFlow: fused norms, and barriers against XLA."""

import numpy as np
import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from keras_gradguard._backend.scaling import safe_factors
from keras_gradguard._backend.tensorflow import grouping

# What counts as large under XLA, where a size is not known.
_UNKNOWN = 1 << 20
# Entries of a piece that is copied to float64, and how many there may be.
_PIECE, _MOST_PIECES = 1 << 16, 1 << 7
# Else the copy of an operation would be found to be the same one. Of
# TensorFlow's, only a private function gives an operation an attribute.
_APART = {"_keras_gradguard": tf.compat.v1.AttrValue(b=True)}
# Squares of float32 gradients neither overflow nor lose digits in between.
_SAFE_LOW, _SAFE_HIGH = 1e-20, 1e37


def is_compiled_by_xla():
    """Whether a function with `jit_compile=True` is being traced."""
    return not tf.executing_eagerly() and (
        control_flow_util.GraphOrParentsInXlaContext(
            tf.compat.v1.get_default_graph()
        )
    )


def barrier(tensors, xla=None):
    if not tensors or tf.executing_eagerly():
        return list(tensors)
    if not (is_compiled_by_xla() if xla is None else xla):
        return _read_apart(tensors)
    from tensorflow.compiler.tf2xla.ops import gen_xla_ops

    return list(gen_xla_ops.xla_optimization_barrier(input=list(tensors)))


def _read_apart(tensors):
    """Values of tensors, with no reader more for what TensorFlow may join.

    A gradient that is a product, as that of `gamma` of a batch normalization,
    is multiplied by the learning rate. Where nothing else reads it, TensorFlow
    makes one product of both, in another order (`MinimizeBroadcasts` of
    Grappler's arithmetic optimizer). A second reader would change the last
    bits of the update, so it gets products of its own.
    """
    copies = {}

    def apart(tensor):
        if tensor.op.type != "Mul":
            return tensor
        if tensor.ref() not in copies:
            x, y = (apart(one) for one in tensor.op.inputs)
            with tensor.graph._attr_scope(_APART):
                copies[tensor.ref()] = tf.raw_ops.Mul(x=x, y=y)
        return copies[tensor.ref()]

    with tf.name_scope("apart"):
        return [
            apart(one) if tf.is_symbolic_tensor(one) else one for one in tensors
        ]


def may_join():
    return not is_compiled_by_xla()


def l2_norms(tensors, xla=None):
    if not tensors:
        return tf.zeros((0,), "float32")
    if not (is_compiled_by_xla() if xla is None else xla):
        return _norms_graph(tensors)
    tensors = [tf.cast(t, "float32") for t in tensors]
    # The rows of an embedding's gradient can be of an unknown number.
    small, large = grouping.split(
        [t.shape.num_elements() or _UNKNOWN for t in tensors]
    )
    parts, order = [], []
    for group in small:
        parts.append(_norms_of_rows(_as_rows([tensors[i] for i in group])))
        order.extend(group)
    if large:
        parts.append(_norms_of_large([tensors[i] for i in large]))
        order.extend(large)
    return tf.gather(tf.concat(parts, axis=0), np.argsort(order))


def change_norms(before, after, xla=None):
    changes = [
        tf.cast(a, "float32") - tf.cast(b, "float32")
        for b, a in zip(before, after, strict=True)
    ]
    return l2_norms([*before, *changes], xla)


def _as_rows(tensors):
    """Tensors of shape `(size,)`, padded with zeros, as rows of one."""
    width = max(t.shape.num_elements() for t in tensors)
    return tf.stack(
        [
            tf.pad(tf.reshape(t, (-1,)), [[0, width - t.shape.num_elements()]])
            for t in tensors
        ]
    )


def _norms_of_rows(rows):
    factor, back = safe_factors(tf.reduce_max(tf.abs(rows), axis=1))
    scaled = rows * factor[:, None]
    return tf.sqrt(tf.reduce_sum(scaled * scaled, axis=1)) * back


def _norms_of_large(tensors):
    """One pass where the sum of squares is safe, else a second one."""
    sums = tf.stack([tf.reduce_sum(t * t) for t in tensors])
    safe = tf.reduce_all((sums > _SAFE_LOW) & (sums < _SAFE_HIGH))
    return tf.cond(
        safe,
        lambda: tf.sqrt(sums),
        lambda: tf.concat(
            [_norms_of_rows(tf.reshape(t, (1, -1))) for t in tensors], axis=0
        ),
    )


def _norms_graph(tensors):
    """Sums in float64 for each tensor; the rest for all at once."""
    halves = tf.stack([_half_of_squares(tensor) for tensor in tensors])
    return tf.cast(tf.sqrt(2.0 * halves), "float32")


def _half_of_squares(tensor):
    """Half of the sum of squares, by pieces: a copy of all takes memory."""
    size = tensor.shape.num_elements()
    if size is None or size <= _PIECE:
        return tf.nn.l2_loss(tf.cast(tensor, "float64"))
    flat = tf.reshape(tensor, (-1,))
    step = max(_PIECE, -(-size // _MOST_PIECES))
    found: list = []
    for start in range(0, size, step):
        # Else TensorFlow copies all of them before it adds up the first.
        with tf.control_dependencies(found[-1:]):
            piece = tf.cast(flat[start : start + step], "float64")
            found.append(tf.nn.l2_loss(piece))
    return tf.add_n(found)


def zero_fractions(tensors):
    if not tensors:
        return tf.zeros((0,), "float32")
    return tf.stack(
        [tf.reduce_mean(tf.cast(t == 0, "float32")) for t in tensors]
    )
