"""What gradients through time tell of recurrent layers."""

import dataclasses

import numpy as np

# Of a layer, the latest measurements that must agree.
MEASURED = 3


@dataclasses.dataclass(frozen=True, slots=True)
class ThroughTime:
    """How the gradient changes on its way back through time, in one layer.

    Attributes:
        layer: Str. Path of the recurrent layer.
        steps: Int array (K,). Steps of the measurements.
        arrives: Float array (K,). Norm at the first time step, as a share of
            the largest; NaN if unknown.
        grows: Float array (K,). Norm at the first time step, as a share of
            that at the last.
        halving: Float array (K,). Time steps within which it halves on
            average; infinite where it does not shrink.
        lengths: Int array (K,). Time steps.
    """

    layer: str
    steps: np.ndarray
    arrives: np.ndarray
    grows: np.ndarray
    halving: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, layer, steps, times, norms):
        """Return what measurements tell; see `Trace.time_gradients`."""
        rows = [_row(t, n) for t, n in zip(times, norms, strict=True)]
        arrives, grows, halving = np.array(rows, float).reshape(-1, 3).T
        lengths = times.max(axis=1, initial=-1) + 1
        return cls(str(layer), steps, arrives, grows, halving, lengths)

    @classmethod
    def all_of(cls, trace):
        """Return that of each recurrent layer of a trace."""
        return [
            cls.of(layer, *trace.time_gradients(str(layer)))
            for layer in trace.recurrent_layers
        ]

    def latest(self, step):
        """Return the indices of the latest measurements up to a step."""
        count = int(np.searchsorted(self.steps, step, "right"))
        return np.arange(max(0, count - MEASURED), count)


def owners_of(trace, path):
    """Return the layers with weights that belong to a recurrent layer.

    Args:
        trace: The `Trace`.
        path: Str. Path of the recurrent layer.
    """
    layers = [str(layer) for layer in trace.layers]
    own = [n for n in layers if n == path or n.startswith(f"{path}/")]
    return own or [path]


def _row(times, norms):
    norms = norms.astype(np.float64)
    there = (times >= 0) & ~np.isnan(norms)
    times, norms = times[there], norms[there]
    if len(norms) < 2 or not np.isfinite(norms).all() or not norms.max() > 0:
        return np.nan, np.nan, np.nan
    top = int(np.argmax(norms))
    arrives = norms[0] / norms[top]
    with np.errstate(divide="ignore"):
        grows = norms[0] / norms[-1]
    # What is 0 is less than float32 can hold.
    known = int(np.argmax(norms > 0))
    fall = np.log2(norms[top] / norms[known])
    halving = (times[top] - times[known]) / fall if fall > 0 else np.inf
    return arrives, grows, halving
