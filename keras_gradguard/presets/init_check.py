"""Finds weights that no training should start from, without any data."""

import dataclasses

import keras
import numpy as np

from keras_gradguard.presets import graph
from keras_gradguard.presets.arguments import LAYERS
from keras_gradguard.presets.arguments import scale_for
from keras_gradguard.presets.gains import moments
from keras_gradguard.presets.initializers import PairedInitializer
from keras_gradguard.presets.pairings import for_name_of

_L = keras.layers
_UNJUDGED = {
    "LSTM",
    "GRU",
    "SimpleRNN",
    "MultiHeadAttention",
    "GroupQueryAttention",
    "EinsumDense",
}
# A kernel four times too wide saturates or explodes; a tenth is lost noise.
_WIDE, _NARROW = 4.0, 0.1
# He's weights are 1.41 times as wide as SELU's.
_SELU_WIDE = 1.25
# Signal lost or gained over a plain stack, as a standard deviation: Keras's
# Glorot default under ReLU loses this after nine layers.
_STACK_LOST, _STACK_GROWN = 0.05, 20.0
# Two layers with weak weights train all the same; three may not.
_FEWEST_LOST = 3
# Below these a handful of draws says nothing.
_FEW_INPUTS, _FEW_WEIGHTS = 8, 64


@dataclasses.dataclass(frozen=True, slots=True)
class InitializationProblem:
    """A layer, or a stack of them, with weights not to start from.

    Attributes:
        layers: Where: names by `/`, the culprit first.
        kind: `"constant"`, `"symmetric"`, `"not_centered"`, `"too_wide"`,
            `"too_narrow"`, `"wrong_pairing"`, `"vanishing_stack"` or
            `"exploding_stack"`.
        measured_std: Root mean square of the first layer's weights.
        expected_std: What fits its inputs and their activation.
        activation: Name of the activation that the weights must fit.
        message: What is wrong, in words and numbers.
        preset: Name for `kgg.presets.get`, or None where none fits.
    """

    layers: tuple
    kind: str
    measured_std: float
    expected_std: float
    activation: str
    message: str
    preset: str

    @property
    def layer(self):
        """The culprit."""
        return self.layers[0]


@dataclasses.dataclass(slots=True)
class _Kernel:
    """A kernel and what is needed to judge it."""

    site: object
    values: object
    fan_in: float
    rms: float
    expected: float
    activation: object
    preset: str
    hidden: bool
    normalized: bool

    @property
    def ratio(self):
        return self.rms / self.expected

    def problem(self, kind, text, layers=()):
        name = getattr(
            self.activation, "__name__", type(self.activation).__name__
        )
        name = "linear" if self.activation is None else name
        fix = (
            f'Use **kgg.presets.get("{self.preset}").'
            if self.preset
            else "Use kgg.presets.for_activation(activation)."
        )
        return InitializationProblem(
            layers=(self.site.key, *layers),
            kind=kind,
            measured_std=self.rms,
            expected_std=self.expected,
            activation=name,
            message=f"{self.site.key}: {text} {fix}",
            preset=self.preset,
        )


def inspect_initialization(model):
    """List what is wrong with the weights that a model starts from.

    Looks at the weights as they are and at what comes before and after each
    layer: constant or symmetric units, weights that are all of one sign, far
    too wide or narrow for their inputs, He under SELU, and plain stacks whose
    signal dies or blows up, such as Glorot's default under deep ReLU. It is
    silent on the defaults of Keras in shallow models, before normalizations,
    on output layers that start at zero, frozen layers, embeddings, attention
    and recurrent layers.

    Args:
        model: A built Keras model. Of a subclassed one each layer is judged
            on its own.

    Returns:
        List of `InitializationProblem`, in forward order.

    Raises:
        TypeError: If `model` is no Keras model.

    Example:
    >>> import keras
    >>> from keras_gradguard import presets
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((32,)),
    ...         keras.layers.Dense(16, "relu", kernel_initializer="ones"),
    ...         keras.layers.Dense(1),
    ...     ]
    ... )
    >>> [problem.kind for problem in presets.inspect_initialization(model)]
    ['constant']
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            "inspect_initialization: `model` must be a Keras model. Received: "
            f"model={model!r} (of type {type(model).__name__}). Wrap a layer "
            "in `keras.Sequential([layer])`."
        )
    if graph.is_graph(model):
        found = graph.sites(model)
    else:
        # Nothing tells the order, so a layer is taken to follow its own kind.
        found = [
            graph.Site(layer.path or layer.name, layer)
            for layer in graph.sublayers(model)
        ]
    known = graph.is_graph(model)
    kernels = [k for site in found for k in _kernels(site, known)]
    problems = {}
    for kernel in kernels:
        problem = _judge(kernel)
        if problem is not None:
            problems.setdefault(kernel.site.key, problem)
    for problem in _judge_selu(kernels):
        problems.setdefault(problem.layer, problem)
    if known and not problems:
        # A stack is judged only where no single layer is to blame.
        for problem in _judge_stacks(found, kernels):
            problems.setdefault(problem.layer, problem)
    order = {site.key: i for i, site in enumerate(found)}
    return sorted(problems.values(), key=lambda p: order[p.layer])


def _kernels(site, known):
    """Yield the kernels of a site that can be judged."""
    layer = site.inner
    if site.kind is None or site.kind in _UNJUDGED or site.kind not in LAYERS:
        return
    if not layer.built or not layer.trainable:
        return
    depthwise = site.kind.startswith(("Depthwise", "Separable"))
    names = (
        [("depthwise_kernel", "depthwise"), ("pointwise_kernel", "dense")]
        if site.kind.startswith("Separable")
        else [
            (
                "kernel",
                "depthwise"
                if depthwise
                else "transpose"
                if site.kind.endswith("Transpose")
                else "dense",
            )
        ]
    )
    source = graph.source_activation(site)
    follows = graph.following_activation(site)
    before = source.activation if source else None
    if not known:
        before = site.activation
    fits = before if before is not None else _activation_of(follows)
    row = for_name_of(fits) if fits is not None else None
    scale = _scale(before)
    if scale is None:
        return
    last = names[-1][0]
    for name, layout in names:
        values = keras.ops.convert_to_numpy(getattr(layer, name)).astype(
            "float64"
        )
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
        yield _Kernel(
            site=site,
            values=values,
            fan_in=fan_in,
            rms=float(np.sqrt(np.mean(values**2))),
            expected=float(np.sqrt(own / max(fan_in, 1e-12))),
            activation=fits,
            preset=row.name if row else None,
            hidden=known and (name != last or not graph.is_output(site)),
            normalized=any(
                isinstance(after.layer, graph.NORMALIZATIONS)
                for after in site.consumers
            ),
        )


def _activation_of(site):
    return None if site is None else site.activation


def _scale(activation):
    try:
        return scale_for(activation)[0]
    except ValueError:
        return None  # Not elementwise: there is no theory of it.


def _judge(kernel):
    """Return what is wrong with one kernel on its own, or None."""
    values, few = kernel.values, kernel.values.size < _FEW_WEIGHTS
    units = values.reshape(-1, values.shape[-1])
    branch_end = graph.feeds(kernel.site, ("Add", "add", "ScaledAdd"))
    if kernel.hidden and units.shape[1] > 1 and "conv" not in _layout(kernel):
        zero_branch = branch_end and not values.any()
        if np.ptp(values) == 0.0 and not zero_branch:
            return kernel.problem(
                "constant",
                f"all {values.size} weights are {values.flat[0]:g}, so its "
                f"{units.shape[1]} units stay equal for ever. They should be "
                f"random with a standard deviation of {kernel.expected:.3g}.",
            )
        # A random projection tells equal columns apart.
        probe = np.random.default_rng(0).normal(size=len(units)) @ units
        probe = probe[np.abs(probe) > 0]
        distinct = len(np.unique(probe))
        if len(probe) > 1 and distinct <= len(probe) / 2:
            return kernel.problem(
                "symmetric",
                f"its {units.shape[1]} units have only {distinct} different "
                "sets of weights, and equal units stay equal for ever.",
            )
    if few or kernel.fan_in < _FEW_INPUTS:
        return None
    free = getattr(kernel.site.inner, "kernel_constraint", None) is None
    mean = float(values.mean())
    if free and abs(mean) > 0.5 * kernel.rms and kernel.fan_in >= 16:
        return kernel.problem(
            "not_centered",
            f"its weights have mean {mean:.3g} and root mean square "
            f"{kernel.rms:.3g}: nearly all of one sign, so its units see "
            "little but the sum of their inputs. They should have mean 0 and "
            f"a standard deviation of {kernel.expected:.3g}.",
        )
    if kernel.normalized:
        return None
    says = (
        f"its weights have a standard deviation of {kernel.rms:.3g} where "
        f"{kernel.expected:.3g} fits its {kernel.fan_in:.0f} inputs"
    )
    if kernel.ratio >= _WIDE:
        return kernel.problem(
            "too_wide",
            f"{says}: {kernel.ratio:.1f} times too wide, the signal grows or "
            "saturates.",
        )
    if kernel.hidden and 0 < kernel.ratio <= _NARROW and not branch_end:
        return kernel.problem(
            "too_narrow",
            f"{says}: {1 / kernel.ratio:.0f} times too narrow, the signal "
            "and all gradients below are lost.",
        )
    return None


def _layout(kernel):
    """A kernel of one filter a channel has no units to be symmetric."""
    name = kernel.site.kind.lower()
    return name if name.startswith(("depthwise", "separable")) else ""


def _judge_selu(kernels):
    """He's initializer where SELU needs LeCun's."""
    fed = [
        k
        for k in kernels
        if getattr(k.activation, "__name__", "") == "selu"
        and graph.source_activation(k.site) is not None
        and k.hidden
        and not k.normalized
    ]
    wide = [k for k in fed if k.ratio > _SELU_WIDE]
    if len(wide) < 2 or 2 * len(wide) < len(fed):
        return []
    first = wide[0]
    return [
        first.problem(
            "wrong_pairing",
            f"{len(wide)} layers after SELU have weights {first.ratio:.2f} "
            f"times as wide ({first.rms:.3g}) as the {first.expected:.3g} "
            "under which it normalizes itself (LeCun's); He's are made for "
            "ReLU.",
            [k.site.key for k in wide[1:]],
        )
    ]


def _judge_stacks(found, kernels):
    """Follow the signal's second moment through plain stacks of layers."""
    by_site = {}
    for kernel in kernels:
        by_site.setdefault(id(kernel.site), []).append(kernel)
    power, stack = {}, {}
    for site in found:
        q, chain = _merge(site, power, stack)
        mine = by_site.get(id(site), [])
        if mine:
            for kernel in mine:
                q *= kernel.fan_in * kernel.rms**2
            bias = getattr(site.inner, "bias", None)
            if bias is not None:
                bias = keras.ops.convert_to_numpy(bias).astype("float64")
                q += float(np.mean(bias**2))
            chain = [*chain, *mine]
            std = np.sqrt(q)
            lost = (
                std < _STACK_LOST
                and len(chain) >= _FEWEST_LOST
                and all(k.hidden for k in mine)
            )
            if not all(k.rms for k in mine):
                q, chain = 1.0, []  # Zero on purpose, or judged already.
            elif (lost or std > _STACK_GROWN) and len(chain) > 1:
                # One stack is enough: what follows is its echo.
                return [_stack_problem(chain, std)]
        elif site.kind is not None or not _passes(site):
            q, chain = 1.0, []
        if site.activation is not None and 1e-30 < q < 1e30:
            q = _after(site.activation, q)
        if not np.isfinite(q):
            q, chain = 1.0, []
        power[id(site)], stack[id(site)] = q, chain
    return []


def _passes(site):
    return isinstance(site.layer, (*graph.KEPT, *graph.ACTIVATIONS)) or (
        type(site.layer).__name__ in ("Add", "Concatenate", "Average")
    )


def _merge(site, power, stack):
    if not site.sources:
        return 1.0, []
    coming = [power.get(id(s), 1.0) for s in site.sources]
    # A sum over branches keeps the signal of the shortest one alive.
    total = sum(coming) if type(site.layer).__name__ == "Add" else None
    q = total if total is not None else float(np.mean(coming))
    return q, list(stack.get(id(site.sources[0]), []))


def _after(activation, q):
    try:
        return moments(activation, q).second_moment
    except ValueError:
        return 1.0


def _stack_problem(chain, std):
    lost = std < 1.0
    worst = [k for k in chain if (k.ratio < 0.9 if lost else k.ratio > 1.1)]
    worst = worst or chain
    first = worst[-1] if len(worst) < 2 else worst[1]
    rest = [k.site.key for k in worst if k is not first]
    change = f"shrinks to {std:.2g} of" if lost else f"grows to {std:.2g} times"
    return first.problem(
        "vanishing_stack" if lost else "exploding_stack",
        f"over {len(chain)} layers the signal {change} what it was: weights "
        f"such as these have a standard deviation of {first.rms:.3g} where "
        f"{first.expected:.3g} fits, and the errors multiply.",
        rest,
    )
