"""The batches that are named are left out, and no others."""

import keras
import numpy as np
import pytest

import keras_gradguard as kgg

ROWS, SIZE = 22, 4
X = np.arange(ROWS, dtype="float32")[:, None]
Y = -X
LEFT_OUT = [1, 3]
BATCHES = [list(range(at, min(at + SIZE, ROWS))) for at in range(0, ROWS, SIZE)]
EXPECTED = [b for at, b in enumerate(BATCHES) if at not in LEFT_OUT]


class Dataset(keras.utils.PyDataset):
    epochs = 0

    def __len__(self):
        return len(BATCHES)

    def __getitem__(self, index):
        return X[BATCHES[index]], Y[BATCHES[index]]

    def on_epoch_end(self):
        self.epochs += 1


def total(data, epochs=1, **arguments):
    """What `fit` saw of x on the way, added up, per epoch."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def summed(y_true, y_pred):
        return -keras.ops.sum(y_true, axis=-1)

    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=[summed])
    data = data if isinstance(data, tuple) else (data,)
    history = model.fit(
        *data, epochs=epochs, verbose=0, shuffle=False, **arguments
    )
    return history.history["summed"]


ROWS_LEFT = [row for batch in EXPECTED for row in batch]
MEAN = np.mean(ROWS_LEFT)


@pytest.mark.once
def test_arrays():
    x, named = kgg.without_batches((X, {"a": Y}), LEFT_OUT, batch_size=SIZE)
    assert x[:, 0].tolist() == ROWS_LEFT
    np.testing.assert_array_equal(named["a"], -x)
    found = total((x, named["a"]), batch_size=SIZE)
    np.testing.assert_allclose(found, [MEAN], rtol=1e-6)


@pytest.mark.once
def test_py_dataset():
    data = Dataset()
    wrapped = kgg.without_batches(data, LEFT_OUT)
    got = [wrapped[at][0][:, 0].tolist() for at in range(wrapped.num_batches)]
    assert got == EXPECTED
    np.testing.assert_allclose(total(wrapped, 2), [MEAN] * 2, rtol=1e-6)
    plain = Dataset()
    total(plain, 2)
    assert data.epochs == plain.epochs


@pytest.mark.once
def test_generator():
    def forever():
        while True:
            for rows in BATCHES:
                yield X[rows], Y[rows]

    wrapped = kgg.without_batches(forever(), LEFT_OUT)
    found = total(wrapped, steps_per_epoch=len(EXPECTED))
    np.testing.assert_allclose(found, [MEAN], rtol=1e-6)
    # What comes later has other numbers.
    fresh = kgg.without_batches(forever(), LEFT_OUT)
    got = [next(fresh)[0][:, 0].tolist() for _ in range(6)]
    assert got == [*EXPECTED, *BATCHES[:2]]


def test_data_of_tensorflow():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow is not imported on other backends")
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(SIZE)
    wrapped = kgg.without_batches(data, LEFT_OUT)
    got = [x.numpy()[:, 0].tolist() for x, _ in wrapped]
    assert got == EXPECTED
    np.testing.assert_allclose(total(wrapped, 2), [MEAN] * 2, rtol=1e-6)
    (alone,) = kgg.without_batches(data.map(lambda x, y: x).take(2), [0])
    assert alone.numpy()[:, 0].tolist() == BATCHES[1]


def test_loader_of_torch():
    if keras.backend.backend() != "torch":
        pytest.skip("torch is not imported on other backends")
    import torch

    data = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y)),
        batch_size=SIZE,
    )
    wrapped = kgg.without_batches(data, LEFT_OUT)
    got = [x[:, 0].tolist() for x, _ in wrapped]
    assert got == EXPECTED
    assert len(wrapped) == len(EXPECTED)
    np.testing.assert_allclose(total(wrapped, 2), [MEAN] * 2, rtol=1e-6)


CHECKSUMS = [
    kgg.batch_checksum((X[BATCHES[at]], Y[BATCHES[at]])) for at in LEFT_OUT
]


@pytest.mark.once
def test_checksums_of_arrays():
    for wide in (X, X.astype("float64")):
        x, y = kgg.without_batches((wide, Y), CHECKSUMS, batch_size=SIZE)
        assert x[:, 0].tolist() == ROWS_LEFT
        np.testing.assert_array_equal(y, -x)
    both = [LEFT_OUT[0], CHECKSUMS[1].upper()]
    x, _ = kgg.without_batches((X, Y), both, batch_size=SIZE)
    assert x[:, 0].tolist() == ROWS_LEFT
    with pytest.raises(ValueError, match="`fit` shuffled the rows"):
        kgg.without_batches((X[::-1], Y), CHECKSUMS, batch_size=SIZE)


class Shuffled(Dataset):
    """Its batches come in another order in each epoch."""

    order = (3, 0, 2, 4, 1, 5)

    def __getitem__(self, index):
        return super().__getitem__(self.order[index])

    def on_epoch_end(self):
        self.order = self.order[::-1]


@pytest.mark.once
def test_checksums_of_a_shuffled_dataset():
    data = Shuffled()
    wrapped = kgg.without_batches(data, CHECKSUMS)
    for _ in range(2):
        got = [wrapped[at][0][:, 0].tolist() for at in range(6)]
        # The next one comes in the place of each.
        after = [data.order[(data.order.index(b) + 1) % 6] for b in LEFT_OUT]
        expected = [b for b in data.order if b not in LEFT_OUT] + after
        assert sorted(got) == sorted(BATCHES[b] for b in expected)
        data.on_epoch_end()
    total(wrapped, 2)
    every = [kgg.batch_checksum((X[rows], Y[rows])) for rows in BATCHES]
    with pytest.raises(ValueError, match="fewer than all"):
        kgg.without_batches(Dataset(), every)[0]


def test_checksums_of_what_comes():
    batches = [(X[rows], Y[rows]) for rows in BATCHES]
    wrapped = kgg.without_batches(iter(batches[::-1]), CHECKSUMS)
    got = [x[:, 0].tolist() for x, _ in wrapped]
    assert got == EXPECTED[::-1]
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(SIZE)
        data = kgg.without_batches(data.shuffle(6), CHECKSUMS)
        got = sorted(x.numpy()[:, 0].tolist() for x, _ in data)
        np.testing.assert_allclose(total(data, 2), [MEAN] * 2, rtol=1e-6)
    elif backend == "torch":
        import torch

        sampler = torch.utils.data.BatchSampler(range(ROWS), SIZE, False)
        loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y)),
            batch_sampler=list(sampler)[::-1],
        )
        data = kgg.without_batches(loader, CHECKSUMS)
        got = sorted(x[:, 0].tolist() for x, _ in data)
        with pytest.warns(UserWarning, match="ran out of data"):
            found = total(data, 2)
        np.testing.assert_allclose(found, [MEAN] * 2, rtol=1e-6)
    assert sorted(got) == EXPECTED


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((X, [6], SIZE), ValueError, "below 6, the number of batches"),
        ((X, range(6), SIZE), ValueError, "fewer than all 6"),
        ((X, [-1]), ValueError, "must be an integer >= 0"),
        ((X, 3), TypeError, "a list of integers"),
        ((X, np.array(3)), TypeError, "a list of integers"),
        ((X, [True]), TypeError, "must be an integer"),
        ((X, ["0e9c5c"]), ValueError, "checksums of 64 hexadecimal digits"),
        ((X, "0" * 64), TypeError, "a list of integers or of checksums"),
        (((X, Y[1:]), [0]), ValueError, "arrays of one length"),
        ((5, [0]), TypeError, "arrays, a tf.data.Dataset"),
        ((Dataset(), [6]), ValueError, "below 6"),
        ((Dataset(), [0], 4), ValueError, "has batches already"),
    ],
)
def test_what_cannot_be(arguments, error, match):
    with pytest.raises(error, match=match):
        kgg.without_batches(*arguments)
