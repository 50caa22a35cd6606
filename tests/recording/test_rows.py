"""Rows of the batches that are measured."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

import keras_gradguard as kgg
from keras_gradguard.recording import rows as rows_lib
from keras_gradguard.recording.rows import Rows
from keras_gradguard.recording.rows import views_of
from keras_gradguard.trace.run_info import RunInfo


def tables(count=256, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4)).astype("float32")
    return x, (x[:, :1] * x[:, 1:2] > 0).astype("float32")


def told(loss="binary_crossentropy", units=1, **more):
    return RunInfo.of(
        {
            "outputs": [{"layer": "a", "units": units, "loss": loss}],
            "data": {"output_shape": [units]},
            **more,
        }
    )


def taken(x, y, *weights):
    rows = Rows()
    rows.take((x, y, *weights))
    return rows


def tensors(*parts):
    return tuple(ops.convert_to_tensor(part) for part in parts)


@pytest.mark.parametrize("wrap", [tuple, lambda parts: tensors(*parts)])
def test_rows_of_arrays_and_tensors_are_the_same(wrap):
    x, y = tables(200)
    rows = taken(*wrap((x, y)))
    assert len(rows) == 200
    np.testing.assert_array_equal(rows._views[0][0], x)
    np.testing.assert_array_equal(rows._targets[0], y)
    assert rows.reference(told())["score"] > 0.8


def test_a_row_counts_once_and_all_are_bounded():
    x, y = tables(200)
    rows = taken(x, y)
    rows.take((x[::-1], y[::-1]))
    assert len(rows) == 200
    for seed in range(1, 9):
        rows.take(tables(seed=seed))
    assert len(rows) == rows_lib._MOST
    held = [a.nbytes for views in rows._views for a in views]
    assert sum(held) < 2**20


def test_of_later_epochs_rows_are_taken_where_there_are_few():
    rows = taken(*tables(60))
    rows.take(tables(60, seed=1), again=True)
    assert len(rows) == 60
    rows = taken(*tables(20))
    rows.take(tables(60, seed=1), again=True)
    assert len(rows) == 80


GATES = np.float32([[0, 0], [0, 1], [1, 0], [1, 1]])


def test_few_rows_that_come_again_are_a_table():
    y = np.float32([[0], [1], [1], [0]])
    rows = taken(GATES, y)
    assert rows.reference(told()) is None
    for _ in range(2):
        rows.take((GATES[::-1], y[::-1]), again=True)
    found = rows.reference(told())
    assert (found["score"], found["chance"], found["rows"]) == (1, 0.5, 4)
    assert found["entropy"] == pytest.approx(np.log(2))
    assert rows.reference(told("mse")) is None
    rows.take((GATES, 1 - y))
    assert rows.reference(told()) is None


def test_a_long_batch_is_taken_from_all_over():
    x, y = tables(3200)
    np.testing.assert_array_equal(taken(x, y)._views[0][0], x[::10])


class Odd:
    """What no backend knows."""

    def __getattr__(self, name):
        raise RuntimeError(name)


BATCHES = {
    "nothing": None,
    "empty tuple": (),
    "x alone": tables()[:1],
    "four parts": (*tables(), None, None),
    "text": (np.array(["a", "b"]), np.zeros(2)),
    "objects": (np.array([{}, []], object), np.zeros(2)),
    "odd": (Odd(), Odd()),
    "no rows": (np.zeros((0, 3)), np.zeros(0)),
    "scalars": (np.float32(1), np.float32(2)),
    "lengths differ": (np.zeros((8, 3)), np.zeros(5)),
    "two targets": (tables()[0], {"a": tables()[1], "b": tables()[1]}),
    "images as targets": (np.zeros((8, 3)), np.zeros((8, 4, 4))),
    "itself": (tables()[0], tables()[0]),
    "weights": (*tables(), np.ones(256)),
    "complex": (np.zeros((8, 3), complex), np.zeros(8)),
    "several hot": (tables()[0], np.ones((256, 5))),
    "many numbers": (tables()[0], np.full((256, 50), 0.5)),
}


@pytest.mark.parametrize("name", BATCHES)
def test_what_is_not_understood_is_left_alone(name):
    rows = Rows()
    rows.take(BATCHES[name])
    rows.take(BATCHES[name], of_batches=True)
    assert rows.reference(told()) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_numbers_of_any_kind_do_not_raise(bad):
    x, y = tables()
    rows = taken(np.full_like(x, bad), y)
    rows.take((x, np.full_like(y, bad)))
    rows.reference(told())
    rows.reference(told("mean_squared_error"))


ONE_HOT = np.eye(3)[np.arange(256) % 3]


@pytest.mark.parametrize(
    ("loss", "y", "units", "kind"),
    [
        ("sparse_categorical_crossentropy", np.arange(256) % 3, 3, "classes"),
        (
            "categorical_crossentropy",
            np.eye(3)[np.arange(256) % 3],
            3,
            "classes",
        ),
        ("binary_crossentropy", np.arange(256) % 2, 1, "classes"),
        ("binary_crossentropy", np.arange(256) / 256, 1, None),
        ("mse", np.arange(256) / 256, 1, "numbers"),
        (None, np.arange(256) / 256, 1, "numbers"),
        (None, np.arange(256) % 3, 16, None),
        ("sparse_categorical_crossentropy", np.arange(256) / 9, 3, None),
        ("kl_divergence", np.arange(256) / 9, 1, None),
    ],
)
def test_the_loss_says_what_targets_are(loss, y, units, kind):
    rows = taken(tables()[0], y.astype("float32"))
    found = rows.reference(told(loss, units))
    assert (found and found["kind"]) == kind


def test_a_loss_of_the_model_itself_compares_nobody_knows_what():
    rows = taken(*tables())
    assert rows.reference(told(None, model_kind="subclassed")) is None


def test_images_and_sequences_are_means_over_places():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(9, 16, 16, 1))
    (view,) = views_of([x])
    wanted = x.reshape(9, 8, 2, 8, 2).mean((2, 4)).reshape(9, 64)
    np.testing.assert_allclose(view[:, :64], wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        view[:, 64:], [[a.mean(), a.std()] for a in x], rtol=1e-4, atol=1e-6
    )
    x = rng.normal(size=(9, 40, 2))
    (view,) = views_of([x])
    bounds = [i * 40 // 32 for i in range(33)]
    wanted = [
        [a[i:j].mean(0) for i, j in itertools.pairwise(bounds)] for a in x
    ]
    np.testing.assert_allclose(
        view[:, :64], np.reshape(wanted, (9, 64)), rtol=1e-4, atol=1e-6
    )
    ends = np.concatenate([x.mean(1), x.std(1), x[:, -1]], 1)
    np.testing.assert_allclose(view[:, 64:], ends, rtol=1e-4, atol=1e-6)


def test_words_are_counted():
    x = np.random.default_rng(0).integers(0, 300, (7, 20))
    plain, counts = views_of([x])
    np.testing.assert_array_equal(plain, x)
    wanted = [[(row % 128 == word).sum() for word in range(128)] for row in x]
    np.testing.assert_array_equal(counts, wanted)


@pytest.mark.parametrize("shape", [(1000,), (30, 30, 3), (200, 40), (3,) * 5])
def test_no_row_is_wide(shape):
    (view,) = views_of([np.random.default_rng(0).normal(size=(4, *shape))])
    assert len(view) == 4
    assert view.shape[1] <= 128
    assert view.dtype == np.float32


def test_distances_stay_about_the_same_where_columns_are_summed():
    x = np.random.default_rng(0).normal(size=(40, 3000))
    (view,) = views_of([x])
    gaps, kept = (np.linalg.norm(a[:20] - a[20:], axis=1) for a in (x, view))
    assert np.abs(np.log(kept / gaps)).max() < 0.25


def fitted(x, y, epochs=8, **compiled):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, "tanh"),
            keras.layers.Dense(1, "sigmoid"),
        ]
    )
    arguments = {"loss": "binary_crossentropy", "optimizer": "sgd", **compiled}
    model.compile(**arguments)
    monitor = kgg.GradientMonitor(verbose=0, on_finding="ignore")
    model.fit(
        x, y, epochs=epochs, batch_size=32, verbose=0, callbacks=[monitor]
    )
    return model, monitor


@pytest.mark.parametrize("eager", [False, True])
def test_a_fit_writes_what_its_rows_tell(eager, tmp_path):
    if eager and keras.backend.backend() != "torch":
        pytest.skip("there the host does not see the batches of eager steps")
    x, y = tables(320)
    _, monitor = fitted(x, y, run_eagerly=eager)
    found = monitor.trace.meta["reference"]
    assert found["rows"] >= 96
    assert found["kind"] == "classes"
    assert found["score"] > 0.8
    monitor.trace.save(tmp_path / "trace.npz")
    loaded = kgg.Trace.load(tmp_path / "trace.npz")
    assert loaded.meta["reference"] == found
    assert loaded.run.reference == monitor.trace.run.reference


def test_no_generator_is_drawn_from():
    np.random.seed(5)  # noqa: NPY002  it is the global one that is meant
    wanted = np.random.get_state()[1].copy()  # noqa: NPY002
    rows = taken(*tables())
    rows.take((np.random.default_rng(0).normal(size=(9, 900)), np.zeros(9)))
    rows.reference(told())
    found = np.random.get_state()[1]  # noqa: NPY002
    np.testing.assert_array_equal(found, wanted)


def test_rows_are_let_go_of():
    _, monitor = fitted(*tables(320))
    assert monitor._rows is None


def test_weights_of_samples_keep_rows_out():
    x, y = tables(320)
    model, _ = fitted(x, y)
    monitor = kgg.GradientMonitor(verbose=0, on_finding="ignore")
    model.fit(
        x, y, class_weight={0: 1.0, 1: 2.0}, verbose=0, callbacks=[monitor]
    )
    assert "reference" not in monitor.trace.meta
