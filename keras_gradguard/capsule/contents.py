"""What a capsule holds, and its files."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_gradguard._files import write_atomically
from keras_gradguard.capsule.batches import batch_checksum
from keras_gradguard.capsule.batches import packed
from keras_gradguard.capsule.batches import plain
from keras_gradguard.capsule.batches import unpacked

CAPSULE = "capsule.json"
MODEL = "model.json"
_STATE, _BATCHES, _RECORDS = "state.npz", "batches.npz", "records.npz"
_FORMAT = 1


@dataclasses.dataclass(slots=True)
class Batch:
    """A batch that the train step took.

    Attributes:
        epoch: Int, from 0.
        index: Int, its place in the epoch, from 0.
        step: Int, the update that it is part of.
        data: Structure of arrays, as the train step got it.
        rows: `(first, last)` of arrays that are not shuffled, else None.
        edits: Dict from positions of variables to the values that they were
            given between the step before and this one.
    """

    epoch: int
    index: int
    step: int
    data: Any
    rows: tuple[int, int] | None = None
    edits: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def checksum(self) -> str:
        """See `batch_checksum`."""
        return batch_checksum(self.data)


@dataclasses.dataclass(slots=True)
class Contents:
    """What a capsule holds.

    Attributes:
        reason: `"nonfinite"`, `"spike"` or `"error"`.
        batches: List of `Batch`, the last of them of the step at fault.
        state: List of arrays: the model's variables, then the optimizer's;
            None for an optimizer's that were not made yet.
        records: Dict of arrays: `steps`, `grad_norm` `(T, V)` and, if known,
            `loss`, as the run recorded them.
        facts: Dict: backend, releases, dtypes.
        model: JSON of the serialized model, or None.
        previous: Structure of arrays, the batch before the first, or None.
    """

    reason: str
    batches: list[Batch]
    state: list[Any]
    records: dict[str, np.ndarray]
    facts: dict[str, Any]
    model: Any = None
    previous: Any = None

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write the files. The one that makes it a capsule comes last.

        Args:
            folder: A directory; made if need be.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CAPSULE).unlink(missing_ok=True)
        arrays: list[Any] = []
        entries = [
            {
                "epoch": batch.epoch,
                "index": batch.index,
                "step": batch.step,
                "rows": batch.rows,
                "checksum": batch.checksum,
                "data": packed(batch.data, arrays),
                "edits": {
                    str(at): packed(value, arrays)
                    for at, value in batch.edits.items()
                },
            }
            for batch in self.batches
        ]
        previous = packed(self.previous, arrays)
        known = [value is not None for value in self.state]
        state = [plain(value) for value in self.state if value is not None]
        _save(folder / _STATE, state)
        _save(folder / _BATCHES, arrays)
        _save_named(folder / _RECORDS, self.records)
        (folder / MODEL).unlink(missing_ok=True)
        if self.model is not None:
            _write_json(folder / MODEL, self.model)
        _write_json(
            folder / CAPSULE,
            {
                "format": _FORMAT,
                "reason": self.reason,
                "batches": entries,
                "previous": previous,
                "known": known,
                **self.facts,
            },
        )

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "Contents":
        """Read the files.

        Args:
            folder: A capsule.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it is damaged, or of a later release.
        """
        folder = Path(folder)
        facts = read_facts(folder)
        try:
            arrays = _load(folder / _BATCHES)
            entries, known = facts.pop("batches"), facts.pop("known")
            batches = [
                Batch(
                    entry["epoch"],
                    entry["index"],
                    entry["step"],
                    unpacked(entry["data"], arrays),
                    entry["rows"] and tuple(entry["rows"]),
                    {
                        int(at): unpacked(value, arrays)
                        for at, value in entry["edits"].items()
                    },
                )
                for entry in entries
            ]
            changed = [
                entry["index"]
                for entry, batch in zip(entries, batches, strict=True)
                if entry["checksum"] != batch.checksum
            ]
            values = iter(_load(folder / _STATE))
            state = [next(values) if each else None for each in known]
            with np.load(folder / _RECORDS, allow_pickle=False) as records:
                recorded = dict(records)
            model = None
            if (folder / MODEL).is_file():
                model = json.loads((folder / MODEL).read_text("utf-8"))
            reason = facts.pop("reason")
            previous = unpacked(facts.pop("previous"), arrays)
        except (KeyError, IndexError, StopIteration, OSError) as error:
            raise ValueError(
                f"the capsule {str(folder)!r} is damaged "
                f"({type(error).__name__}: {error}). Write it anew"
            ) from error
        if changed or not batches:
            raise ValueError(
                f"the capsule {str(folder)!r} is damaged: its batches are "
                f"not those that were written (index {changed[:1]}). Write "
                "it anew"
            )
        return cls(reason, batches, state, recorded, facts, model, previous)


def read_facts(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what the main file of a capsule says.

    Args:
        folder: A capsule.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged, or of a later release.
    """
    path = Path(folder) / CAPSULE
    if not path.is_file():
        raise FileNotFoundError(
            f"replay: `capsule` must be a directory with {CAPSULE}, which "
            "`GradientMonitor(capsule=...)` writes at the first fault. "
            f"Received: {str(folder)!r}, in which there is none. Either no "
            "step was at fault, or it is another directory"
        )
    try:
        facts = json.loads(path.read_text("utf-8"))
        written = facts.pop("format")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(
            f"the capsule {str(folder)!r} is damaged: {CAPSULE} cannot be "
            "read. Write it anew"
        ) from error
    if written != _FORMAT:
        raise ValueError(
            f"the capsule {str(folder)!r} has format {written!r}, and this "
            f"release reads {_FORMAT}. Update keras-gradguard"
        )
    return facts


def _save(path, arrays):
    _save_named(path, {f"a{i}": array for i, array in enumerate(arrays)})


def _save_named(path, arrays):
    write_atomically(path, lambda file: np.savez(file, **arrays))


def _load(path):
    with np.load(path, allow_pickle=False) as file:
        return [file[f"a{i}"] for i in range(len(file.files))]


def _write_json(path, value):
    text = json.dumps(value)
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))
