"""Finds weights that no training should start from, without any data."""

from typing import Any

import keras

from keras_gradguard._validation import shown
from keras_gradguard.models import graph
from keras_gradguard.presets.inspection.kernel import judge_kernel
from keras_gradguard.presets.inspection.kernel import judge_selu
from keras_gradguard.presets.inspection.kernel import judge_width
from keras_gradguard.presets.inspection.kernels import kernels_of
from keras_gradguard.presets.inspection.problem import InitializationProblem
from keras_gradguard.presets.inspection.stacks import judge_stacks

__all__ = ["InitializationProblem", "inspect_initialization"]


def inspect_initialization(model: Any) -> list[InitializationProblem]:
    """List what is wrong with the weights that a model starts from.

    Looks at the weights as they are and at what comes before and after each
    layer: constant or symmetric units, weights that are all of one sign, far
    too wide or narrow for their inputs, He under SELU, plain stacks whose
    signal dies or blows up, such as Glorot's default under deep ReLU, and
    hidden layers of one unit. It is
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
            f"model={shown(model)} (of type {type(model).__name__}). Wrap a "
            "layer in `keras.Sequential([layer])`."
        )
    if graph.is_graph(model):
        found = graph.nodes(model)
    else:
        # Nothing tells the order, so a layer is taken to follow its own kind.
        found = [
            graph.Node(layer.path or layer.name, layer)
            for layer in graph.sublayers(model)
        ]
    known = graph.is_graph(model)
    kernels = [k for node in found for k in kernels_of(node, known)]
    problems: dict = {}
    for kernel in kernels:
        problem = judge_kernel(kernel)
        if problem is not None:
            problems.setdefault(kernel.node.key, problem)
    for problem in judge_selu(kernels):
        problems.setdefault(problem.layer, problem)
    if known and not problems:
        # A stack is judged only where no single layer is to blame.
        for problem in judge_stacks(found, kernels):
            problems.setdefault(problem.layer, problem)
    for kernel in kernels:
        problem = judge_width(kernel)
        if problem is not None:
            problems.setdefault(problem.layer, problem)
    order = {node.key: i for i, node in enumerate(found)}
    return sorted(problems.values(), key=lambda p: order[p.layer])
