"""Runs the batches of a capsule through `fit`, up to the step at fault."""

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_gradguard import _backend
from keras_gradguard.callbacks.watch import WatchingCallback
from keras_gradguard.capsule.contents import Contents
from keras_gradguard.capsule.faults import nonfinite_rows
from keras_gradguard.capsule.state import plain_copy
from keras_gradguard.models.values import is_finite
from keras_gradguard.recording.recording import recording_of


@dataclasses.dataclass(slots=True)
class Rerun:
    """What running the batches again has shown.

    Attributes:
        at: Int, the batch at fault, or the last one.
        kind: `"nonfinite"`, `"update"` (the gradient was finite, and the
            weights are not), `"error"`, or None: no step was at fault.
        before: List of arrays, the state before that batch.
        variable: Int, the first variable that an update has spoilt; -1.
        error: What the step raised, or None.
        norms: Dict from step to the norms of its gradients.
        losses: Dict from step to its loss.
    """

    at: int = -1
    kind: str | None = None
    before: list = dataclasses.field(default_factory=list)
    variable: int = -1
    error: Any = None
    norms: dict = dataclasses.field(default_factory=dict)
    losses: dict = dataclasses.field(default_factory=dict)


def run_again(model: Any, contents: Contents, variables: list) -> Rerun:
    """Run the batches of a capsule, in the state that was kept.

    Args:
        model: A compiled Keras model that holds that state.
        contents: `Contents` of the capsule.
        variables: List of the variables that make up the state.

    Returns:
        A `Rerun`.
    """
    found = Rerun()
    watch = _Runner(found, contents, variables)
    batches = [as_fed(batch.data) for batch in contents.batches]
    spec = contents.facts.get("spec")
    data = _backend.current().data_like(batches, spec)
    try:
        model.fit(
            _Batches(batches) if data is None else data,
            epochs=1,
            shuffle=False,
            verbose=0,
            callbacks=[watch],
        )
    except Exception as error:
        if not watch.in_step:
            raise
        found.kind, found.error = "error", error
    return found


def is_exact(contents: Contents, found: Rerun) -> bool | None:
    """Return whether a run again gave the same bits; None if nothing tells.

    Args:
        contents: `Contents` of the capsule.
        found: The `Rerun`.
    """
    steps = contents.records["steps"].tolist()
    same = []
    for row, step in enumerate(steps):
        if step not in found.norms:
            continue
        pairs = [(contents.records["grad_norm"][row], found.norms[step])]
        if "loss" in contents.records and step in found.losses:
            pairs.append((contents.records["loss"][row], found.losses[step]))
        same += [np.array_equal(a, b, equal_nan=True) for a, b in pairs]
    return all(same) if same else None


class _Batches(keras.utils.PyDataset):
    """The batches that were kept."""

    def __init__(self, batches):
        super().__init__()
        self._batches = batches

    def __len__(self):
        return len(self._batches)

    def __getitem__(self, index):
        return self._batches[index]


def as_fed(data):
    """Return a batch as `fit` takes it: without what is None at its end.

    Args:
        data: Structure of arrays, as the train step got it.
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return (data,)
    while len(data) > 1 and data[-1] is None:
        data = data[:-1]
    return data


class _Runner(WatchingCallback):
    """Sets the state before each batch, and looks at what came of it."""

    _owner = "replay"

    def __init__(self, found, contents, variables):
        super().__init__()
        self._found = found
        self._batches = contents.batches
        self._variables = variables
        self._values: Any = None
        self._gone: set[int] = set()
        self.in_step = False

    def on_train_begin(self, logs: Any = None) -> None:
        self._watch.start(recording_of(self._model), len(self._batches))

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch >= len(self._batches):
            return  # the end of data of unknown length shows only now
        self._sync()
        found, edits = self._found, self._batches[batch].edits
        for at, value in edits.items():
            self._variables[at].assign(value)
        if self._values is None or edits:
            self._values = self._state()
        found.at, found.before = batch, self._values
        self.in_step = True

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.in_step = False
        super().on_train_batch_end(batch, logs)
        self._watch.recording.flush()
        self._sync()
        found = self._found
        self._values = self._state()
        if self._batches[batch].step in self._gone:
            found.kind = "nonfinite"
        elif not is_finite(self._values):
            found.kind = "update"
            found.variable = next(
                at
                for at, value in enumerate(self._values)
                if not is_finite([value])
            )
        if found.kind is not None:
            self._model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        self._watch.finish(lambda: None)

    def on_left(self) -> None:
        """Do nothing: who ran it reports an error."""

    def on_block(self, block: Any) -> None:
        """Take in the records of some steps."""
        bad = nonfinite_rows(self._model, block)
        for row, step in enumerate(block.steps.tolist()):
            self._found.norms[step] = block.grad_norm[row]
            if block.loss is not None:
                self._found.losses[step] = block.loss[row]
            if bad[row]:
                self._gone.add(step)

    def _sync(self):
        getattr(self._model, "jax_state_sync", lambda: None)()

    def _state(self):
        return [plain_copy(variable.value) for variable in self._variables]
