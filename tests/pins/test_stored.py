"""Pinned: what the rules say of stored traces, and the file of a trace.

If a change is meant: `KERAS_BACKEND=torch python -m tests.pins.make`.
"""

import numpy as np
import pytest

import keras_gradguard as kgg
from tests.pins import stored
from tests.pins.compare import differences
from tests.pins.stored import pinned

pytestmark = pytest.mark.pure

DIAGNOSES = pinned("diagnoses")


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    return stored.load_traces(tmp_path_factory.mktemp("traces"))


def test_all_stored_traces_are_pinned(traces):
    assert set(traces) == set(DIAGNOSES)
    found = {
        finding["rule"]
        for diagnosis in DIAGNOSES.values()
        for finding in diagnosis["findings"]
    }
    assert found == set(pinned("ids")["rules"])


@pytest.mark.parametrize("name", sorted(DIAGNOSES))
def test_diagnosis_of_a_stored_trace(name, traces):
    found = stored.diagnosis(traces[name])
    assert differences(DIAGNOSES[name], found, 1e-5, words=1e-9) == []


@pytest.mark.parametrize("name", sorted(DIAGNOSES))
def test_pinned_findings_can_be_read(name):
    for data in DIAGNOSES[name]["findings"]:
        finding = kgg.Finding.from_dict(data)
        assert finding.to_dict() == data
        assert all(remedy.title for remedy in finding.remedies)


def test_a_stored_trace_holds_what_it_held():
    expected = pinned("trace_v1")
    assert differences(expected, stored.trace_file()) == []
    assert expected["header"]["version"] == 1


def test_a_stored_trace_is_saved_again_as_it_was(tmp_path):
    kgg.Trace.load(stored.TRACE_FILE).save(tmp_path / "again.npz")
    expected = stored.arrays_of(stored.TRACE_FILE)
    same_files(expected, stored.arrays_of(tmp_path / "again.npz"), exact=True)


def test_the_same_trace_is_saved_as_it_was(tmp_path):
    stored.make_trace().save(tmp_path / "new.npz")
    expected = stored.arrays_of(stored.SAVED_FILE)
    same_files(expected, stored.arrays_of(tmp_path / "new.npz"), exact=False)


def same_files(expected, found, exact):
    assert set(expected) <= set(found)
    for name in set(found) - set(expected):
        # A series that came later is empty in what was recorded before.
        assert np.isnan(found[name]).all(), name
    assert stored.header_of(expected) == stored.header_of(found)
    for name in set(expected) - {"header"}:
        one, other = expected[name], found[name]
        assert (one.dtype, one.shape) == (other.dtype, other.shape), name
        if exact:
            np.testing.assert_array_equal(one, other, name)
        else:
            np.testing.assert_allclose(one, other, 1e-6, err_msg=name)


def test_the_command_line_is_as_it_was():
    assert differences(pinned("commands"), stored.commands()) == []
