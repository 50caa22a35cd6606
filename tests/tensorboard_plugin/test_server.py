"""A real TensorBoard process, with both of its loaders."""

import json
import urllib.error
import urllib.request

import numpy as np
import pytest

from keras_gradguard.reporting.tensorboard.writer import EventWriter
from keras_gradguard.trace.histogram import COLUMNS
from keras_gradguard.trace.histogram import GradientHistogram
from tests.tensorboard_plugin import conftest
from tests.tensorboard_plugin.conftest import eventually
from tests.tensorboard_plugin.conftest import fetch
from tests.tensorboard_plugin.conftest import serving

LOADERS = ("false", "true")


def ask(url, route):
    return json.loads(fetch(f"{url}data/plugin/keras_gradguard/{route}"))


@pytest.fixture(params=LOADERS)
def load_fast(request):
    if request.param == "true":
        pytest.importorskip("tensorboard_data_server")
    return request.param


@pytest.mark.once
def test_tab_is_on_and_keeps_every_record(tmp_path, load_fast):
    # 250 events, more than either loader keeps of a foreign plugin.
    grads = np.repeat(np.arange(2500.0)[:, None] + 1, 3, axis=1)
    conftest.write_live(tmp_path / "long", grads, 10, thin=False)
    with serving(tmp_path, load_fast) as url:

        def about():
            listing = json.loads(fetch(f"{url}data/plugins_listing"))
            return listing["keras_gradguard"]

        def overview():
            try:
                return ask(url, "overview?run=long&points=4000")
            except urllib.error.HTTPError:
                return {"findings": None}  # not read yet

        assert eventually(lambda: about()["enabled"])
        assert about()["tab_name"] == "GradGuard"
        assert eventually(lambda: overview()["findings"] == [])
        answer = overview()
        assert answer["points"] == 2500
        assert answer["last_step"] == 2499
        norms = answer["series"]["global_grad_norm"]["mean"]
        np.testing.assert_allclose(
            norms, (np.arange(2500) + 1) * 3**0.5, rtol=1e-5
        )
        frame = fetch(f"{url}data/plugin_entry.html?name=keras_gradguard")
        assert "index.js" in frame
        assert "render" in fetch(f"{url}data/plugin/keras_gradguard/index.js")
        main = fetch(f"{url}data/plugin/keras_gradguard/static/main.js")
        assert "export async function render" in main
        # TensorBoard's own dashboards have the run, too.
        scalars = json.loads(fetch(f"{url}data/plugin/scalars/tags"))
        assert "global_grad_norm" in scalars["long"]
        layout = fetch(f"{url}data/plugin/custom_scalars/layout")
        assert "GradGuard" in layout


@pytest.mark.once
def test_data_arrive_while_it_runs(tmp_path, load_fast):
    first = conftest.make_trace(["a"], np.arange(50), np.ones((50, 1)))
    conftest.write(tmp_path / "run", first, [])
    with serving(tmp_path, load_fast) as url:

        def last_step():
            try:
                return ask(url, "overview?run=run")["last_step"]
            except urllib.error.HTTPError:
                return -1  # not read yet

        assert eventually(lambda: last_step() == 49)
        more = conftest.make_trace(["a"], np.arange(50, 90), np.ones((40, 1)))
        conftest.write(tmp_path / "run", more, [])
        assert eventually(lambda: last_step() == 89)
        assert ask(url, "overview?run=run")["points"] == 90


@pytest.mark.once
def test_errors_and_attacks_over_the_wire(logdir):
    def status(route):
        try:
            fetch(f"{url}data/plugin/keras_gradguard/{route}")
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    with serving(logdir) as url:
        assert eventually(lambda: status("overview?run=sick") == 200)
        assert status("overview?run=none") == 404
        assert status("overview?run=%2e%2e%2fsick") == 404
        assert status("matrix?run=sick&columns=x") == 400
        assert status("static/../plugin.py") in (400, 404)
        assert status("static/%2e%2e/plugin.py") in (400, 404)
        assert status("static/..%2f..%2f..%2fetc%2fpasswd") in (400, 404)
        assert status("plugin.py") == 404


@pytest.mark.once
def test_hparams_dashboard_knows_the_run(logdir):
    with serving(logdir) as url:

        def columns():
            request = urllib.request.Request(
                f"{url}data/plugin/hparams/experiment",
                data=b"{}",
                headers={"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=20) as reply:
                known = json.loads(reply.read())
            return {info["name"] for info in known.get("hparamInfos", [])}

        assert eventually(lambda: "optimizer" in columns())
        assert "model" in columns()


@pytest.mark.once
def test_histograms_dashboard_shows_the_gradients(tmp_path, load_fast):
    random = np.random.default_rng(0)
    trace = conftest.make_trace(["a"], np.arange(3), np.ones((3, 1)))
    writer = EventWriter(tmp_path / "run")
    for step in range(3):
        row = np.zeros((1, COLUMNS))
        row[0, 0] = -10 * step
        row[0, 2:] = random.integers(0, 9, COLUMNS - 2)
        histogram = GradientHistogram.unpack(step, row, [10_000])
        writer.on_histogram(histogram, trace)
    writer.close(trace, [])
    with serving(tmp_path, load_fast) as url:
        route = f"{url}data/plugin/histograms/"

        def tags():
            return json.loads(fetch(f"{route}tags")).get("run", {})

        tag = "gradients_log10/a"
        assert eventually(lambda: tag in tags())
        assert "gradients/a" in tags()
        shown = json.loads(fetch(f"{route}histograms?run=run&tag={tag}"))
        assert [step for _, step, _ in shown] == [0, 1, 2]
        # Each sinks by ten octaves, three decades.
        tops = [buckets[-1][1] for _, _, buckets in shown]
        np.testing.assert_allclose(np.diff(tops), -10 * np.log10(2))


def test_beside_the_callback_of_keras(tmp_path, backend):
    if backend != "tensorflow":
        pytest.skip("keras.callbacks.TensorBoard is TensorFlow's here")
    import keras

    from keras_gradguard import GradientMonitor

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(
        np.ones((64, 4)),
        np.ones((64, 1)),
        verbose=0,
        callbacks=[
            keras.callbacks.TensorBoard(tmp_path, histogram_freq=1),
            GradientMonitor(tmp_path, verbose=0),
        ],
    )
    with serving(tmp_path) as url:
        assert eventually(
            lambda: [r["run"] for r in ask(url, "runs")["runs"]] == ["."]
        )
        scalars = json.loads(fetch(f"{url}data/plugin/scalars/tags"))
        assert "global_grad_norm" in scalars["."]
        assert "epoch_loss" in scalars["train"]
