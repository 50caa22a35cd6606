"""A capsule's replay names batch, layer and operation."""

import json

import keras
import numpy as np
import pytest
from keras import tree

import keras_gradguard as kgg
from keras_gradguard.commands import main
from tests.replaying import planted
from tests.replaying.planted import AT
from tests.replaying.planted import BATCH
from tests.replaying.planted import ROW
from tests.replaying.planted import Y
from tests.replaying.planted import fit


def monitor_of(folder, every=5):
    return kgg.GradientMonitor(capsule=folder, capsule_freq=every, verbose=0)


def run(model, x, folder, *callbacks, y=Y, **arguments):
    """Fit, and give the error that the fault may raise."""
    try:
        fit(model, x, y, *callbacks, monitor_of(folder), **arguments)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("kind", planted.PLANTED)
def test_the_planted_fault_is_named(kind, tmp_path):
    make, layer, operation, backward = planted.PLANTED[kind]
    keras.utils.set_random_seed(1)
    model, x = make()
    error = run(model, x, tmp_path)
    found = kgg.replay(tmp_path)
    assert (found.epoch, found.index, found.step) == (0, AT, AT)
    assert found.rows == (AT * BATCH, AT * BATCH + BATCH - 1)
    rows = slice(found.rows[0], found.rows[1] + 1)
    batch = tree.map_structure(lambda a: a[rows], (x, Y))
    if kind != "index":  # whose integers some backends cast
        assert found.checksum == kgg.batch_checksum(batch)
    assert (found.layer, found.operation) == (layer, operation)
    assert found.backward == backward
    assert found.source == ("batch" if kind == "data" else None)
    assert found.exact
    assert found.replayed <= 5
    assert (found.reason == "error") == (error is not None)
    if error is not None:
        assert error.__notes__[-1].endswith(f"gradguard replay {tmp_path}")
    # The state and the batches are enough: nothing says what is at fault.
    for name in ("capsule.json", "state.npz", "batches.npz", "records.npz"):
        content = (tmp_path / name).read_bytes()
        assert not any(
            text.encode() in content for text in ("planted", operation, "out")
        )
    # Without the batch it goes through.
    arrays = x if isinstance(x, list) else [x]
    *left, y = kgg.without_batches((*arrays, Y), [found.index], BATCH)
    model, _ = make()
    history = fit(model, left if isinstance(x, list) else left[0], y)
    assert np.isfinite(history.history["loss"]).all()
    assert all(np.isfinite(w).all() for w in model.get_weights())


class Meddles(keras.callbacks.Callback):
    """Lowers the rate, and moves a weight, between batches."""

    def on_train_batch_begin(self, batch, logs=None):
        if batch in (3, 7):
            getattr(self.model, "jax_state_sync", lambda: None)()
            self.model.optimizer.learning_rate = 0.01 / batch
            bias = self.model.layers[-1].bias
            bias.assign(bias + 0.5)


def test_what_callbacks_change_is_replayed(tmp_path):
    model, x = planted.plain(), planted.numbers()
    x[ROW] = np.inf
    monitor = monitor_of(tmp_path)
    fit(model, x, Y, Meddles(), monitor)
    # The run says where the capsule is.
    (note,) = monitor.report().notes
    assert note.endswith(f"python -m keras_gradguard replay {tmp_path}")
    found = kgg.replay(tmp_path)
    assert (found.index, found.exact) == (AT, True)
    assert all("assign" not in vars(v) for v in model.variables)


@pytest.mark.optimized
def test_watching_with_a_capsule_changes_nothing(tmp_path):
    x = planted.numbers()
    ends = []
    for callbacks in ([], [monitor_of(tmp_path, 3)]):
        model = planted.plain()
        history = fit(model, x, Y, *callbacks, epochs=2, shuffle=True)
        values = [*model.weights, *model.optimizer.variables]
        ends.append(
            ([keras.ops.convert_to_numpy(v) for v in values], history.history)
        )
    assert ends[0][1] == ends[1][1]
    for one, other in zip(ends[0][0], ends[1][0], strict=True):
        np.testing.assert_array_equal(one, other)
    # Nothing was at fault, so nothing is written.
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match="no step was at fault"):
        kgg.replay(tmp_path)


def test_several_steps_at_once(tmp_path):
    if keras.backend.backend() == "torch":
        pytest.skip("Keras on torch runs one step at a time")
    model, x = planted.plain(), planted.numbers()
    model.steps_per_execution = 4
    x[ROW] = np.nan
    run(model, x, tmp_path, epochs=2)
    found = kgg.replay(tmp_path)
    assert (found.epoch, found.index, found.layer) == (0, AT, "before")
    assert found.exact


@pytest.mark.once
def test_a_shuffled_batch_is_known_by_its_checksum(tmp_path):
    model, x = planted.plain(), planted.numbers()
    seen = []

    def batches():
        order = np.random.default_rng(3).permutation(len(x))
        for epoch in range(2):
            for rows in np.split(order, len(order) // BATCH):
                batch = x[rows].copy(), Y[rows]
                if epoch == 1 and len(seen) == 15:
                    batch[0][2] = np.nan
                seen.append(batch)
                yield batch

    model.fit(
        batches(), steps_per_epoch=12, epochs=2, verbose=0,
        callbacks=[monitor_of(tmp_path)],
    )  # fmt: skip
    found = kgg.replay(tmp_path)
    assert (found.epoch, found.index, found.rows) == (1, 3, None)
    assert f'without_batches(data, ["{found.checksum}"])' in str(found)
    assert found.checksum == kgg.batch_checksum(seen[15])


@pytest.mark.once
def test_a_spike_is_kept_and_named(tmp_path):
    def bounded():
        """One whose steps do not go with the spike."""
        model = planted.plain()
        model.compile(keras.optimizers.Adam(0.001), "mse")
        return model

    model, x = bounded(), planted.numbers(shape=(8 * 40, 4))
    y = planted.numbers(5, (8 * 40, 1))
    x[8 * 30 + 1] = 3000.0
    run(model, x, tmp_path, y=y)
    found = kgg.replay(tmp_path)
    assert (found.reason, found.index, found.source) == ("spike", 30, "batch")
    assert (found.layer, found.operation) == ("before", "matmul")
    assert "with the batch before" in found.what
    # What is not finite takes its place.
    x[8 * 35] = np.nan
    run(bounded(), x, tmp_path, y=y)
    found = kgg.replay(tmp_path)
    assert (found.reason, found.index) == ("nonfinite", 35)


@pytest.mark.once
def test_an_update_that_went_too_far(tmp_path):
    model, x = planted.plain(), planted.numbers()
    model.compile(keras.optimizers.SGD(3e38), "mse")
    run(model, x, tmp_path, y=100 * Y)
    found = kgg.replay(tmp_path)
    assert found.operation == "the optimizer's update"
    assert found.index == 0
    assert found.layer in ("before", "out")


@pytest.mark.once
def test_the_command_line(tmp_path, capsys):
    model, x = planted.plain(), planted.numbers()
    x[ROW] = np.nan
    run(model, x, tmp_path)
    assert main(["replay", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"Epoch 1, batch {AT} (step {AT}): the batch holds")
    assert f"rows {AT * BATCH} to {AT * BATCH + 7}" in told
    assert "layer      before" in told
    assert "operation  matmul (forward" in told
    assert "bit for bit as in the run" in told
    assert f"kgg.without_batches((x, y), [{AT}], batch_size={BATCH})" in told
    # A model that cannot be serialized comes from a function.
    (tmp_path / "model.json").unlink()
    assert main(["replay", str(tmp_path)]) == 1
    assert "--model module:function" in capsys.readouterr().err
    made = "tests.replaying.planted:plain"
    assert main(["replay", str(tmp_path), "--model", made, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layer"] == "before"
    made = "tests.replaying.planted:logarithm"
    assert main(["replay", str(tmp_path), "--model", made]) == 1
    assert "a function that returns one" in capsys.readouterr().err
    assert main(["replay", str(tmp_path), "--model", "nowhere:x"]) == 1
    assert "must name a function" in capsys.readouterr().err


@pytest.mark.once
def test_what_cannot_be_replayed_is_told(tmp_path):
    x = planted.numbers()
    x[ROW] = np.nan
    run(planted.plain(), x, tmp_path)
    with pytest.raises(ValueError, match="not that of the run"):
        kgg.replay(tmp_path, other)
    facts = json.loads((tmp_path / "capsule.json").read_text())
    path = tmp_path / "capsule.json"
    path.write_text(json.dumps({**facts, "backend": "elsewhere"}))
    with pytest.raises(ValueError, match="Set KERAS_BACKEND=elsewhere"):
        kgg.replay(tmp_path)
    path.write_text(json.dumps({**facts, "format": 9}))
    with pytest.raises(ValueError, match="has format 9"):
        kgg.replay(tmp_path)
    facts["batches"][0]["checksum"] = "0"
    path.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="is damaged: its batches"):
        kgg.replay(tmp_path)


def other():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


@pytest.fixture
def distribute():
    """`keras.distribution.set_distribution`, taken back afterwards."""
    if keras.backend.backend() != "jax":
        pytest.skip("Keras 3.15 distributes on JAX")
    before = keras.distribution.distribution()
    yield keras.distribution.set_distribution
    keras.distribution.set_distribution(before)


def test_data_on_two_devices_are_replayed(tmp_path, distribute):
    distribute(keras.distribution.DataParallel())
    assert len(keras.distribution.list_devices()) == 2
    model, x = planted.data()
    run(model, x, tmp_path)
    found = kgg.replay(tmp_path)
    assert (found.index, found.layer, found.source) == (AT, "before", "batch")
    assert found.exact
    distribute(None)
    assert kgg.replay(tmp_path).index == AT


def test_sharded_weights_are_not_kept(tmp_path, distribute):
    devices = keras.distribution.list_devices()
    mesh = keras.distribution.DeviceMesh((1, 2), ("batch", "model"), devices)
    layout = keras.distribution.LayoutMap(mesh)
    layout["before/kernel"] = (None, "model")
    distribute(
        keras.distribution.ModelParallel(
            layout_map=layout, batch_dim_name="batch"
        )
    )
    monitor = monitor_of(tmp_path)
    with pytest.warns(kgg.GradGuardWarning, match="weights are sharded"):
        fit(planted.plain(), planted.numbers(), Y, monitor)
    assert monitor.trace.records_seen == planted.BATCHES
    assert not list(tmp_path.iterdir())
