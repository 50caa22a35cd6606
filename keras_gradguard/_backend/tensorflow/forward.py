"""TensorFlow: a pass forward beside the compiled step."""

import contextlib
import inspect
from typing import Any

import keras
import tensorflow as tf

from keras_gradguard._backend.errors import CannotBeCalledError
from keras_gradguard._backend.losses import computes_loss
from keras_gradguard._backend.losses import scope_beside
from keras_gradguard._backend.tensorflow.look import Held
from keras_gradguard._backend.tensorflow.look import Look
from keras_gradguard._backend.tensorflow.values import on_host
from keras_gradguard._backend.tensorflow.values import read

# Of one batch there is nothing to tune. A thread that tries it has to be waited
# for when its iterator goes, and to rewrite the data set takes a millisecond.
_PLAIN = tf.data.Options()
_PLAIN.autotune.enabled = False
_PLAIN.experimental_optimization.apply_default_optimizations = False


def copies(values):
    return [tf.identity(value) for value in values]


def kept(values):
    # No copy: an update of a variable whose value is held writes it elsewhere.
    # That is at the end of a step, when the gradients are gone.
    arrays = on_host(values)
    return copies(values) if arrays is None else arrays


def values_before(model, args):
    del model, args  # the variables hold their values
    return read


def values_after(model, result):
    del model, result
    return read


def gradients_at_taps(run):
    taps = []
    with tf.GradientTape(watch_accessed_variables=False) as tape:

        def make(shape, dtype):
            zeros = tf.zeros(shape, dtype)
            tape.watch(zeros)
            taps.append(zeros)
            return zeros

        loss, more = run(make)
    gradients = tape.gradient(loss, taps, unconnected_gradients="zero")
    return gradients, more


def loss_beside(model, arguments):
    custom = type(model).train_step is not keras.Model.train_step
    forward = _forward_of(model, custom)
    return lambda: forward(arguments[0], scope_beside(model))


class ForwardPass:
    # In the graph of the step a look changes what TensorFlow fuses there, and
    # the last bits of the weights, be it behind a `cond` and never run. So the
    # batch is taken from the iterator, looked at, and handed to the step in an
    # iterator of its own: the step is the one of a plain fit, and has one
    # instance, and so have its random generators.

    def __init__(self, model, xla, custom):
        self._xla = xla
        self._measures = False
        self._held = Held(model)
        self._forward = _forward_of(model, custom)
        self._looks: list = []
        self.show: Any = None
        with tf.device("CPU:0"):
            self._flags = tf.constant(False), tf.constant(True)

    def add(self, look, on_failure, of_loss):
        def measure(data, values):
            gathered = look.gather(
                lambda: self._forward(data, self._held.scope(values)), (data,)
            )
            return gathered if look.packed is None else look.packed(gathered)

        # XLA wants to know how long a loop is that it goes back through.
        xla = self._xla and not of_loss
        self._looks.append(
            Look(measure, self._held, look.send, on_failure, xla)
        )

    def wrap(self, function):
        if _takes_batch_on_host(function):
            return self._before(function)
        distributed, step = self._inside(function), _step_of(function)

        def train_function(iterator):
            measures, self._measures = self._measures, False
            if isinstance(iterator, tf.distribute.DistributedIterator):
                return distributed(iterator, measures)
            if not isinstance(iterator, tf.data.Iterator):
                return function(iterator)
            if measures:
                iterator = self._seen(iterator)
            return step(iterator)

        return train_function

    def _before(self, function):
        """The step of a Keras that itself hands each batch to it.

        Such a step is traced once for each size of batch, and each instance
        draws random numbers of its own. So nothing may be around it.
        """

        def train_function(iterator):
            measures, self._measures = self._measures, False
            iterators = tf.data.Iterator, tf.distribute.DistributedIterator
            if not measures or not isinstance(iterator, iterators):
                return function(iterator)
            try:
                data = iterator.get_next()
            except tf.errors.OutOfRangeError:
                return function(iterator)
            self._look_at(data, iterator.element_spec)
            return function([data])

        return train_function

    def _seen(self, iterator):
        """Look at the next batch; return an iterator over it alone.

        Where there is none, the step has to find that out: what it does before
        it asks for the batch, as to count, is done in a plain fit, too.
        """
        try:
            data = iterator.get_next()
        except tf.errors.OutOfRangeError:
            return iterator
        structure = iterator.element_spec
        self._look_at(data, structure)
        return _only(data, structure)

    def _look_at(self, data, structure):
        if self.show is not None:
            self.show(data)
        for look in self._looks:
            look.beside(data, structure)

    def _inside(self, function):
        """One function of the batch, the looks and the step."""

        def traced(iterator, measures):
            data = iterator.get_next()
            looks = [look for look in self._looks if look.traced(data)]
            if looks:
                tf.cond(measures, lambda: _sent(looks, data), lambda: 0)
            return function([data])

        run = tf.function(traced, reduce_retracing=True, autograph=False)

        def step(iterator, measures):
            if not measures:
                return run(iterator, self._flags[False])
            self._held.fill()
            try:
                return run(iterator, self._flags[True])
            finally:
                self._held.clear()

        return step

    def look(self, args, kept=None):
        del kept  # what the variables hold is read where it is wanted
        self._measures = any(look.works for look in self._looks)
        return args, [None] * len(self._looks)

    def take(self, vector):
        return vector


def _takes_batch_on_host(function):
    """Whether Keras compiles the step without the iterator.

    From 3.16 on it does where an execution is one step. Before, it asked the
    iterator for the batch in the compiled function, which is not looked into.

    Args:
        function: What Keras made as `model.train_function`.
    """
    code = getattr(function, "__code__", None)
    return code is not None and "get_next_as_optional" in code.co_names


def _step_of(function):
    """The step of a batch that an iterator gives.

    What Keras returns may be empty, and the host asks; this is not.

    Args:
        function: What Keras made as `model.train_function`.
    """

    def step(iterator):
        return function([iterator.get_next()])

    return tf.function(step, reduce_retracing=True, autograph=False)


def _only(data, structure):
    """An iterator over a batch, of the type of that which the batch is from."""
    dataset = tf.data.Dataset.from_tensors(data).with_options(_PLAIN)
    one = tf.data.experimental.to_variant(dataset)
    return iter(tf.data.experimental.from_variant(one, structure))


def _sent(looks, data):
    for look in looks:
        look(data)
    return 0


def _forward_of(model, custom):
    """Function that calls a model as its train step does.

    Of a train step of one's own the call of the model is run and, if it
    computes the loss that the model was compiled with, that.
    """
    computes = computes_loss(model)
    # Up to 3.11, a call without the argument must not be given it.
    takes_training = "training" in inspect.signature(model.call).parameters
    kwargs = {"training": True} if takes_training else {}

    def forward(data, scope):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with scope:
            try:
                outputs = model(x, **kwargs)
            except Exception as error:
                if custom:
                    raise CannotBeCalledError(error) from error
                raise
            if custom and not computes:
                return None
            # It may compute the loss of something else than the outputs.
            foreign = [Exception] if custom else []
            with contextlib.suppress(*foreign):
                return model.compute_loss(
                    x=x,
                    y=y,
                    y_pred=outputs,
                    sample_weight=sample_weight,
                    training=True,
                )
            return None

    return forward
