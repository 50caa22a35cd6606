"""Whether a loss of the user's own sees which target belongs to which row."""

import keras
import numpy as np

# How far two losses of the same numbers may differ, by their rounding alone;
# and how much one has to change where the targets do.
_SAME, _OTHER = 2e-5, 1e-3
# Fewer rows could be alike by chance, and so could outputs that hardly vary.
_ROWS, _VARIES = 8, 0.01


def blind(passed, y):
    """Return whether a loss takes no notice of which target is whose.

    Losses between samples, as that of triplets, need no targets and take any.

    Args:
        passed: The `probe.Pass`, with a loss.
        y: Structure of targets.
    """
    target, output = _only(passed, y)
    if target is None or output.shape not in (
        target.shape,
        (*target.shape, 1),
    ):
        return False
    numbers = target.astype(np.float64)
    spread, middle = float(np.std(numbers)), abs(float(np.mean(numbers)))
    # Else what places change is lost in the rounding of the loss.
    clear = float(np.std(output)) > _VARIES * spread and middle < 3 * spread
    if len(target) < _ROWS or not clear or not np.isfinite(passed.loss):
        return False
    try:
        losses = [
            passed.loss_with(lambda t, by=by: np.roll(t, by, axis=0))
            for by in (1, 3)
        ]
    except Exception:
        return False  # so nothing is known
    apart = max(abs(loss - passed.loss) for loss in losses)
    return apart < _SAME * max(abs(passed.loss), 1e-12)


def unpaired(passed, y):
    """Return whether targets may change places, and the loss is the same.

    Targets (n,) and outputs (n, 1) have a difference of (n, n): each output
    meets each target. Three other orders of the targets show it, where the
    loss depends on the targets at all.

    Args:
        passed: The `probe.Pass`, with a loss.
        y: Structure of targets.
    """
    target, output = _only(passed, y)
    if target is None or output.shape != (*target.shape, 1):
        return False
    spread = float(np.std(target.astype(np.float64)))
    varies = float(np.std(output)) > _VARIES * spread > 0
    if not varies or len(target) < _ROWS or not np.isfinite(passed.loss):
        return False

    def differs(change):
        loss = passed.loss_with(change)
        return abs(loss - passed.loss) / max(abs(passed.loss), 1e-12)

    try:
        orders = [
            differs(lambda t, by=by: np.roll(t, by, axis=0)) for by in (1, 3)
        ]
        orders.append(differs(lambda t: t[::-1].copy()))
        depends = differs(lambda t: (t + 2 * spread).astype(t.dtype))
    except Exception:
        return False  # so nothing is known
    return max(orders) < _SAME and depends > _OTHER


def _only(passed, y):
    """Return the only targets and outputs, or None twice; both are numbers."""
    leaves = [leaf for leaf in keras.tree.flatten(y) if leaf is not None]
    if len(leaves) != 1 or len(passed.outputs) != 1:
        return None, None
    if leaves[0].dtype.kind not in "biuf":
        return None, None
    return leaves[0], passed.outputs[0]
