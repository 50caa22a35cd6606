import os

import pytest

from keras_gradguard import _files

pytestmark = pytest.mark.pure


def busy(times, monkeypatch):
    """As on Windows: a file that is open refuses to be replaced so often."""
    replace, tries = os.replace, []

    def refuse_at_first(draft, path):
        tries.append(draft)
        if len(tries) <= times:
            raise PermissionError(13, "Access is denied", str(path))
        replace(draft, path)

    monkeypatch.setattr(_files.os, "replace", refuse_at_first)
    monkeypatch.setattr(_files.time, "sleep", lambda seconds: None)
    return tries


def test_a_file_that_somebody_reads_is_replaced_a_little_later(
    tmp_path, monkeypatch
):
    path = tmp_path / "trace.npz"
    path.write_bytes(b"old")
    tries = busy(3, monkeypatch)
    _files.write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"
    assert len(tries) == 4
    assert [p.name for p in tmp_path.iterdir()] == ["trace.npz"]


def test_a_file_that_stays_open_keeps_what_it_was_and_is_an_error(
    tmp_path, monkeypatch
):
    path = tmp_path / "trace.npz"
    path.write_bytes(b"old")
    busy(100, monkeypatch)
    with pytest.raises(PermissionError):
        _files.write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["trace.npz"]
