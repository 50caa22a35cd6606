"""Growth that lasts, over time or over depth, judged block by block.

Each judgement takes a `Trace` and returns a `Growth`, or None.
"""

import numpy as np

from keras_gradguard._text import names
from keras_gradguard._text import number
from keras_gradguard._text import profile_text
from keras_gradguard.diagnosis.evidence.batch import of_few_samples
from keras_gradguard.diagnosis.evidence.learning import (
    first_loss as first_loss_of,
)
from keras_gradguard.diagnosis.evidence.stretches import LOG_ZERO
from keras_gradguard.diagnosis.evidence.stretches import Progress
from keras_gradguard.diagnosis.evidence.stretches import count_within
from keras_gradguard.diagnosis.evidence.stretches import judged_layers
from keras_gradguard.diagnosis.evidence.stretches import log_profile
from keras_gradguard.diagnosis.evidence.stretches import mean_known
from keras_gradguard.diagnosis.evidence.stretches import stretch_end
from keras_gradguard.diagnosis.evidence.stretches import stretch_start
from keras_gradguard.diagnosis.rules.exploding_gradient.growth import Growth
from keras_gradguard.diagnosis.rules.exploding_gradient.growth import layers_by
from keras_gradguard.diagnosis.rules.exploding_gradient.thresholds import DEPTH
from keras_gradguard.diagnosis.rules.exploding_gradient.thresholds import SHARE


def over_time(trace):
    """Judge whether the gradient stays far above where the run began."""
    blocks = trace.blocks()
    if len(blocks) < 2:
        return None
    progress = Progress.of(trace)
    start = np.flatnonzero(np.isfinite(blocks.global_log))
    first_norm = trace.global_norms(0, 1)
    if not len(start) or not np.isfinite(first_norm).all():
        return None
    # The first record, too: a run that blows up does so in its first
    # steps, and then the first block is no place to compare with.
    base = float(blocks.global_log[start[0]])
    few = of_few_samples(trace)
    if first_norm[0] > 0 and not few:
        base = min(base, float(np.log(first_norm[0])))
    factor = 10.0 if progress.known else 1e3
    high = blocks.global_log > base + np.log(factor)
    if progress.known:
        first_loss = first_loss_of(trace, progress)
        with np.errstate(invalid="ignore", over="ignore"):
            high &= progress.loss - first_loss > abs(first_loss)
    window = max(2, progress.window if not progress.per_batch else 2)
    window = 16 if few else window
    hits = np.flatnonzero(count_within(high, window) == window)
    if not len(hits):
        return None
    last = int(hits[0])
    begin = stretch_start(high, last, window)
    first, stop = int(blocks.first_step[begin]), int(blocks.last_step[last])
    log_norm = float(blocks.global_log[last])
    norm = float(np.exp(log_norm))
    rise = np.nan_to_num(blocks.log_norm[last], nan=LOG_ZERO)
    layers = layers_by(trace, rise)
    text = (
        f"Since step {first} the gradient norm is around {number(norm)}, "
        f"against {number(np.exp(base))} at the start."
    )
    if progress.known:
        text += (
            f" The loss rose from {number(first_loss, 4)} to "
            f"{number(progress.loss[last], 4)}: the run diverges."
        )
    evidence = {
        "growth": float(np.exp(log_norm - base)),
        "threshold": factor,
        "window": {"first_step": first, "last_step": stop},
    }
    until = int(blocks.last_step[stretch_end(high, last)])
    return Growth(layers, first, until, evidence, text)


def over_depth(trace):
    """Judge whether the gradient grows from the output to the input."""
    blocks, mask = trace.blocks(), judged_layers(trace)
    progress = Progress.of(trace)
    if np.count_nonzero(mask) < 3 or not progress.known:
        return None
    logs = log_profile(trace)
    end = _end(trace, mask, logs)
    rise = logs - logs[:, end : end + 1]
    # A head without any gradient is another sickness.
    rise[logs[:, end] <= LOG_ZERO] = 0.0
    window = max(DEPTH["window"], progress.window)
    high = rise > np.log(DEPTH["ratio"])
    seen = count_within(high, window) >= SHARE * window
    good = seen.any(axis=1)
    good &= progress.stalled(window, DEPTH["stalled"])
    good &= progress.not_learned(window, DEPTH["learned"])
    if not good.any():
        return None
    last = int(np.argmax(good))
    means = mean_known(logs[last - window + 1 : last + 1])
    culprits = np.flatnonzero(seen[last])
    culprits = culprits[np.argsort(-means[culprits], kind="stable")]
    names_of = trace.layers[mask]
    worst = int(culprits[0])
    begin = stretch_start(high[:, worst], last, window)
    first, stop = int(blocks.first_step[begin]), int(blocks.last_step[last])
    layers = [str(layer) for layer in names_of[culprits]]
    text = (
        f"{layers[0]} gets {number(np.exp(means[worst] - means[end]))} times "
        f"more gradient than {names_of[end]} at the output. The norms are "
        f"{number(np.exp(means[worst]))} and {number(np.exp(means[end]))}, "
        "and the loss does not fall. It grows on its way back, above all in "
        f"{names(layers)}. "
        f"Gradient norms from input to output: {profile_text(np.exp(means))}."
    )
    evidence = {
        "ratio": float(np.exp(means[worst] - means[end])),
        "threshold": DEPTH["ratio"],
        "window": {"first_step": first, "last_step": stop},
    }
    until = int(blocks.last_step[stretch_end(high[:, worst], last)])
    return Growth(layers, first, until, evidence, text, "warning")


def _end(trace, mask, logs):
    """Return where the gradient begins: of several outputs, at the largest."""
    ends = [output.layer for output in trace.run.outputs]
    at = np.flatnonzero(np.isin(trace.layers[mask], ends))
    if len(at) < 2:
        return logs.shape[1] - 1
    return int(at[np.argmax(np.nanmedian(logs[:, at], axis=0))])
