"""TensorFlow: recording in loops of the user's own."""

import sys
import types

import tensorflow as tf
from tensorflow.python import pywrap_tfe

from keras_gradguard._backend.tensorflow.ring import Ring
from keras_gradguard._backend.tensorflow.values import read
from keras_gradguard._backend.tensorflow.values import to_numpy


def loop_ring(rows, columns, optimizer, name):
    return Ring(rows, columns, optimizer, name)


def traced_by(arguments):
    del arguments
    if tf.executing_eagerly():
        return False, False, None
    xla, outermost = False, None
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, _FUNCTION):
            outermost = owner
            xla = xla or bool(getattr(owner, "_jit_compile", False))
        frame = frame.f_back
    return True, xla, outermost


@tf.autograph.experimental.do_not_convert
def count_calls(function, begins, ended, patches):
    """Call back around each call of a `tf.function`.

    This runs while the user's function is traced. Were it converted, what is
    made here would convert all that it calls, up to the diagnosis.

    Args:
        function: As `traced_by` returned it.
        begins: Callable that takes its arguments, a tuple and a dict.
        ended: Callable without arguments.
        patches: `Patches` that will undo it.
    """
    if function is None or not hasattr(function, "_call"):
        return  # what the ring cannot keep is lost, nothing else

    def make(original):
        def _call(*args, **kwargs):
            begins(args, kwargs)
            result = original(*args, **kwargs)
            ended()
            return result

        return _call

    patches.replace(function, "_call", make)


def arguments_now(function):
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        given = frame.f_locals
        if given.get("self") is function and "kwds" in given:
            return tuple(given["args"]), dict(given["kwds"])
        frame = frame.f_back
    return (), {}


_FUNCTION = type(tf.function(lambda: None))


def is_eager():
    return tf.executing_eagerly()


def is_traced(variables):
    del variables
    return not tf.executing_eagerly()


def notes_gradients(variables):
    del variables
    return not pywrap_tfe.TFE_Py_TapeSetIsEmpty()


def compile_anew(patches):
    """TensorFlow offers no way: it stays until it is traced anew."""


def value_now(variable):
    with tf.init_scope():
        return to_numpy(read(variable))
