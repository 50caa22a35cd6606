"""Gradients through time: of the loss, with respect to states.

A recurrent layer hands its state from each time step to the next. The norm of
the gradient of the loss with respect to it says how much of the loss arrives
at a time step. It takes a pass forward and backward of its own, on the batch
of a step, which changes nothing.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_gradguard import _backend
from keras_gradguard.models.layers import forward_layers
from keras_gradguard.models.layers import is_built
from keras_gradguard.models.recurrent import TappedPass
from keras_gradguard.models.recurrent import recurrences
from keras_gradguard.trace.through_time import TIMES

# In float16 gradients that come a long way need it as much as those of a step.
_SCALE_OF_HALF = 4096.0
_ROW = 1 + TIMES


class CannotLookError(Exception):
    """Gradients through time cannot be had beside the step."""

    is_notice = True


@dataclasses.dataclass(frozen=True, slots=True)
class TimeMeasurement:
    """Gradients through time of one step.

    Attributes:
        step: The optimizer's step.
        found: List of R `Recurrence`.
        lengths: Integer array `(R,)`, time steps of each.
        norms: Float32 array `(R, TIMES)`, see `trace.through_time`.
    """

    step: int
    found: list
    lengths: Any
    norms: Any

    @property
    def layers(self):
        """List of R paths of the recurrent layers."""
        return [each.path for each in self.found]


class TimeTap:
    """Measures gradients through time of one model.

    Args:
        model: A Keras model.
        xla: Bool. Whether its step is compiled by XLA.

    Attributes:
        found: List of `Recurrence`.
        waits: Bool. Whether the step has to build its layers first, and has to
            be made once more.
    """

    def __init__(self, model, xla=False):
        self.waits = False
        self._xla = xla
        self._eager: Any = None
        self.found = recurrences(model)
        half = any(
            getattr(layer, "compute_dtype", None) == "float16"
            for layer in forward_layers(model)
        )
        self._scale = _SCALE_OF_HALF if half else 1.0
        self._backend = _backend.current()
        self._latest = self._backend.Outbox("gradguard_time", False)

    packed = None  # `gather` returns a vector

    def gather(self, run, arguments=None):
        """Measure what comes back through time from a loss.

        Args:
            run: Callable without arguments that runs the model and returns
                its loss.
            arguments: Not needed.

        Returns:
            Vector of what `read` takes.
        """
        del arguments
        taken: dict = {}

        def tapped(make):
            here = TappedPass(self.found, make)
            with here.patched():
                loss = run()
            if loss is None:
                raise CannotLookError(
                    "the model's own train step does not compute its loss by "
                    "`compute_loss`"
                )
            taken.clear()
            taken.update(here.taken)
            live = {at: t.live for at, t in here.taken.items() if t.has_mask}
            return ops.mean(ops.cast(loss, "float32")) * self._scale, live

        gradients, live = self._backend.gradients_at_taps(tapped)
        rows = []
        for at in range(len(self.found)):
            if at not in taken:
                rows.append(ops.full((_ROW,), float("nan"), "float32"))
                continue
            taps = taken[at]
            norms = _norms([gradients[i] for i in taps.indices]) / self._scale
            if at in live:
                norms = ops.where(live[at], norms, float("nan"))
            if taps.backwards:
                norms = ops.flip(norms, axis=0)
            rows.append(_packed(norms, taps.length))
        if not rows:
            return ops.zeros((0,), "float32")
        return ops.concatenate(rows, axis=0)

    def send(self, vector):
        """Send off what was gathered, from inside of the step.

        Args:
            vector: What `gather` returned.
        """
        self._latest.post(None, vector)

    def look_now(self, model, arguments):
        """Measure before a step, from inside of it.

        Args:
            model: The model.
            arguments: What its train step was called with.
        """
        in_graph = self._backend.level(arguments) is not None
        if in_graph and (self._xla or self._backend.replicas() > 1):
            raise CannotLookError(
                "the step is compiled together with others, or runs on "
                "several replicas"
            )
        # TensorFlow traces a step twice that builds layers.
        self.waits = self.waits or not is_built(model)
        if self.waits:
            return
        # Their paths are known now.
        self.found = recurrences(model)
        vector = self.gather(self._backend.loss_beside(model, arguments))
        if in_graph:
            self.send(vector)
        else:
            self._eager = vector

    def latest(self, step, vector=None):
        """What was gathered last, still on the device.

        Args:
            step: The optimizer's step it belongs to.
            vector: What was gathered, if it was not sent off.

        Returns:
            What `read` takes, None if there is nothing.
        """
        if vector is None:
            vector, self._eager = self._eager, None
        if vector is None:
            vector = self._latest.take_later()
        return None if vector is None else (step, vector)

    def read(self, latest):
        """What was gathered, on the host.

        Args:
            latest: What `latest` returned.

        Returns:
            A `TimeMeasurement`.
        """
        step, vector = latest
        rows = self._backend.to_numpy(vector).reshape(-1, _ROW)
        lengths = np.nan_to_num(rows[:, 0]).astype("int64")
        return TimeMeasurement(step, self.found, lengths, rows[:, 1:])


def _norms(gradients):
    """Norm over all but the axis of time, of several tensors as one.

    Squares of what comes a long way would be 0 in float32.
    """
    flat = []
    for gradient in gradients:
        dtype = keras.backend.standardize_dtype(gradient.dtype)
        if dtype != "float64":
            gradient = ops.cast(gradient, "float32")
        gradient = ops.moveaxis(gradient, 1, 0)
        flat.append(ops.reshape(gradient, (ops.shape(gradient)[0], -1)))
    whole = ops.concatenate(flat, axis=1)
    largest = ops.max(ops.abs(whole), axis=1)
    unit = ops.where((largest > 0) & ops.isfinite(largest), largest, 1)
    scaled = whole / ops.expand_dims(unit, 1)
    norms = unit * ops.sqrt(ops.sum(ops.square(scaled), axis=1))
    return ops.cast(norms, "float32")


def _packed(norms, length):
    """The number of time steps, and the norms at `TIMES` of them."""
    at = np.arange(TIMES)
    if isinstance(length, int):
        length = max(length, 1)
        index = np.minimum(at, length - 1)
        if length > TIMES:
            index = (2 * at * (length - 1) + TIMES - 1) // (2 * (TIMES - 1))
        chosen = ops.take(norms, index.astype("int32"), axis=0)
        known = at < length
        count = ops.full((1,), float(length), "float32")
    else:
        places = ops.convert_to_tensor(at.astype("int32"))
        spread = (2 * places * (length - 1) + TIMES - 1) // (2 * (TIMES - 1))
        near = ops.minimum(places, length - 1)
        chosen = ops.take(norms, ops.where(length > TIMES, spread, near), 0)
        known = places < length
        count = ops.reshape(ops.cast(length, "float32"), (1,))
    chosen = ops.where(known, chosen, float("nan"))
    return ops.concatenate([count, chosen], axis=0)
