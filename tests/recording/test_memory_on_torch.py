"""On torch no statistic makes a tensor as large as what it reads.

Each operation there makes a tensor of its own. What a plain fit makes is
counted, and what a watched one makes beside it: only the copy of the weights
that the update is measured by may be large.
"""

import collections

import keras
import numpy as np
import pytest
from keras import layers

import keras_gradguard as kgg
from keras_gradguard.trace import ACTIVATION_SERIES
from keras_gradguard.trace import DATA_SERIES

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="about torch's tensors"
)
STEPS, BATCH = 4, 64
# Bytes. A piece has 256 KiB of float32; what is watched here, 512 or more.
LARGE = 400_000


def dense():
    made = [layers.Dense(2048, "relu"), layers.Dense(2048, "tanh")]
    return [keras.Input((2048,)), *made], "same"


def without_biases():
    """The kernels' gradients tell which units are dead."""
    made = [layers.Dense(2048, "relu", use_bias=False) for _ in range(2)]
    return [keras.Input((2048,)), *made, layers.Dense(5)], "classes"


def images():
    made = [
        layers.Conv2D(32, 3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.LeakyReLU(),
        layers.Conv2D(32, 3, padding="same", activation="relu6"),
        layers.Conv2D(3, 3, padding="same", activation="sigmoid"),
    ]
    return [keras.Input((16, 16, 3)), *made], "same"


def tokens():
    made = [
        layers.Embedding(50, 64),
        layers.Dense(256, "gelu"),
        layers.LayerNormalization(),
        layers.Dense(50),
    ]
    return [keras.Input((64,), dtype="int32"), *made], "themselves"


KINDS = [dense, without_biases, images, tokens]


def made(kind):
    """A compiled model and its data."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    stack, targets = kind()
    model = keras.Sequential(stack)
    random = np.random.default_rng(0)
    shape = (STEPS * BATCH, *model.input_shape[1:])
    loss = "mse"
    if targets == "themselves":
        x = y = random.integers(0, 50, shape)
    else:
        x = y = random.normal(size=shape).astype("float32")
        if targets == "classes":
            y = random.integers(0, 5, len(x))
    if targets != "same":
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    return model, x, y


def fit(kind, *callbacks):
    model, x, y = made(kind)
    model.fit(
        *(x, y), batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks
    )
    return model


def watched(kind, folder=None, method="auto"):
    """What a fit of both callbacks showed."""
    monitor = kgg.GradientMonitor(
        folder, verbose=0, on_finding="ignore", histogram_freq=1
    )
    detector = kgg.DeadReLUDetector(method=method, verbose=0)
    fit(kind, monitor, detector)
    return monitor.trace, detector.dead_fraction


def large_tensors(run):
    """Operations that made a large tensor, with its size: how often."""
    import torch
    from torch.utils import _pytree as pytree
    from torch.utils._python_dispatch import TorchDispatchMode

    found: collections.Counter = collections.Counter()

    def storages(structure):
        leaves = pytree.tree_leaves(structure)
        return [
            leaf.untyped_storage()
            for leaf in leaves
            if isinstance(leaf, torch.Tensor)
        ]

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            known = {s.data_ptr() for s in storages((args, kwargs))}
            for storage in storages(result):
                if storage.data_ptr() not in known and storage.nbytes() > LARGE:
                    found[str(func), storage.nbytes()] += 1
            return result

    with Mode():
        run()
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["gradient", "activation"])
def test_only_the_weights_are_copied(kind, method, tmp_path):
    plain = large_tensors(lambda: fit(kind))
    seen = large_tensors(lambda: watched(kind, tmp_path, method))
    weights = {
        4 * int(np.prod(v.shape)) for v in made(kind)[0].trainable_variables
    }
    more = {
        (name, size): count
        for (name, size), count in (seen - plain).items()
        if not (name.startswith("aten.clone") and size in weights)
    }
    assert not more


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_show_what_the_whole_shows(kind, tmp_path, monkeypatch):
    from keras_gradguard._backend.torch import pieces

    shown = []
    for size in (1 << 9, 1 << 40):
        monkeypatch.setattr(pieces, "_CACHED", size)
        shown.append(watched(kind, tmp_path / str(size), "activation"))
    (cut, dead), (whole, dead_of_whole) = shown
    assert dead == dead_of_whole
    assert cut.sites.tolist() == whole.sites.tolist()
    assert cut.activation_steps.tolist() == whole.activation_steps.tolist()
    for name in ACTIVATION_SERIES:
        np.testing.assert_allclose(
            *(cut.activation(name), whole.activation(name)), 1e-4, 1e-6
        )
    for name in DATA_SERIES:
        np.testing.assert_allclose(
            *(cut.data(name), whole.data(name)), 1e-4, 1e-6, err_msg=name
        )


def test_pieces_are_counted_as_the_whole(monkeypatch):
    import torch

    from keras_gradguard._backend.torch import pieces
    from keras_gradguard.recording.step.histograms import octave_counts

    gradient = torch.randn(70, 90) * torch.logspace(-30, 30, 90)
    gradient[3, :5] = torch.tensor([0.0, torch.inf, -torch.inf, torch.nan, 1])
    tensors = [gradient, gradient.T, gradient[::2, ::3], gradient[3, :5]]
    whole = octave_counts(tensors)
    monkeypatch.setattr(pieces, "_CACHED", 1 << 7)
    assert len(pieces.entries(gradient[::2, ::3])) > 1
    assert torch.equal(octave_counts(tensors), whole)
