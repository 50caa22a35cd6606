"""Pages and README point to files that are there."""

import pathlib
import re

import pytest

pytestmark = pytest.mark.pure

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r'\]\((?!https?:|#)([^)#\s]+)|src="([^"]+)"')


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_images_exist(page):
    for link, source in LINK.findall(page.read_text(encoding="utf-8")):
        name = (link or source).split("#")[0]
        assert (page.parent / name).is_file(), name


def test_tensorboard_page_says_what_is_written(tmp_path):
    pytest.importorskip("tensorboard")
    import numpy as np
    from tensorboard.backend.event_processing.event_file_loader import (
        EventFileLoader,
    )

    from tests.tensorboard_plugin import conftest

    steps = np.arange(100)
    ones = np.ones((100, 2))
    extra = {"clip_threshold": np.ones(100)}
    trace = conftest.make_trace(["a", "b"], steps, ones, extra=extra)
    path = conftest.write(tmp_path, trace, [])
    tags = {
        value.tag.split("/")[0]
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
    }
    hidden = {
        "keras_gradguard",
        "custom_scalars__config__",
        "_hparams_",
        "grad_norm_log10_over_layers",
    }
    text = (ROOT / "docs" / "tensorboard.md").read_text(encoding="utf-8")
    for tag in tags - hidden:
        assert f"`{tag}`" in text or f"`{tag}/<layer>`" in text, tag
