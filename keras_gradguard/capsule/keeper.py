"""Keeps, while a `fit` runs, what it takes to run its latest steps again."""

import collections
import shlex
import warnings
from typing import Any

import keras
import numpy as np

from keras_gradguard import _backend
from keras_gradguard.capsule.batches import leaves
from keras_gradguard.capsule.contents import Batch
from keras_gradguard.capsule.contents import Contents
from keras_gradguard.capsule.faults import WINDOW
from keras_gradguard.capsule.faults import global_norms
from keras_gradguard.capsule.faults import is_spike
from keras_gradguard.capsule.faults import nonfinite_rows
from keras_gradguard.capsule.state import plain_copy
from keras_gradguard.capsule.state import serialized
from keras_gradguard.capsule.state import state_variables
from keras_gradguard.exceptions import GradGuardWarning
from keras_gradguard.models import keras_private
from keras_gradguard.models.patches import Patches
from keras_gradguard.models.values import is_finite
from keras_gradguard.version import __version__


class Keeper:
    """Keeps a state and the batches since; writes them at a fault.

    Args:
        owner: Str. Who asks for it, for messages.
        folder: Str. Where to write.
        every: Int. Batches from one copy of the state to the next.

    Attributes:
        written: The reason of what has been written, or None.
    """

    def __init__(self, owner: str, folder: str, every: int) -> None:
        self._owner = owner
        self._folder = folder
        self._every = every
        self.written: str | None = None
        self._model: Any = None
        self._recording: Any = None
        self._speaks = True
        self._runs = False
        self._inside = False
        self._patches = Patches()
        self._touched: dict[int, Any] = {}
        self._kept: list[Batch] = []
        self._previous: Any = None
        self._state: list[Any] | None = None
        self._norms: Any = collections.deque(maxlen=WINDOW)
        self._records: list[Any] = []
        self._epoch = self._index = 0
        self._steps: list[int] = []
        self._edits: dict[int, np.ndarray] = {}
        # Whether a copy has been tried: what is not built yet has none.
        self._waits = False

    # The callback calls these

    def start(self, model: Any, recording: Any, iterator: Any) -> None:
        """Begin.

        Args:
            model: A compiled Keras model that is about to train.
            recording: Its `Recording`, active.
            iterator: What the `fit` iterates over, or None.
        """
        rank, processes = _backend.current().process(model)
        self._speaks = rank == 0
        reason = self._why_not(model, recording, iterator, processes)
        if reason is not None:
            self._give_up(reason)
            return
        self._model, self._recording = model, recording
        self._backend = _backend.current()
        self._runs = True
        recording.keepers.append(self)
        self._guard(self._start, iterator)

    def _why_not(self, model, recording, iterator, processes):
        if recording.reason is not None:
            return recording.reason
        strategy = getattr(model, "distribute_strategy", None)
        replicas = getattr(strategy, "num_replicas_in_sync", 1)
        if processes > 1 or replicas > 1:
            return (
                "training runs in several processes or on several replicas, "
                "and the step would have to run again in all of them"
            )
        distribution = keras.distribution.distribution()
        if not isinstance(distribution, keras.distribution.DataParallel | None):
            return "the weights are sharded by a `keras.distribution`"
        if iterator is None or not hasattr(recording, "keepers"):
            return "it is kept in `fit` alone, and this is none"
        return None

    def _start(self, iterator):
        steps = int(self._model.steps_per_execution or 1)
        self._rows = keras_private.batch_rows(iterator)
        self._tap = self._backend.BatchTap(steps)
        keras_private.tap_dataset(iterator, self._tap.through)
        self._serialized = serialized(self._model)
        self._variables: list[Any] = []
        if self._model.built:
            self._copy(self._backend.read)

    def epoch_begin(self, epoch: int) -> None:
        """Note that an epoch begins.

        Args:
            epoch: Int, from 0.
        """
        self._epoch, self._index = epoch, 0

    def stop(self) -> None:
        """End, and let go of everything. Safe to repeat."""
        self._runs = False
        self._patches.undo()
        self._kept, self._state, self._touched = [], None, {}
        self._previous = None
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.keepers.remove(self)
        self._model = None

    def note(self) -> str:
        """Return where the capsule is and what to do with it, in words."""
        return (
            "The capsule holds the steps before the fault. See where it "
            "began: python -m keras_gradguard replay "
            f"{shlex.quote(str(self._folder))}"
        )

    # The recording calls these

    def before(self, args: Any, steps: list[int]) -> Any:
        """Return the arguments with which to run an execution instead.

        Args:
            args: Those of the `train_function`.
            steps: List of the updates that it is part of, one per batch.
        """
        if not self._runs:
            return args
        self._inside = True
        self._steps = steps
        return self._guard(self._before, args, default=args)

    def _before(self, args):
        touched, self._touched = self._touched, {}
        self._edits = {}
        if touched and self._state is not None:
            read = self._reader_before(args)
            self._edits = {
                at: plain_copy(read(variable))
                for at, variable in touched.items()
            }
        return self._tap.tap(args)

    def _reader_before(self, args):
        if hasattr(self._model, "jax_state_sync"):
            return self._backend.values_before(self._model, args)
        return self._backend.read

    def after(self, result: Any) -> None:
        """Take in what an execution has used.

        Args:
            result: What the `train_function` returned.
        """
        self._inside = False
        if self._runs:
            self._guard(self._after, result)

    def _after(self, result):
        self._take_batches()
        if self._waits and len(self._kept) < self._every:
            return
        self._recording.flush_beside(result)
        # What that brought may have been the end of it.
        if self._runs:
            read = self._backend.read
            if hasattr(self._model, "jax_state_sync"):
                read = self._backend.values_after(self._model, result)
            self._copy(read)

    def _take_batches(self):
        taken = self._tap.take()
        for step, data in zip(self._steps, taken, strict=False):
            rows = self._place(data)
            batch = Batch(self._epoch, self._index, step, data, rows)
            batch.edits, self._edits = self._edits, {}
            self._index += 1
            self._kept.append(batch)

    def _place(self, data):
        """First and last row of a batch of arrays that are not shuffled."""
        arrays = leaves(data)
        if self._rows is None or not arrays:
            return None
        first = self._index * self._rows
        return first, first + len(arrays[0]) - 1

    def on_failure(self, error: BaseException) -> None:
        """Write what there is: a step broke off.

        Args:
            error: What it raised.
        """
        self._inside = False
        if self._runs and isinstance(error, Exception):
            self._guard(self._fail, error)

    def _fail(self, error):
        self._take_batches()
        if not hasattr(self._model, "jax_state_sync"):
            # There the state is lost with the step.
            self._recording.flush()
        if self._runs and self._kept and self._state is not None:
            step = self._kept[-1].step
            self._write("error", step, error=type(error).__name__)
            if self.written == "error":
                error.add_note(f"GradGuard: {self.note()}")

    def on_block(self, block: Any) -> None:
        """Look at the records of some steps.

        Args:
            block: A `Block`.
        """
        if self._runs and len(block.steps):
            self._guard(self._look, block)

    def _look(self, block):
        self._take_batches()  # records may come before the execution is over
        bad, together = nonfinite_rows(self._model, block), global_norms(block)
        self._records.append((block.steps, block.grad_norm, block.loss))
        for at, step in enumerate(block.steps.tolist()):
            if bad[at]:
                self._write("nonfinite", step)
                return
            if self.written is None and is_spike(together[at], self._norms):
                self._write("spike", step)
            if np.isfinite(together[at]):
                self._norms.append(together[at])

    # Inside

    def _copy(self, read):
        """Keep the present state in place of the last, without batches."""
        left_out = self._recording.ring_ids
        variables = state_variables(self._model, left_out)
        self._previous = self._kept[-1].data if self._kept else None
        self._state, self._kept, self._records = None, [], []
        self._waits = True
        state = [plain_copy(read(variable)) for variable in variables]
        if not is_finite(state):
            return
        self._state = state
        self._touched = {}
        if len(variables) != len(self._variables):
            self._watch(variables)

    def _watch(self, variables):
        """Note which variables are assigned to between two executions."""
        self._patches.undo()
        self._variables = variables
        for at, variable in enumerate(variables):
            self._patches.replace(variable, "assign", self._noting(at))

    def _noting(self, at):
        def make(original):
            def assign(value):
                if not self._inside:
                    self._touched[at] = self._variables[at]
                return original(value)

            return assign

        return make

    def _write(self, reason, step, **facts):
        batches = [batch for batch in self._kept if batch.step <= step]
        if self._state is None or not batches or batches[-1].step != step:
            # It began before the first copy.
            if reason != "spike":
                self._give_up("the fault came before the first copy")
            return
        contents = Contents(
            reason,
            batches,
            self._state,
            self._recorded(step),
            {
                "backend": keras.backend.backend(),
                "keras": keras.version(),
                "keras_gradguard": __version__,
                "model_variables": len(self._model.variables),
                "floatx": keras.config.floatx(),
                "spec": self._tap.spec,
                **facts,
            },
            self._serialized,
            self._previous,
        )
        contents.write(self._folder)
        self.written = reason
        if reason != "spike":
            self.stop()

    def _recorded(self, step):
        """What was recorded since the copy, up to a step."""
        if not self._records:
            return {"steps": np.zeros(0, int)}
        steps, norms, losses = zip(*self._records, strict=True)
        found = {
            "steps": np.concatenate(steps),
            "grad_norm": np.concatenate(norms),
        }
        if all(loss is not None for loss in losses):
            found["loss"] = np.concatenate(losses)
        known = {batch.step for batch in self._kept}
        keep = np.isin(found["steps"], sorted(known))
        keep &= found["steps"] <= step
        return {name: values[keep] for name, values in found.items()}

    def _guard(self, function, *arguments, default=None):
        """Run our own code. Training goes on where it fails."""
        try:
            return function(*arguments)
        except Exception as error:
            self._give_up(f"{type(error).__name__}: {error}")
            return default

    def _give_up(self, reason):
        self.stop()
        if not self._speaks:
            return  # the first of several processes says it for all
        warnings.warn(
            f"{self._owner}: no `capsule` is kept, because {reason}. All "
            "else is recorded as before.",
            GradGuardWarning,
            stacklevel=2,
        )
