"""Gradient clipping that finds its own threshold.

Longer than 350 lines, since one class is what users call, with all that an
optimizer of Keras must offer.
"""

import copy
from typing import Any

import keras

from keras_gradguard import _backend
from keras_gradguard import clippers
from keras_gradguard._validation import check_choice
from keras_gradguard._validation import check_int
from keras_gradguard._validation import fail
from keras_gradguard.clippers import functional
from keras_gradguard.clippers.clipper import Clipper
from keras_gradguard.models import keras_private
from keras_gradguard.optimizers import _arguments
from keras_gradguard.optimizers import _checkpoint
from keras_gradguard.optimizers import _hook
from keras_gradguard.optimizers._arguments import delegated
from keras_gradguard.optimizers._clip_step import ClipStep
from keras_gradguard.optimizers._clip_step import measure
from keras_gradguard.optimizers._nonfinite import NonfiniteGuard
from keras_gradguard.optimizers._nonfinite import host_copy
from keras_gradguard.optimizers._observer import ClipObserver
from keras_gradguard.optimizers._observer import Observation


@keras.saving.register_keras_serializable(package="keras_gradguard")
class AutoClip(keras.optimizers.Optimizer):
    """Wraps an optimizer: clips its gradients, and skips nonfinite ones.

    The threshold comes from the run's own gradient norms, so that there is
    none to guess. The norm is that of the gradients as the optimizer is about
    to use them: unscaled, averaged over accumulated micro-batches, reduced
    over replicas, taken in float32 without overflow. Everything else, such as
    `learning_rate` and its schedules, EMA, weight decay and accumulation, is
    the inner optimizer's and stays settable through the wrapper.

    A batch whose gradients are not finite would spoil weights and moments for
    good. By default its update does not happen: weights, moments, accumulated
    gradients and `iterations` stay as they are, and the skip is counted. A
    norm that is zero or not finite is never recorded.

    What it measures and counts is optimizer state, saved and loaded with the
    model, so a resumed run goes on with the same thresholds. The checkpoint
    of a plain inner optimizer loads as well: the thresholds then start anew.

    Args:
        inner_optimizer: A `keras.optimizers.Optimizer` without clipping of
            its own, or the name of one. An optimizer that has trained already
            keeps its state.
        clipper: `"spikes"`, `"percentile"`, `"zscore"`, `"unitwise"`,
            `"per_tensor"`, `"norm"`, `"value"` or a `kgg.clippers.Clipper`.
            Defaults to `None`: `"spikes"`, or `"percentile"` if it is given.
        nonfinite: What to do with NaN or infinite gradients. `"skip"`: leave
            out the update. `"zero"`: update with zeros, so that moments decay
            and `iterations` advances. `"propagate"`: let them through.
            `"raise"`: stop with an error, not possible where the step is
            compiled by XLA. Defaults to `"skip"`.
        name: String. Defaults to `None`, a name from the class.
        skip_above: Float >= 1 or `None`. An update whose norm is finite but
            more than so many times the latest threshold is skipped as well,
            not clipped, at most `warn_after` times in a row: what lasts longer
            is no spike. Larger skips less. With accumulation, it is the norm
            of a micro-batch. It needs a clipper of the global norm, and
            `nonfinite="skip"`. Defaults to `None`: no finite one is skipped.
        warn_after: Int >= 1. After so many skips in a row the user is warned,
            with the step they began at: at once where the host knows (torch,
            eager execution), else at the end of `fit`. Defaults to `10`.
        **clipper_arguments: Arguments of the clipper, such as `percentile` or
            `window`, if `clipper` is a name.

    Attributes:
        clipper: The `Clipper`.
        threshold: Float, the threshold of the last update; infinite before
            the first and in a clipper's warm-up.
        last_norm: Float, the gradient norm of the last update, before
            clipping; 0 before the first.
        clipped_fraction: Float in [0, 1], share of updates that were clipped.
        skipped_steps: Int, updates that were skipped (or zeroed).
        clip_values: float32 variable: threshold and norm of the last update,
            then the clipper's state.
        clip_counts: int32 variable of shape `(5,)`: updates; how many of them
            were clipped; skipped updates; how many of them are in the latest
            row of skips; and the value of the inner optimizer's counter when
            that row began.

    Raises:
        TypeError: If an argument has a wrong type.
        ValueError: If an argument has a wrong value; if `inner_optimizer`
            clips, scales the loss, or wraps other optimizers.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> import keras_gradguard as kgg
        >>> keras.utils.set_random_seed(0)
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> optimizer = kgg.AutoClip(keras.optimizers.Adam(1e-3))
        >>> model.compile(optimizer=optimizer, loss="mse")
        >>> x = np.ones((64, 4), "float32")
        >>> x[40] = np.nan  # spoils the second of two batches
        >>> history = model.fit(
        ...     x, x[:, :1], batch_size=32, shuffle=False, verbose=0)
        >>> optimizer.skipped_steps, int(optimizer.iterations)
        (1, 1)

    Notes:
        With `keras.optimizers.LossScaleOptimizer`, AutoClip goes inside, as
        `compile` does under `mixed_float16`; overflowing steps are then the
        loss scale's to skip, and AutoClip never sees them. With
        `MultiOptimizer`, wrap its members.
    """

    built: bool  # Keras sets it.
    use_ema = delegated("use_ema")
    ema_momentum = delegated("ema_momentum")
    ema_overwrite_frequency = delegated("ema_overwrite_frequency")
    weight_decay = delegated("weight_decay")
    loss_scale_factor = delegated("loss_scale_factor")
    gradient_accumulation_steps = delegated("gradient_accumulation_steps")
    learning_rate = delegated("learning_rate")

    def __init__(
        self,
        inner_optimizer: Any,
        clipper: str | dict[str, Any] | Clipper | None = None,
        nonfinite: str = "skip",
        name: str | None = None,
        *,
        skip_above: float | None = None,
        warn_after: int = 10,
        **clipper_arguments: Any,
    ) -> None:
        inner_optimizer = _hook.resolve_inner(inner_optimizer)
        _hook.check_inner(inner_optimizer)
        if clipper is None:
            clipper = _arguments.default_clipper(clipper_arguments)
        clipper = clippers.get(clipper, **clipper_arguments)
        check_choice(
            "AutoClip",
            "nonfinite",
            nonfinite,
            ("skip", "zero", "propagate", "raise"),
            hint='"skip" leaves weights and optimizer state as they are.',
        )
        if name is not None and not isinstance(name, str):
            fail(TypeError, "AutoClip", "name", "a str or None", name)
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.clipper = clipper
        self.nonfinite = nonfinite
        self.warn_after = check_int(
            "AutoClip",
            "warn_after",
            warn_after,
            minimum=1,
            hint="It counts skipped updates in a row.",
        )
        self.skip_above = _arguments.check_skip_above(
            skip_above, clipper, nonfinite
        )
        self._guard = NonfiniteGuard(
            nonfinite,
            self.warn_after,
            # Measuring only is to be bit-equal to the inner optimizer.
            clipper.only_observes,
            inner_optimizer,
            self.skip_above,
        )
        self._clip_step = ClipStep(clipper, inner_optimizer)
        self._guard.latest_threshold = self._clip_step.latest_threshold
        _hook.replace_clipping(inner_optimizer, self._clip_step)

    def build(self, variables: Any) -> None:
        if self.built:
            return
        _backend.current().keep_collectives_apart()
        variables = list(variables)
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        keras_private.set_updated_variables(self, variables)
        counts = self._add("clip_counts", (5,), "int32")
        self._guard.counts = counts
        self._clip_step.build(variables, counts, self._add)
        self.built = True

    def _add(self, name: str, shape: tuple[int, ...], dtype: str) -> Any:
        return self.add_variable(
            shape=shape,
            initializer="zeros",
            dtype=dtype,
            # Every replica computes the same value.
            aggregation="only_first_replica",
            name=name,
        )

    @property
    def variables(self) -> list[Any]:
        return (
            keras_private.state_variables(self) + self.inner_optimizer.variables
        )

    def _observe(self, observer: ClipObserver | None) -> Observation:
        """Let `observer` watch each `apply` from now on, or nobody."""
        self._guard.observer = observer
        return Observation(self._clip_step, self._guard)

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        grads = list(grads)
        if self._guard.observer is not None:
            self._guard.observer.begins(grads, trainable_variables)
        known = trainable_variables is not None
        if known and not self.built:
            self.build(trainable_variables)
        built_on = keras_private.updated_variables(self)
        variables = list(trainable_variables if known else built_on)
        used = [
            (g, v)
            for g, v in zip(grads, variables, strict=False)
            if g is not None
            and not getattr(v, "overwrite_with_gradient", False)
        ]
        if not self.built or not used or len(grads) != len(variables):
            # Keras says what is wrong, or has nothing to clip.
            self.inner_optimizer.apply(grads, trainable_variables)
            return
        gradients, used_variables = map(list, zip(*used, strict=True))

        def update(grads: Any, norm: Any = None) -> None:
            self._update(grads, trainable_variables, used_variables, norm)

        if self.nonfinite == "propagate":
            update(grads)
            return
        # With accumulation, of the micro-batch: a bad one is left out whole.
        norm = measure(_backend.current().reduce_over_replicas(gradients))
        judged = norm
        if self.skip_above is not None and self.loss_scale_factor is not None:
            judged = norm / self.loss_scale_factor
        self._guard.run(
            judged,
            grads,
            lambda grads: update(grads, norm),
            built_on + self.variables,
        )

    def _update(
        self,
        grads: Any,
        trainable_variables: Any,
        used_variables: Any,
        norm: Any,
    ) -> None:
        inner, step = self.inner_optimizer, self._clip_step
        accumulates = bool(self.gradient_accumulation_steps)
        if accumulates:
            # The norm that matters is that of the mean.
            norm = None
        elif norm is not None and self.loss_scale_factor is not None:
            norm = norm / self.loss_scale_factor
        step.begin(used_variables, norm)
        try:
            inner.apply(grads, trainable_variables)
        finally:
            was_called = step.end()
        # With accumulation, most steps rightly have nothing to clip.
        _hook.check_was_called(inner, accumulates or was_called)

    @property
    def clip_values(self) -> Any:
        return self._clip_step.values

    @property
    def clip_counts(self) -> Any:
        return self._clip_step.counts

    @property
    def threshold(self) -> float:
        if not self._count("updates"):
            return float("inf")
        value = self._clip_step.read()[0].tolist()[0]
        return value if value < functional.NO_THRESHOLD else float("inf")

    @property
    def last_norm(self) -> float:
        return self._clip_step.read()[0].tolist()[1] if self.built else 0.0

    @property
    def clipped_fraction(self) -> float:
        return self._count("clipped") / max(self._count("updates"), 1)

    @property
    def skipped_steps(self) -> int:
        return self._count("skipped")

    def _count(self, what: str) -> int:
        if not self.built:
            return 0
        counts = host_copy(self.clip_counts).tolist()
        return counts[("updates", "clipped", "skipped").index(what)]

    @property
    def iterations(self) -> Any:
        return self.inner_optimizer.iterations

    @property
    def _model_variables_moving_average(self) -> Any:
        averages = keras_private.averages(self.inner_optimizer)
        if averages is None:
            # As an optimizer that keeps none.
            raise AttributeError("_model_variables_moving_average")
        return averages

    def scale_loss(self, loss: Any) -> Any:
        return self.inner_optimizer.scale_loss(loss)

    def exclude_from_weight_decay(
        self, var_list: Any = None, var_names: Any = None
    ) -> None:
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def finalize_variable_values(self, var_list: Any) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)
        if self.built:
            self._guard.warn()

    def set_weights(self, weights: Any) -> None:
        _checkpoint.set_weights(self, weights)

    def save_own_variables(self, store: Any) -> None:
        _checkpoint.save(self, store)

    def load_own_variables(self, store: Any) -> None:
        _checkpoint.load(self, store)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "inner_optimizer": serialize(self.inner_optimizer),
            "clipper": serialize(self.clipper),
            "nonfinite": self.nonfinite,
            "skip_above": self.skip_above,
            "warn_after": self.warn_after,
        }

    @classmethod
    def from_config(
        cls,
        config: dict[str, Any],
        custom_objects: dict[str, Any] | None = None,
    ) -> "AutoClip":
        # Keras deserializes a nested schedule in place.
        config = copy.deepcopy(config)
        inner = config.pop("inner_optimizer")
        if isinstance(inner, dict):
            inner = keras.saving.deserialize_keras_object(
                inner, custom_objects=custom_objects
            )
        if isinstance(config.get("clipper"), dict):
            config["clipper"] = keras.saving.deserialize_keras_object(
                config["clipper"], custom_objects=custom_objects
            )
        return cls(inner, **config)
