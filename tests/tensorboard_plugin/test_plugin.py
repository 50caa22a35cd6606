"""The routes, asked as TensorBoard asks them."""

import base64
import json

import numpy as np
import pytest
from tensorboard import context
from tensorboard import errors

from keras_gradguard import Finding
from keras_gradguard.tensorboard_plugin.views import NAN_CODE
from tests.tensorboard_plugin import conftest

pytestmark = pytest.mark.pure


def cells(matrix, layers):
    data = base64.b64decode(matrix["values"])
    return np.frombuffer(data, "<f4").reshape(-1, layers)


def test_only_its_own_routes(client):
    assert set(client.apps) == {
        "/index.js",
        "/static/*",
        "/runs",
        "/overview",
        "/matrix",
        "/layer",
        "/profile",
    }
    for route in ("/runs", "/overview"):
        assert client.get(route, method="POST").status_code == 405


def test_runs_and_their_versions(client):
    answer = client.json("/runs")
    names = [entry["run"] for entry in answer["runs"]]
    assert names == ["clipped", "exploded", "sick"]
    assert all(entry["version"] > 1e9 for entry in answer["runs"])
    assert answer["all"] == 3


def test_overview_of_a_sick_run(client):
    answer = client.json("/overview", run="sick")
    assert answer["layers"] == [f"net/h{i}" for i in range(7)]
    assert answer["meta"]["model"] == "net"
    assert answer["meta"]["optimizer"] == "Adam"
    assert (answer["first_step"], answer["last_step"]) == (0, 199)
    assert answer["steps"] == list(range(200))
    assert answer["series"]["batch_loss"]["mean"][0] == pytest.approx(0.693)
    assert answer["metrics"] == ["grad_norm", "update_ratio", "weight_norm"]
    (finding,) = answer["findings"]
    assert finding["rule"] == "vanishing_gradient"
    assert finding["remedies"][0]["code"]


def test_clipping_is_told_step_by_step(client):
    answer = client.json("/overview", run="clipped", points=200)
    series = {name: s["mean"] for name, s in answer["series"].items()}
    assert set(series["clip_threshold"]) == {2.5}
    clipped = np.array(series["clipped_fraction"])
    before = np.array(series["global_grad_norm"])
    np.testing.assert_array_equal(clipped == 1, before > 2.5)
    assert 0 < clipped.sum() < 200
    assert np.flatnonzero(series["skipped_fraction"]).tolist() == [50]
    assert max(series["clipped_grad_norm"]) <= 2.5
    assert [e[:2] for e in answer["epochs"]] == [
        [0, 49],
        [1, 99],
        [2, 149],
        [3, 199],
    ]
    assert answer["epochs"][1][2] == {"loss": 0.25, "val_loss": 0.6}


def test_what_is_not_finite_is_valid_json(client):
    text = client.get("/overview", query_string=None, run="exploded").text
    answer = json.loads(text, parse_constant=pytest.fail)
    norm = answer["series"]["global_grad_norm"]["mean"]
    assert np.isfinite(norm[:120]).all()
    assert set(norm[121:]) == {"NaN"}
    profile = client.json("/profile", run="exploded", step=120)
    values = profile["metrics"]["grad_norm"]["values"]
    # Infinite, frozen, not a number.
    assert values[2] == "Infinity"
    assert values[5] is None
    assert values[0] == "NaN"


def test_cells_tell_infinite_from_nan_from_frozen(client):
    answer = client.json("/matrix", run="exploded", columns=200)
    values = cells(answer, 7)
    assert answer["starts"] == list(range(200))
    assert answer["end"] == 200
    assert np.isfinite(values[:120, :5]).all()
    assert np.isposinf(values[120, 2])
    assert (values[121:, [0, 1, 2, 3, 4, 6]] == NAN_CODE).all()
    assert np.isnan(values[:, 5]).all()
    # In a wide column, one such record is enough to be seen.
    values = cells(client.json("/matrix", run="exploded", columns=5), 7)
    assert values.shape == (5, 7)
    assert (values[3:, 0] == NAN_CODE).all()
    assert np.isnan(values[:, 5]).all()


def test_columns_are_means_of_the_records(client):
    fine = cells(client.json("/matrix", run="sick", columns=200), 7)
    coarse = cells(client.json("/matrix", run="sick", columns=10), 7)
    np.testing.assert_allclose(
        coarse, fine.reshape(10, 20, 7).mean(axis=1), rtol=1e-5
    )


def test_ratio_and_weights_stand_at_their_own_steps(client):
    answer = client.json("/matrix", run="sick", metric="update_ratio")
    assert answer["starts"] == [0, 64, 128, 192]
    np.testing.assert_allclose(cells(answer, 7), 1e-3, rtol=1e-5)
    assert answer["low"] == pytest.approx(1e-3)
    answer = client.json("/layer", run="sick", layer="net/h3")
    assert answer["layer"] == "net/h3"
    assert answer["metrics"]["weight_norm"]["mean"] == [2.0] * 4
    norms = answer["metrics"]["grad_norm"]
    assert np.all(np.array(norms["low"]) <= norms["high"])
    profile = client.json("/profile", run="sick", step=100)["metrics"]
    assert profile["grad_norm"]["step"] == 100
    assert profile["update_ratio"]["step"] == 64


@pytest.mark.parametrize(
    ("route", "query", "error"),
    [
        ("/overview", {}, errors.NotFoundError),
        ("/overview", {"run": "../sick"}, errors.NotFoundError),
        ("/overview", {"run": "sick", "points": "x"}, "InvalidArgument"),
        ("/matrix", {"run": "sick", "metric": "loss"}, errors.NotFoundError),
        ("/matrix", {"run": "sick", "columns": "1e9"}, "InvalidArgument"),
        ("/layer", {"run": "sick"}, errors.NotFoundError),
        ("/layer", {"run": "sick", "layer": "net/h9"}, errors.NotFoundError),
        ("/profile", {"run": "sick", "step": "nan"}, "InvalidArgument"),
    ],
)
def test_wrong_questions_get_an_error(client, route, query, error):
    if error == "InvalidArgument":
        error = errors.InvalidArgumentError
    with pytest.raises(error):
        client.get(route, **query)


@pytest.mark.parametrize(
    "name",
    [
        "../plugin.py",
        "..%2fplugin.py",
        "../../../../../../../../etc/passwd",
        "/etc/passwd",
        "//etc/passwd",
        "main.js/../../plugin.py",
        "..\\plugin.py",
        "main.js%00.css",
        ".",
        "",
    ],
)
def test_nothing_but_the_front_end_is_served(client, name):
    path = f"/data/plugin/keras_gradguard/static/{name}"
    with pytest.raises(errors.NotFoundError):
        client.get("/static/*", path=path)


def test_front_end_is_served_with_its_types(client):
    reply = client.get("/index.js")
    assert reply.headers["Content-Type"].startswith("text/javascript")
    assert "render" in reply.text
    for name, kind in (("main.js", "javascript"), ("style.css", "css")):
        reply = client.get("/static/*", path=f"/x/static/{name}")
        assert reply.headers["Content-Type"].startswith(f"text/{kind}")
        assert reply.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("route", ["/index.js", "/static/*"])
def test_front_end_is_only_read(client, route, method):
    reply = client.get(route, path="/x/static/main.js", method=method)
    assert reply.status_code == 405
    assert reply.headers["Allow"] == "GET, HEAD"
    reply = client.get(route, path="/x/static/main.js", method="HEAD")
    assert reply.status_code == 200


def test_front_end_needs_nothing_from_elsewhere():
    static = conftest.ROOT / "keras_gradguard/tensorboard_plugin/static"
    for path in static.iterdir():
        text = path.read_text()
        # SVG's namespace is a name, not an address.
        text = text.replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text, path
        for unsafe in (
            "innerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
        ):
            assert unsafe not in text, path


def test_script_in_names_stays_text(tmp_path):
    script = "<script>alert(1)</script>"
    layers = [f"net/{script}", "net/<img src=x onerror=alert(2)>"]
    trace = conftest.make_trace(layers, np.arange(50), np.ones((50, 2)))
    finding = Finding(
        script, "critical", layers, 0, 9, 0, {"note": script}, script
    )
    conftest.write(tmp_path / "a<script>", trace, [finding])
    client = conftest.Client(tmp_path)
    (entry,) = client.json("/runs")["runs"]
    reply = client.get("/overview", run=entry["run"])
    # Never a page: the browser is told so and must not guess.
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    answer = reply.get_json()
    assert answer["layers"] == layers
    assert answer["findings"][0]["message"] == script


def test_large_run_is_thinned_by_the_server(tmp_path):
    rng = np.random.default_rng(0)
    conftest.write_live(tmp_path, rng.lognormal(size=(5000, 200)), 250)
    client = conftest.Client(tmp_path)
    overview = client.json("/overview", run=".", points=800)
    assert len(overview["steps"]) <= 800
    assert overview["last_step"] == 4999
    reply = client.get("/matrix", run=".", columns=800)
    assert cells(reply.get_json(), 200).shape == (800, 200)
    assert len(reply.data) < 1e6
    # However much is asked for.
    reply = client.json("/matrix", run=".", columns=10**9)
    assert len(reply["starts"]) <= 4000


def test_run_is_read_once_and_again_when_it_grows(tmp_path, monkeypatch):
    from keras_gradguard.tensorboard_plugin import data

    ctx = context.RequestContext()
    reads = []
    real = data.assemble
    monkeypatch.setattr(
        data, "assemble", lambda parts: reads.append(1) or real(parts)
    )
    trace = conftest.make_trace(["a"], np.arange(50), np.ones((50, 1)))
    conftest.write(tmp_path, trace, [])
    provider = conftest.provider_of(tmp_path)
    store = data.RunStore(provider, 100)
    first = store.read(ctx, "", ".")
    assert store.read(ctx, "", ".")[0] is first[0]
    assert len(reads) == 1
    assert store.read(ctx, "", "another") is None
    later = conftest.make_trace(["a"], np.arange(50, 80), np.ones((30, 1)))
    conftest.write(tmp_path, later, [])
    provider._multiplexer.Reload()
    grown, version = store.read(ctx, "", ".")
    assert grown.last_step == 79
    assert version > first[1]
    assert len(reads) == 2


def test_empty_and_foreign_directories(tmp_path):
    client = conftest.Client(tmp_path)
    assert client.json("/runs") == {"runs": [], "all": 0}
    (tmp_path / "foreign").mkdir()
    from keras_gradguard.reporting.tensorboard.encoding import ScalarTemplate
    from keras_gradguard.reporting.tensorboard.event_file import EventFile

    file = EventFile(tmp_path / "foreign")
    file.write(lambda: ScalarTemplate(["loss"]).encode(1e9, 3, [0.5]))
    file.close()
    client = conftest.Client(tmp_path)
    assert client.json("/runs") == {"runs": [], "all": 1}
