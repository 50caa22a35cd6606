"""Summaries of blocks of records: what the rules judge.

A block is a fixed number of records in a row. Its summary never changes once
it is complete, so a finding on the first part of a run stays a finding on the
whole run, and thinning old records does not change a verdict.
"""

import dataclasses
from typing import Any

import numpy as np

from keras_gradguard.trace.table import ThinnedColumns

BLOCK = 10


def make_store(layers, capacity_bytes):
    """Return the bounded table of the summaries of `layers` layers."""
    row = 4 * 3 * max(1, layers) + 64
    store: Any = ThinnedColumns(max(256, int(0.15 * capacity_bytes) // row))
    for name in ("first_step", "last_step"):
        store.add(name, (), np.int64, 0)
    for name in ("log_norm", "zero", "nonfinite"):
        store.add(name, (layers,))
    for name in ("global_log", "loss", "skipped"):
        store.add(name)
    store.pending = None
    return store


def extend(variables, store, values):
    """Summarise the blocks that new records complete.

    Args:
        variables: `TraceVariables` that the records are of.
        store: What `make_store` returned.
        values: The columns of the new records, by name.
    """
    # Only what is summarised waits for its block to fill up.
    names = ("step", "grad_norm", "skipped", "extra/loss")
    rows = len(values["step"])
    fresh = {
        "skipped": np.zeros(rows, bool),
        "extra/loss": np.full(rows, np.nan, np.float32),
    }
    fresh.update({n: values[n] for n in names if n in values})
    if store.pending is not None:
        fresh = {n: np.concatenate([store.pending[n], fresh[n]]) for n in names}
    blocks = len(fresh["step"]) // BLOCK
    used = blocks * BLOCK
    store.pending = {n: np.array(fresh[n][used:]) for n in names}
    if not blocks:
        return
    summary = summarise(
        variables, {n: fresh[n][:used] for n in names}, blocks, BLOCK
    )
    store.append(blocks, summary)


def summarise(variables, values, blocks, size):
    """Return the columns of `blocks` blocks of `size` records each."""
    sums, has_gradient = variables.sums, variables.has_gradient
    norms = sums.grad_norm(values["grad_norm"], has_gradient)
    layers = norms.shape[1]
    norms = norms.reshape(blocks, size, layers)
    positive = np.isfinite(norms) & (norms > 0)
    known = sums.any(has_gradient)
    logs = np.log(np.where(positive, norms, 1).astype(np.float32))
    number = positive.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        log_norm = logs.sum(axis=1) / np.where(number, number, np.nan)
    total = np.nansum(np.where(positive, norms, 0).astype(float) ** 2, axis=2)
    finite = (total > 0) & np.isfinite(norms[:, :, known]).all(axis=2)
    count = finite.sum(axis=1)
    # A norm is a root: half the logarithm of the sum of squares.
    log_total = 0.5 * np.log(np.where(finite, total, 1.0)).sum(axis=1)
    step = values["step"].reshape(blocks, size)
    loss = values["extra/loss"].reshape(blocks, size).astype(float)
    has_loss = np.isfinite(loss)
    loss_sum = np.where(has_loss, loss, 0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "first_step": step[:, 0],
            "last_step": step[:, -1],
            "log_norm": log_norm,
            "zero": (norms == 0).mean(axis=1),
            "nonfinite": (~np.isfinite(norms)).mean(axis=1) * known,
            "global_log": log_total / np.where(count, count, np.nan),
            "loss": loss_sum
            / np.where(has_loss.sum(1), has_loss.sum(1), np.nan),
            "skipped": values["skipped"].reshape(blocks, size).mean(axis=1),
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Blocks:
    """Summaries of B complete blocks, oldest first.

    Attributes:
        first_step: Int array (B,).
        last_step: Int array (B,).
        log_norm: Float array (B, L). Mean natural logarithm of the positive
            finite gradient norms of a layer; NaN where there is none.
        zero: Float array (B, L). Share of gradients that are exactly zero.
        nonfinite: Float array (B, L). Share of non-finite gradients.
        global_log: Float array (B,). Like `log_norm`, of the global norm.
        loss: Float array (B,). Mean of the batch losses, NaN if not recorded.
        skipped: Float array (B,). Share of skipped updates.
    """

    first_step: np.ndarray
    last_step: np.ndarray
    log_norm: np.ndarray
    zero: np.ndarray
    nonfinite: np.ndarray
    global_log: np.ndarray
    loss: np.ndarray
    skipped: np.ndarray

    @classmethod
    def of(cls, store):
        """Return views of the columns of `store`."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: store.get(name) for name in names})

    def __len__(self):
        return len(self.first_step)
