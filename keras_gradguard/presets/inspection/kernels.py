"""The kernels of a model, and how wide they should be at the start."""

import dataclasses
from typing import Any

import numpy as np

from keras_gradguard.models import graph
from keras_gradguard.models.kinds import LAYERS
from keras_gradguard.models.values import host_copy
from keras_gradguard.presets.arguments import scale_for
from keras_gradguard.presets.initializers import PairedInitializer
from keras_gradguard.presets.inspection.problem import InitializationProblem
from keras_gradguard.presets.pairings import for_name_of

_UNJUDGED = {
    "LSTM",
    "GRU",
    "SimpleRNN",
    "MultiHeadAttention",
    "GroupQueryAttention",
    "EinsumDense",
}


@dataclasses.dataclass(slots=True)
class Kernel:
    """A kernel and what is needed to judge it.

    Attributes:
        node: `graph.Node` of the layer that owns it.
        values: Float64 array, the weights.
        fan_in: Float. Inputs that one output sums over.
        rms: Float. Root mean square of the weights.
        expected: Float. The standard deviation that fits.
        activation: What it must fit: the activation before the layer, or the
            one behind it where there is none before; None if neither.
        preset: Str or None. Name of the pairing of that activation.
        hidden: Bool. Whether it is known not to make the model's output.
        normalized: Bool. Whether a normalization follows, which undoes any
            scale.
    """

    node: Any
    values: object
    fan_in: float
    rms: float
    expected: float
    activation: object
    preset: str | None
    hidden: bool
    normalized: bool

    @property
    def ratio(self):
        """Float. How many times wider the weights are than what fits."""
        return self.rms / self.expected

    def problem(self, kind, text, layers=(), left=1.0):
        """Return an `InitializationProblem` of this kernel.

        Args:
            kind: Str. As in `InitializationProblem`.
            text: Str. What is wrong; the layer's name is put before it.
            layers: Sequence of str. Other layers of which it holds. Defaults
                to none.
            left: Float. How much of the signal is left behind them.
        """
        name = getattr(
            self.activation, "__name__", type(self.activation).__name__
        )
        name = "linear" if self.activation is None else name
        fix = (
            f'Give the layer `**kgg.presets.get("{self.preset}")`.'
            if self.preset
            else "Use `kgg.presets.for_activation(activation)`."
        )
        return InitializationProblem(
            layers=(self.node.key, *layers),
            kind=kind,
            measured_std=self.rms,
            expected_std=self.expected,
            activation=name,
            message=f"{self.node.key}: {text} {fix}",
            preset=self.preset,
            left=left,
        )


def kernels_of(node, known):
    """Yield the kernels of a node that can be judged.

    Args:
        node: `graph.Node`.
        known: Bool. Whether it is known what comes before and after it.

    Yields:
        `Kernel`. None of frozen, recurrent and attention layers.
    """
    layer = node.inner
    if node.kind is None or node.kind in _UNJUDGED or node.kind not in LAYERS:
        return
    if not layer.built or not layer.trainable:
        return
    layouts = _layouts(node.kind)
    source = graph.source_activation(node)
    follows = graph.following_activation(node)
    before = source.activation if source else None
    if not known:
        before = node.activation
    fits = before if before is not None else _activation_of(follows)
    row = for_name_of(fits) if fits is not None else None
    scale = _scale(before)
    if scale is None:
        return
    last = layouts[-1][0]
    for name, layout in layouts:
        values = host_copy(getattr(layer, name)).astype("float64")
        if not np.isfinite(values).all() or not values.size:
            continue
        fan_in, _ = PairedInitializer(
            layout=layout,
            strides=getattr(layer, "strides", 1)
            if layout == "transpose"
            else 1,
        ).fans(values.shape)
        # Between the two kernels of a separable convolution is nothing.
        own = 1.0 if name == "pointwise_kernel" else scale
        yield Kernel(
            node=node,
            values=values,
            fan_in=fan_in,
            rms=float(np.sqrt(np.mean(values**2))),
            expected=float(np.sqrt(own / max(fan_in, 1e-12))),
            activation=fits,
            preset=row.name if row else None,
            hidden=known and (name != last or not graph.is_output(node)),
            normalized=any(
                isinstance(after.layer, graph.NORMALIZATIONS)
                for after in node.consumers
            ),
        )


def _layouts(kind):
    """Return name and layout of each kernel that a class of layers has."""
    if kind.startswith("Separable"):
        return [
            ("depthwise_kernel", "depthwise"),
            ("pointwise_kernel", "dense"),
        ]
    if kind.startswith("Depthwise"):
        return [("kernel", "depthwise")]
    if kind.endswith("Transpose"):
        return [("kernel", "transpose")]
    return [("kernel", "dense")]


def _activation_of(node):
    return None if node is None else node.activation


def _scale(activation):
    try:
        return scale_for(activation)[0]
    except ValueError:
        return None  # Not elementwise: there is no theory of it.
