"""A damaged or hostile trace file is refused with a reason, or works whole."""

import contextlib
import json
import pathlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given

from keras_gradguard import Trace
from tests.hostile import budget
from tests.hostile import outcomes
from tests.hostile import readers
from tests.hostile import runs
from tests.hostile import traces

pytestmark = pytest.mark.pure


def check(case, folder, plots=False):
    path = folder / "case.npz"
    path.write_bytes(case.data)
    outcome = readers.outcome_of_trace(path, plots)
    assert not outcome.startswith(outcomes.RAW), (case, outcome)
    return outcome


@pytest.mark.parametrize("kind", runs.KINDS)
def test_whole_files_work_to_the_end(kind, tmp_path):
    case = traces.Case(kind, traces.whole(kind)[2])
    assert check(case, tmp_path, plots=True) == outcomes.RIGHT


@pytest.mark.parametrize(
    "cases", [traces.odd_files, traces.every_array, traces.every_field]
)
def test_each_place_of_a_file_damaged(cases, tmp_path):
    for case in budget.share(list(cases()), 60):
        check(case, tmp_path)


def test_files_damaged_in_several_places(tmp_path):
    @given(traces.damaged())
    @budget.examples(40)
    def holds(case):
        check(case, tmp_path)

    holds()


def load(header, arrays, tmp_path, **arguments):
    path = tmp_path / "case.npz"
    path.write_bytes(traces.write(header, arrays))
    return Trace.load(path, **arguments)


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("owners", None, "`owners` is missing"),
        ("owners", [9] * 8, "`owners` holds an index that no layer has"),
        ("records:step", np.ones(75, "f8"), "`records:step` holds float64"),
        (
            "records:grad_norm",
            np.ones((75, 3), "f4"),
            r"`records:grad_norm` is of shape \(75, 3\), not \(75, 8\)",
        ),
        ("records:_order", np.zeros(75, int), "`records:_order` does not rise"),
        ("_sizes", np.full(8, np.inf), "`_sizes` holds sizes that cannot be"),
        ("updates:step", ["x"], "`updates:step` holds <U1, which are no num"),
    ],
)
def test_an_error_names_file_array_and_what_is_wrong(
    name, array, said, tmp_path
):
    header, arrays, _ = traces.whole("healthy")
    arrays[name] = np.array(array)
    if array is None:
        del arrays[name]
    with pytest.raises(ValueError, match=rf"Trace\.load: .*case\.npz.*{said}"):
        load(header, arrays, tmp_path)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("layers", 1), 5, "`layers` holds an entry that is no text"),
        (("meta", "steps_per_epoch"), "x", "`meta.steps_per_epoch` is not a w"),
        (
            ("meta", "layer_info", "net/norm", "shapes", "bias"),
            5,
            "`meta.layer_info.net/norm.shapes.bias` is not a list",
        ),
        (("found", 0, "remedies"), {}, r"`found.0.remedies` is no list"),
        (("tables", "records", "stride"), 0, "`tables.records.stride` is not"),
        (("version",), 99, "`version` is 99, .*pip install --upgrade"),
        (("format",), "x", "another kind of file"),
    ],
)
def test_an_error_names_file_field_and_what_is_wrong(
    path, value, said, tmp_path
):
    header, arrays, _ = traces.whole("dead")
    traces.put(header, path, value)
    with pytest.raises(ValueError, match=rf"Trace\.load: .*case\.npz.*{said}"):
        load(header, arrays, tmp_path)


@pytest.mark.parametrize("make", [traces.bomb, traces.bomb_of_names])
def test_a_small_file_does_not_unpack_to_all_memory(make, tmp_path):
    case = make()
    assert len(case.data) < 2**20
    tracemalloc.start()
    try:
        assert check(case, tmp_path) == outcomes.REFUSED
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


def test_the_owner_of_a_large_file_may_say_so(tmp_path):
    trace = runs.make()
    trace.save(tmp_path / "t.npz")
    with pytest.raises(ValueError, match=r"MiB allowed: pass `max_bytes`"):
        Trace.load(tmp_path / "t.npz", max_bytes=1000)
    assert len(Trace.load(tmp_path / "t.npz", max_bytes=10**7).steps) == 75


def test_nothing_is_unpickled_or_written(tmp_path, monkeypatch):
    folder = tmp_path / "of" / "files"  # and what is above is looked at
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    header, arrays, _ = traces.whole("healthy")
    arrays["pinned"] = np.array([traces.Pickled()], dtype=object)
    with pytest.raises(ValueError, match="`pinned` holds object"):
        load(header, arrays, folder)
    np.load(folder / "case.npz", allow_pickle=True)["pinned"]
    mark = pathlib.Path(traces.Pickled.mark)
    assert mark.exists(), "the trap would have told"
    mark.unlink()
    for case in traces.odd_files():
        (folder / "case.npz").write_bytes(case.data)
        before = sorted(tmp_path.rglob("*"))
        with contextlib.suppress(ValueError):
            Trace.load(folder / "case.npz")
        assert sorted(tmp_path.rglob("*")) == before


def test_a_file_of_the_next_release_keeps_what_it_measured_more(tmp_path):
    header, arrays, _ = traces.whole("healthy")
    arrays["updates:curvature"] = np.ones((len(arrays["updates:step"]), 8))
    header["new"] = {"of": "a later release"}
    trace = load(header, arrays, tmp_path)
    trace.save(tmp_path / "again.npz")
    with np.load(tmp_path / "again.npz") as file:
        np.testing.assert_array_equal(
            file["updates:curvature"], arrays["updates:curvature"]
        )


def test_meta_that_would_not_load_is_not_saved(tmp_path):
    trace = Trace(["a"], ["a/kernel"], [0], meta={"model": 5})
    with pytest.raises(ValueError, match=r"save: `meta` .*`meta.model` is"):
        trace.save(tmp_path / "t.npz")
    meta = {"model": "net", "mine": [1, {"x": None}], "loss_weight": None}
    trace.meta = meta
    trace.save(tmp_path / "t.npz")
    assert Trace.load(tmp_path / "t.npz").meta == meta


def test_what_a_run_knows_oddly_does_not_cost_its_record():
    from keras_gradguard.trace import meta

    known = {"model": "net", "steps_per_epoch": 2.5, "mine": object()}
    assert meta.cleaned(known) == {"model": "net", "mine": known["mine"]}
    assert json.dumps(meta.cleaned({"epochs_planned": -1})) == "{}"
