"""Pictures of the documentation: shown somewhere, small, and what they say."""

import pathlib

import pytest

pytestmark = pytest.mark.pure

ROOT = pathlib.Path(__file__).parents[2]
PICTURES = sorted((ROOT / "docs" / "images").rglob("*.png"))
LARGEST = 200_000


def test_each_picture_is_shown_by_a_page():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    for picture in PICTURES:
        path = picture.relative_to(ROOT / "docs").as_posix()
        assert f"{path})" in text, path


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_pictures_are_whole_and_load_at_once(path):
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert data.endswith(b"IEND\xaeB`\x82")
    assert len(data) <= LARGEST
