"""Watching loops that are not `fit`."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_gradguard import _validation
from keras_gradguard.callbacks.gradient_monitor import GradientMonitor
from keras_gradguard.recording.loop import LoopRecording

_OWNER = "watch"


@contextlib.contextmanager
def watch(
    model: Any, optimizer: Any = None, **monitor_arguments: Any
) -> Iterator[GradientMonitor]:
    """Watch a training loop of your own, as `GradientMonitor` watches `fit`.

    Use it around calls of `train_on_batch`, around the loop of a GAN, and
    around any loop that calls a Keras optimizer's `apply` (on JAX
    `stateless_apply` too, in `jax.jit` or not: the loop carries no state of
    ours). It records the gradients, the weights and the updates, and at the
    steps that `fit` measures the activations and the batch: of all calls of
    the model between two steps of the first optimizer, but for those of a
    validation. A call is one of a step with `training=True`, and where that is
    not said, if gradients are noted there. There are no histograms and no
    epochs.

    The loss and the targets of a batch are known where the model computes the
    loss: in `train_on_batch`, and in a step that calls `model.compute_loss`.
    Only then is known whether the model learns. The loss is not
    read where TensorFlow compiles a model with `loss_weights` without XLA:
    that would change its last bits. Nothing changes for the model, and
    nothing is left behind in it.

    Of a compiled step the model runs forward once more at those steps, with
    the same weights, seeds and batch. On TensorFlow these have to be arguments
    of the `tf.function`: what it makes itself, or takes from an iterator, is
    not seen, and you are told. Where a compiled step calls parts of the model
    and never the model itself, as a GAN's does, a note in the report says so.

    The step has to run, or its `tf.function` or `jax.jit` has to be traced,
    inside of the `with`: a step that was compiled before is not seen, and you
    get a warning. After the `with`, what `jax.jit` compiled inside of it is
    compiled anew when it is next called. A `tf.function` goes on computing the
    norms until it is made anew.

    In `jax.jit` records leave by a callback of JAX's, and the pass forward
    stands behind a `jax.lax.cond`. A GPU may wait for the host at both, in each
    step; that was not measured. In `fit` there is neither.

    Args:
        model: Keras model that holds all variables that are trained. It need
            not be compiled.
        optimizer: Keras optimizer that the loop applies, or a list of several.
            Steps are those of the first one. The records of others are spread
            evenly over them; where one makes fewer steps, its latest gradient
            stands until the next. Defaults to `model.optimizer`.
        **monitor_arguments: Arguments of `GradientMonitor`.

    Yields:
        The `GradientMonitor`. `model.stop_training` becomes True where
        `on_finding="stop"` found something; the loop has to look at it.

    Raises:
        TypeError: If `model` is no Keras model, or `optimizer` no Keras
            optimizer.
        ValueError: If there is no optimizer to watch.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_gradguard as kgg
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> with kgg.watch(model, verbose=0) as monitor:
    ...     for _ in range(3):
    ...         loss = model.train_on_batch(np.ones((8, 4)), np.ones((8, 1)))
    >>> monitor.trace.steps.tolist()
    [0, 1, 2]
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"{_OWNER}: `model` must be a Keras model. Received: "
            f"model={_validation.shown(model)} (of type "
            f"{type(model).__name__}). Pass the model whose variables the loop "
            "trains."
        )
    monitor = GradientMonitor(**monitor_arguments)
    monitor._loop = LoopRecording(model, _optimizers(model, optimizer))
    monitor.set_params({})
    monitor.set_model(model)
    model.stop_training = False
    monitor.on_train_begin()
    try:
        yield monitor
    except BaseException:
        # Say what there is, but nothing may hide the exception.
        with contextlib.suppress(Exception):
            monitor._raise = None
            monitor.on_train_end()
        raise
    else:
        monitor.on_train_end()
    finally:
        monitor._loop = None


def _optimizers(model, optimizer):
    if optimizer is None:
        optimizer = getattr(model, "optimizer", None)
    several = isinstance(optimizer, list | tuple)
    given = list(optimizer) if several else [optimizer]
    if not given or (len(given) == 1 and given[0] is None):
        raise ValueError(
            f"{_OWNER}: `optimizer` must be given where the model is not "
            f"compiled. Received: optimizer={_validation.shown(optimizer)}. "
            "Pass what the loop applies: `watch(model, optimizer)`."
        )
    for one in given:
        if not hasattr(one, "apply") or not hasattr(one, "iterations"):
            raise TypeError(
                f"{_OWNER}: `optimizer` must be a Keras optimizer or a list of "
                f"them. Received: {_validation.shown(one)} (of type "
                f"{type(one).__name__}). Others call no method that "
                "is known; use one of keras.optimizers."
            )
    return given
