"""The routes, asked as TensorBoard asks them."""

import base64
import json

import numpy as np
import pytest
from tensorboard import context
from tensorboard import errors

from keras_gradguard import Finding
from keras_gradguard import Remedy
from keras_gradguard import Report
from keras_gradguard import Trace
from keras_gradguard.reporting.tensorboard import chunks
from keras_gradguard.reporting.tensorboard.writer import EventWriter
from keras_gradguard.tensorboard_plugin.views import NAN_CODE
from tests.tensorboard_plugin import conftest
from tests.tensorboard_plugin import made_up

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
        "/summaries",
        "/table",
        "/times",
    }
    for route in ("/runs", "/overview", "/summaries", "/table"):
        assert client.get(route, method="POST").status_code == 405


def test_gradients_through_time(tmp_path):
    trace = made_up.recurrent()
    made_up.write(tmp_path / "rnn", trace)
    made_up.write(tmp_path / "mlp", made_up.sigmoid(50))
    client = conftest.Client(tmp_path)
    overview = client.json("/overview", run="rnn")
    assert overview["recurrent"] == ["net/reader", "net/writer"]
    for asked, step in ((0, 0), (100, 64), (9999, 256)):
        answer = client.json("/times", run="rnn", step=asked)
        assert answer["step"] == step
        for shown in answer["layers"]:
            steps, times, norms = trace.time_gradients(shown["layer"])
            (at,) = np.flatnonzero(steps == step)
            known = times[at] >= 0
            assert shown["times"] == times[at][known].tolist()
            np.testing.assert_allclose(
                shown["norms"], norms[at][known], rtol=1e-5
            )
    assert [shown["length"] for shown in answer["layers"]] == [200, 24]
    assert client.json("/overview", run="mlp")["recurrent"] == []
    nothing = client.json("/times", run="mlp", step=3)
    assert (nothing["step"], nothing["layers"]) == (None, [])


def test_damaged_gradients_through_time_are_left_out(tmp_path):
    trace = made_up.recurrent()
    writer = EventWriter(tmp_path / "rnn")
    writer.on_records(trace, 0)
    header = {**writer._tab._header(), "epochs": []}
    writer._tab._write(
        300,
        chunks.RECORDS_TAG,
        header,
        {
            chunks.TIME_STEPS: np.arange(3),
            chunks.TIME_NORMS: np.ones((3, 2, 5), "float32"),
        },
    )
    writer.close(trace, [])
    client = conftest.Client(tmp_path)
    assert client.json("/times", run="rnn", step=999)["step"] == 256
    told = client.json("/overview", run="rnn")["left_out"]["reasons"]
    assert told == ["records: through_time does not fit its layers"]


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


def test_the_front_end_shows_what_is_declared(client):
    reply = client.get("/static/*", path="/x/static/metrics.js")
    assert reply.headers["Content-Type"].startswith("text/javascript")
    head, _, text = reply.text.partition(" = ")
    assert head == "export const METRICS"
    assert json.loads(text.strip().removesuffix(";")) == chunks.SHOWN


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
    assert client.json("/runs") == {"runs": [], "begun": [], "all": 0}
    (tmp_path / "foreign").mkdir()
    from keras_gradguard.reporting.tensorboard.encoding import ScalarTemplate
    from keras_gradguard.reporting.tensorboard.event_file import EventFile

    file = EventFile(tmp_path / "foreign")
    file.write(lambda: ScalarTemplate(["loss"]).encode(1e9, 3, [0.5]))
    file.close()
    client = conftest.Client(tmp_path)
    assert client.json("/runs") == {"runs": [], "begun": [], "all": 1}


def test_run_without_records_has_begun(tmp_path):
    writer = EventWriter(tmp_path / "compiling")
    writer.flush()
    client = conftest.Client(tmp_path)
    answer = client.json("/runs")
    assert answer == {"runs": [], "begun": ["compiling"], "all": 1}
    trace = conftest.make_trace(["a"], np.arange(9), np.ones((9, 1)))
    writer.on_records(trace, 0)
    writer.close(trace, [])
    answer = conftest.Client(tmp_path).json("/runs")
    assert answer["begun"] == []
    assert [entry["run"] for entry in answer["runs"]] == ["compiling"]


def spiked():
    """Norms (10,000, 3) with one step in which one layer stands out."""
    grads = np.random.default_rng(0).lognormal(0, 0.1, (10_000, 3))
    grads[7213, 1] = 500.0
    return grads


def test_one_step_is_seen_in_a_wide_cell(tmp_path):
    grads = spiked()
    conftest.write_live(tmp_path, grads, 250)
    client = conftest.Client(tmp_path)
    answer = client.json("/matrix", run=".", columns=100, cells="max")
    starts = answer["starts"]
    ends = [*starts[1:], answer["end"]]
    raw = [grads[a:b].max(axis=0) for a, b in zip(starts, ends, strict=True)]
    np.testing.assert_allclose(cells(answer, 3), raw, rtol=1e-5)
    # The colours reach as far as is needed to tell it from the rest.
    assert answer["high"] > 5 * np.quantile(grads, 0.99)
    means = client.json("/matrix", run=".", columns=100)
    assert cells(means, 3).max() < 10
    layer = client.json("/layer", run=".", layer="net/block_1/dense")
    assert max(layer["metrics"]["grad_norm"]["high"]) == 500
    norm = client.json("/overview", run=".")["series"]["global_grad_norm"]
    raw = np.sqrt((grads**2).sum(axis=1))
    assert max(norm["high"]) == pytest.approx(raw.max(), rel=1e-5)
    assert min(norm["low"]) == pytest.approx(raw.min(), rel=1e-5)


def test_zoom_shows_the_steps_of_the_window(tmp_path):
    grads = np.random.default_rng(0).lognormal(size=(400, 3))
    conftest.write_live(tmp_path, grads, 50)
    client = conftest.Client(tmp_path)
    query = {"run": ".", "first": 120, "last": 139}
    answer = client.json("/matrix", **query)
    assert answer["starts"] == list(range(120, 140))
    assert answer["end"] == 140
    np.testing.assert_allclose(cells(answer, 3), grads[120:140], rtol=1e-6)
    overview = client.json("/overview", **query)
    assert overview["steps"] == list(range(120, 140))
    assert (overview["first_step"], overview["last_step"]) == (0, 399)
    np.testing.assert_allclose(
        overview["series"]["global_grad_norm"]["mean"],
        np.sqrt((grads[120:140] ** 2).sum(axis=1)),
        rtol=1e-5,
    )
    layer = client.json("/layer", layer="net/block_2/dense", **query)
    np.testing.assert_allclose(
        layer["metrics"]["grad_norm"]["mean"], grads[120:140, 2], rtol=1e-5
    )
    answer = client.json("/matrix", run=".", first=500, last=600)
    assert len(answer["starts"]) == 1


def test_what_was_measured_before_a_window_stands_in_it(client):
    answer = client.json(
        "/matrix", run="sick", metric="update_ratio", first=70, last=130
    )
    assert answer["starts"] == [64, 128]
    assert answer["end"] == 131


def test_variables_have_rows_of_their_own(tmp_path):
    random = np.random.default_rng(0)
    grads = random.lognormal(size=(60, 4)).astype(np.float32)
    names = ["a/kernel", "a/bias", "b/kernel", "b/bias"]
    trace = Trace(["a", "b"], names, [0, 0, 1, 1])
    trace.append(np.arange(60), grads)
    conftest.write(tmp_path, trace, [])
    client = conftest.Client(tmp_path)
    answer = client.json("/matrix", run=".", metric="variable_norm")
    assert answer["rows"] == names
    np.testing.assert_allclose(cells(answer, 4), grads, rtol=1e-6)
    layers = client.json("/matrix", run=".")
    norms = np.sqrt(grads[:, ::2] ** 2 + grads[:, 1::2] ** 2)
    np.testing.assert_allclose(cells(layers, 2), norms, rtol=1e-5)


def test_effects_stand_behind_their_cause_as_in_the_report(tmp_path):
    def finding(rule, severity, cause=None, **arguments):
        remedies = [Remedy(f"mend {rule}", "", "")]
        return Finding(
            *(rule, severity, ["a"], 3, 9, 0, {}, f"{rule}.", remedies, cause),
            **arguments,
        )

    told = [
        finding("vanishing_gradient", "critical", "dead_relu"),
        finding("dead_relu", "warning"),
        finding("exploding_gradient", "critical"),
    ]
    gone = [
        finding(
            *("slow_convergence", "warning"),
            status="resolved",
            resolved_step=30,
        ),
        finding("loss_plateau", "warning", status="withdrawn"),
    ]
    trace = conftest.make_trace(["a"], np.arange(50), np.ones((50, 1)))
    writer = EventWriter(tmp_path)
    writer.on_records(trace, 0)
    writer.on_judged(told, [*told, *gone], trace)
    writer.close(trace, told)
    answer = conftest.Client(tmp_path).json("/overview", run=".")
    shown = [(f["rule"], f["cause"]) for f in answer["findings"]]
    report = Report(told, trace)
    assert shown == [(f.rule, f.cause) for f in report.ranked]
    assert [f["status"] for f in answer["gone"]] == ["resolved", "withdrawn"]
    assert answer["gone"][0]["resolved_step"] == 30


def test_summaries_of_all_runs(client):
    runs = {s["run"]: s for s in client.json("/summaries")["runs"]}
    assert list(runs) == ["clipped", "exploded", "sick"]
    (finding,) = client.json("/overview", run="sick")["findings"]
    assert runs["sick"]["tone"] == finding["severity"]
    assert runs["sick"]["layer"] in [f"net/h{i}" for i in range(7)]
    assert runs["sick"]["findings"][0][0] == "vanishing_gradient"
    assert runs["sick"]["steps"] == 200
    assert runs["sick"]["loss"] == [0.693, 0.693]
    assert runs["clipped"]["loss"] == [0.5, 0.125]
    assert runs["exploded"]["loss"] is None
    assert runs["clipped"]["tone"] in ("good", "unknown")


def test_table_holds_the_raw_numbers(client):
    reply = client.get("/table", run="exploded", first=118, last=121)
    assert reply.headers["Content-Type"].startswith("text/csv")
    head, *lines = reply.text.splitlines()
    assert head.split(",")[:2] == ["step", '"net/h0"']
    assert [line.split(",")[0] for line in lines] == [
        *("118", "119", "120", "121")
    ]
    assert lines[2].split(",")[3] == "inf"
    assert {line.split(",")[6] for line in lines} == {""}
    assert lines[3].split(",")[1] == "nan"
