"""The same architecture with another pairing."""

import warnings
from typing import Any

import keras

from keras_gradguard._validation import check_bool
from keras_gradguard._validation import check_choice
from keras_gradguard._validation import check_int
from keras_gradguard._validation import shown
from keras_gradguard.exceptions import GradGuardWarning
from keras_gradguard.models import graph
from keras_gradguard.models.builder import Builder
from keras_gradguard.models.builder import Edits
from keras_gradguard.presets.gains import moments
from keras_gradguard.presets.plan import Plan

_MOST_UNSTABLE = 10


def convert(
    model: Any,
    pairing: str,
    *,
    normalization: str | None = None,
    residual: bool = False,
    copy_weights: bool = False,
    dry_run: bool = False,
    seed: int | None = None,
) -> Any:
    """Build the same architecture with another pairing and new weights.

    Hidden activations become the pairing's, and each kernel is initialized
    for what comes into it: the pairing's gain after an activation, gain 1
    after data, a normalization or a linear layer. Output layers keep their
    activation (and their initializer, unless it is a fixed-width one), gates
    of recurrent layers and of squeeze-and-excite blocks keep theirs, and so
    do attention, embeddings and normalization. Recurrent kernels are drawn
    gate by gate. Under SELU `Dropout` becomes `AlphaDropout`. Names, shared
    layers, several inputs and outputs stay, and `model` is not touched.

    What scale alone cannot do for a deep plain stack of GELU, SiLU, Mish or
    hard SiLU, `"gelu_deep"` and the like, `normalization` or `residual` do.

    Args:
        model: A `Sequential` or functional model; models inside it are
            converted as well.
        pairing: Name from `kgg.presets.names()`.
        normalization: None, `"batch"` or `"layer"`: put one before each
            hidden activation that has none. Defaults to None.
        residual: Whether to add a residual connection, its branch scaled by
            zero at the start, around each layer that keeps the shape. A
            `Sequential` comes back as a functional model. Defaults to False.
        copy_weights: Whether layers that are not re-initialized take the
            weights they have in `model`; they start anew otherwise. Defaults
            to False.
        dry_run: Whether to return the list of changes instead. Defaults to
            False.
        seed: Integer that makes the new kernels repeatable, or None.

    Returns:
        The new model, compiled as `model` is; with `dry_run`, a list of
        `Change`.

    Raises:
        TypeError: If `model` is no Keras model, or subclassed.
        ValueError: If a name is unknown.

    Example:
    >>> import keras
    >>> from keras_gradguard import presets
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((8,)),
    ...         keras.layers.Dense(16, "relu", name="hidden"),
    ...         keras.layers.Dense(3, "softmax", name="head"),
    ...     ]
    ... )
    >>> for change in presets.convert(model, "lecun_selu", dry_run=True):
    ...     print(change)
    hidden: initializer GlorotUniform(1) -> LecunNormal(1)
    hidden: activation relu -> selu
    >>> presets.convert(model, "lecun_selu").layers[0].activation.__name__
    'selu'
    """
    _check_model(model)
    check_choice(
        "presets.convert",
        "normalization",
        normalization,
        (None, "batch", "layer"),
    )
    check_bool("presets.convert", "residual", residual)
    check_bool("presets.convert", "copy_weights", copy_weights)
    check_bool("presets.convert", "dry_run", dry_run)
    if seed is not None:
        seed = check_int("presets.convert", "seed", seed)
    if residual and isinstance(model, keras.Sequential) and not model.built:
        raise ValueError(
            "presets.convert: `model` must be built for `residual`. "
            f"Received: model={model.name!r}, of unknown input shape. Start "
            "it with `keras.Input(shape)`."
        )
    plan = Plan(model, pairing, normalization, residual, seed)
    if dry_run:
        return plan.changes
    found = moments(plan.row.activation)
    unstable = plan.row.scale * found.sensitivity > 1.01
    if plan.deep > _MOST_UNSTABLE and unstable and not plan.row.bias_variance:
        warnings.warn(
            f"presets.convert: {plan.deep} plain layers of {plan.row.name!r} "
            "will lose their signal: its unit variance is unstable. Pass "
            'residual=True or normalization="batch", or take the "_deep" '
            "pairing where there is one.",
            GradGuardWarning,
            stacklevel=2,
        )
    builder = Builder(
        Edits(
            plan.configs,
            plan.replaced,
            plan.normalized,
            plan.block_ends,
            plan.normalization,
        )
    )
    new = builder.model(model)
    builder.copy_weights(frozen=not copy_weights)
    return new


def _check_model(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise TypeError(
            "presets.convert: `model` must be a Keras model. Received: "
            f"model={shown(model)} (of type {type(model).__name__}). Pass what "
            "`keras.Sequential` or `keras.Model(inputs, outputs)` returns."
        )
    if not graph.is_graph(model):
        raise TypeError(
            "presets.convert: `model` must be Sequential or functional. "
            f"Received: a subclassed model (of type {type(model).__name__}), "
            "whose layers say nothing of their order. Give its layers "
            '**kgg.presets.get("he_relu") where it makes them, or use '
            "`kgg.presets.lsuv(model, x)`, which needs no order."
        )
