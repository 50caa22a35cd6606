"""A few rows of the batches that are measured, kept while a fit runs."""

import math

import numpy as np
from keras import tree

from keras_gradguard import _backend
from keras_gradguard.recording.reference import FEWEST
from keras_gradguard.recording.reference import of_table
from keras_gradguard.recording.reference import reference_of
from keras_gradguard.trace.facts import REGRESSION

_MOST, _COLUMNS, _TARGETS = 320, 128, 8
# Numbers of a batch that are copied at most, so fewer rows of large images.
_COPIED = 1 << 17
# Whole numbers of so many columns, up to so many, may be numbers of words.
_WORDS, _FEWEST_WORDS = 4, 8
# So few different rows, each met so often, are a table to learn by heart.
_TABLE, _MET = 16, 3
_CLASSES = "categorical_crossentropy", "sparse_categorical_crossentropy"


class Rows:
    """Keeps rows of x and y of one fit, each row of x once.

    What it does not understand, as texts or several targets, it leaves alone,
    and keeps nothing from then on. It never raises.
    """

    def __init__(self):
        self._waiting: list = []
        self._expected = 0
        self._views: list = []
        self._targets: list = []
        self._seen: dict = {}
        self._met = 0
        self._whole = True
        self._one_hot: set = set()
        self._ended = False

    def __len__(self):
        return len(self._seen)

    def take(self, batch, again=False, of_batches=False):
        """Take some rows of a batch.

        Args:
            batch: What the train step gets: x and y, tensors of any backend.
            again: Bool. Whether the epoch is not the first, so that rows may
                come again, if drawn or noised otherwise. They are taken where
                there are few alone.
            of_batches: Bool. Whether it is a list of batches: one serves.
        """
        enough = FEWEST if again else _MOST
        if self._ended or len(self) + self._expected >= enough:
            return
        try:
            self._take(batch[0] if of_batches else batch)
        except Exception:
            self.end()

    def settle(self):
        """Look at what was taken since; the host may wait for it now."""
        waiting, self._waiting, self._expected = self._waiting, [], 0
        try:
            for taken in waiting:
                self._keep([_backend.current().to_numpy(t) for t in taken])
        except Exception:
            self.end()

    def end(self):
        """Let go of all rows, and take none from now on."""
        self._waiting, self._expected = [], 0
        self._views, self._targets = [], []
        self._seen, self._one_hot = {}, set()
        self._ended = True

    def reference(self, run):
        """Return what trivial learners tell of the rows, or None.

        Args:
            run: `RunInfo` of the run.

        Returns:
            Dict as of `reference_of`.
        """
        self.settle()
        try:
            with np.errstate(invalid="ignore"):
                kind = self._kind(run)
            if kind is None:
                return None
            targets = np.concatenate(self._targets)
            if self._are_a_table and kind == "classes":
                return of_table(targets)
            if len(self) < FEWEST:
                return None
            views = [np.concatenate(v) for v in zip(*self._views, strict=True)]
            return reference_of(views, targets, kind)
        except Exception:
            self.end()
            return None

    @property
    def _are_a_table(self):
        """Whether there are few rows, and each has one target whenever met."""
        often = self._met >= _MET * len(self)
        return len(self) <= _TABLE and often and self._whole

    def _kind(self, run):
        """What the targets are, None if the loss compares something else."""
        if run.output is None or run.own_loss == "model" or not self._targets:
            return None
        name, units = run.output.loss_name, run.data.output_width
        targets = np.concatenate(self._targets)
        one = targets.shape[1] == 1
        whole = not (targets % 1).any()
        if True in self._one_hot:
            fits = name in (_CLASSES[0], None, *REGRESSION)
            return "classes" if fits and len(self._one_hot) == 1 else None
        if name == _CLASSES[1]:
            return "classes" if one and whole else None
        yes_or_no = one and whole and set(np.unique(targets)) <= {0.0, 1.0}
        if name == "binary_crossentropy":
            return "classes" if yes_or_no else None
        if name in REGRESSION or name is None:
            return "numbers" if units in (None, targets.shape[1]) else None
        return None

    def _take(self, batch):
        x, y, weights = (*batch, None)[:3] if len(batch) < 4 else (None,) * 3
        leaves, targets = tree.flatten(x), tree.flatten(y)
        if weights is not None or len(targets) != 1 or not leaves:
            self.end()
            return
        rows = int(targets[0].shape[0])
        largest = sum(math.prod(leaf.shape[1:]) for leaf in leaves)
        room = _MOST - len(self) - self._expected
        room = min(room, _COPIED // max(1, largest))
        if not rows or not room:
            return
        step = max(1, rows // room)
        taken = [
            _backend.current().some_rows(leaf, step, room)
            for leaf in (*leaves, targets[0])
        ]
        if any(part is None for part in taken):
            self.end()
            return
        if all(isinstance(part, np.ndarray) for part in taken):
            self._keep(taken)
            return
        self._waiting.append(taken)
        self._expected += min(room, -(-rows // step))

    def _keep(self, taken):
        if any(part.dtype.kind not in "biuf" for part in taken):
            self.end()
        if self._ended:
            return
        *inputs, target = taken
        one_hot, target = _as_targets(target)
        if target is None or _is_given(inputs, taken[-1]):
            self.end()
            return
        views = views_of(inputs)
        fresh = self._fresh(views, target)
        self._one_hot.add(one_hot)
        self._views.append([view[fresh] for view in views])
        self._targets.append(target[fresh])

    def _fresh(self, views, target):
        """Positions of the rows that were not there before."""
        both = np.concatenate(views, 1)
        fresh = []
        self._met += len(both)
        for at, row in enumerate(both):
            key, told = row.tobytes(), target[at].tobytes()
            if key not in self._seen:
                self._seen[key] = told
                fresh.append(at)
            self._whole &= self._seen[key] == told
        return fresh


def _as_targets(target):
    """Return whether each row names one class, and columns, None if many."""
    target = np.asarray(target)
    if target.ndim == 1:
        target = target[:, None]
    if target.ndim != 2:
        return False, None
    columns = target.astype(np.float64)
    if columns.shape[1] > 1 and ((columns == 0) | (columns == 1)).all():
        if (columns.sum(1) == 1).all():
            return True, columns.argmax(1)[:, None].astype(np.float64)
        return False, None
    few = columns.shape[1] <= _TARGETS
    return False, columns if few else None


def _is_given(inputs, target):
    """Whether the targets have the form of the inputs, as of autoencoders."""
    return (
        target.ndim > 1
        and target.shape[-1] > 1
        and any(part.shape == target.shape for part in inputs)
    )


def views_of(inputs):
    """Return each row as numbers, float32 (n, at most 128), in several ways.

    Args:
        inputs: List of arrays (n, ...), which describe the rows together.

    Returns:
        List of one array; two where the numbers may be those of words: the
        second counts these.
    """
    ways = [_ways(np.asarray(part)) for part in inputs]
    many = max(map(len, ways))
    both = [
        np.concatenate([way[min(at, len(way) - 1)] for way in ways], 1)
        for at in range(many)
    ]
    return [_narrow(view.astype(np.float32)) for view in both]


def _ways(part):
    if part.ndim < 3:
        plain = part.reshape(len(part), -1)
        if _are_words(plain):
            return [plain, _counted(plain)]
        return [plain]
    return [_pooled(part.astype(np.float32))]


def _are_words(part):
    whole = part.dtype.kind in "iu" and part.dtype != np.uint8
    wide = part.shape[1] >= _WORDS and part.size > 0
    return whole and wide and part.min() >= 0 and part.max() >= _FEWEST_WORDS


def _counted(part):
    """How often each word is in a row, of many words some together."""
    words = np.asarray(part % _COLUMNS, np.int64)
    place = words + _COLUMNS * np.arange(len(part))[:, None]
    counts = np.bincount(place.ravel(), minlength=_COLUMNS * len(part))
    return counts.reshape(len(part), _COLUMNS)


def _pooled(part):
    """Means over places of an image or a sequence, then mean and spread."""
    last = part.shape[-1]
    flat = part.reshape(len(part), -1, last)
    ends = [flat.mean(1), flat.std(1)] if last <= 8 else [flat.mean(1)]
    if part.ndim == 3:
        ends.append(part[:, -1])
    axes = part.ndim - 2
    room = max(1.0, _COLUMNS / 2 / last)
    side = max(1, int(room ** (1 / axes) + 1e-9))
    for axis in range(1, part.ndim - 1):
        length = part.shape[axis]
        pieces = min(length, side)
        starts = np.arange(pieces) * length // pieces
        sums = np.add.reduceat(part, starts, axis=axis)
        sizes = np.diff(np.append(starts, length))
        shape = [1] * part.ndim
        shape[axis] = pieces
        part = sums / sizes.reshape(shape)
    return np.concatenate([part.reshape(len(part), -1), *ends], 1)


def _narrow(view):
    """Sums of columns with random signs, where there are too many of them.

    They keep distances (Charikar, Chen and Farach-Colton, 2002).
    """
    wide = view.shape[1]
    if wide <= _COLUMNS:
        return view
    # A generator of its own, so that every run adds the same columns.
    draw = np.random.default_rng(0)
    order = draw.permutation(wide)
    signs = draw.choice(np.array([-1.0, 1.0], np.float32), wide)
    starts = np.arange(_COLUMNS) * wide // _COLUMNS
    return np.add.reduceat((view * signs)[:, order], starts, axis=1)
