"""TensorFlow: a step, one operation at a time.

The step is traced once more, and beside each operation of its graph stands
what its outputs are like.
"""

import re

import tensorflow as tf

from keras_gradguard._backend.operations import BATCH
from keras_gradguard._backend.operations import CONSTANT
from keras_gradguard._backend.operations import OPERATION
from keras_gradguard._backend.operations import STATE
from keras_gradguard._backend.operations import Operation
from keras_gradguard._backend.operations import Step
from keras_gradguard._backend.operations import label_in
from keras_gradguard._backend.operations import label_text
from keras_gradguard._backend.operations import raised_in

_SLOPE = re.compile(r"_(\w+?)Grad(V2)?$")
_NODE = re.compile(r"{{node ([^}]+)}}")
_KINDS = {
    "Placeholder": BATCH,
    "ReadVariableOp": STATE,
    "ResourceGather": OPERATION,
    "Const": CONSTANT,
}


def operation_scope(label):
    return tf.name_scope(label_text(label))


def operations(function, state, batch):
    del state  # the variables hold it
    step = Step()
    made: list = []

    def traced(batch):
        loss, gradients = function(None, batch)
        graph = tf.compat.v1.get_default_graph()
        own = graph.get_operations()
        counted = [
            (at, value)
            for at, operation in enumerate(own)
            for value in operation.outputs
            if value.dtype.is_floating
        ]
        made[:] = [
            (own, [at for at, _ in counted], _flat(loss), _flat(gradients))
        ]
        return [_measured(value) for _, value in counted]

    try:
        measured = tf.function(traced, autograph=False)(batch)
    except Exception as error:
        step.error = error
        _note_error(step, error, made)
        return step
    own, places, loss, gradients = made[0]
    at_op = {operation.name: at for at, operation in enumerate(own)}
    step.operations = [_operation(operation, at_op) for operation in own]
    for at, vector in zip(places, measured, strict=True):
        step.operations[at].add(*vector.numpy().tolist())
    step.loss = _places(loss, at_op)
    step.gradients = _places(gradients, at_op)
    step.mark_backward()
    _name_slopes(step.operations)
    return step


def _note_error(step, error, made):
    """Say which operation raised an error, in tracing or in running."""
    named = _NODE.findall(str(error))
    own = made[0][0] if made else []
    found = [operation for operation in own if operation.name in named]
    if found:
        step.operations = [_operation(found[-1], {})]
    else:
        frames = raised_in(error)
        step.operations = [Operation(OPERATION, "", frames=frames)]
    step.broken = 0


def _flat(structure):
    return [
        value
        for value in tf.nest.flatten(structure, expand_composites=True)
        if hasattr(value, "op")
    ]


def _places(tensors, at_op):
    return [at_op[t.op.name] for t in tensors if t.op.name in at_op]


def _measured(value):
    value = tf.cast(value, "float64")
    nan, finite = tf.math.is_nan(value), tf.math.is_finite(value)
    infinite = tf.math.is_inf(value)
    size = tf.size(value, tf.int64)
    limit = tf.constant(float("inf"), tf.float64)
    low = tf.reduce_min(tf.where(finite, value, limit))
    high = tf.reduce_max(tf.where(finite, value, -limit))
    known = tf.reduce_any(finite)
    unknown = tf.constant(float("nan"), tf.float64)

    def count(mask):
        return tf.reduce_sum(tf.cast(mask, tf.float64))

    return tf.stack(
        [
            count(nan),
            count(infinite),
            tf.cast(size, tf.float64),
            tf.where(known, low, unknown),
            tf.where(known, high, unknown),
        ]
    )


def _operation(operation, at_op):
    kind = _KINDS.get(operation.type, OPERATION)
    frames = [
        (frame.filename, frame.lineno, frame.name)
        for frame in operation.traceback or ()
    ]
    return Operation(
        kind,
        operation.type,
        label_in(operation.name),
        frames,
        [at_op[v.op.name] for v in operation.inputs if v.op.name in at_op],
    )


def _name_slopes(found):
    """Give what belongs to a gradient the name and code of its function."""
    forward = {}
    for operation in found:
        if not operation.backward:
            forward[operation.label, operation.name] = operation.frames
    for operation in found:
        if not operation.backward:
            continue
        for file, _, name in reversed(operation.frames):
            match = _SLOPE.fullmatch(name)
            if match and file.endswith("_grad.py"):
                operation.name = match[1]
                key = operation.label, match[1]
                operation.frames = forward.get(key, [])
                break
