"""Cells of a notebook: the live cell, a report and a trace."""

import sys
import tempfile

from scripts import notebooks
from tests.tensorboard_plugin.browser import browsing

_CELLS = (
    """import keras
import keras_gradguard as kgg
from scripts.pictures import runs

keras.utils.set_random_seed(1)
x, y = runs.moons()
model = runs.dense(10, "sigmoid")
model.compile("adam", "binary_crossentropy")
monitor = kgg.GradientMonitor(verbose="auto")
history = model.fit(x, y, epochs=20, verbose=0, callbacks=[monitor])""",
    "monitor.trace",
)


def make(folder, runs):
    """Make the picture of a notebook."""
    import nbconvert
    import nbformat

    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code) for code in _CELLS]
    )
    with tempfile.TemporaryDirectory() as work:
        source = f"{work}/source.ipynb"
        nbformat.write(book, source)
        book = notebooks.executed(source, work)
        page_path = f"{work}/page.html"
        html, _ = nbconvert.HTMLExporter().from_notebook_node(book)
        with open(page_path, "w", encoding="utf-8") as file:
            file.write(html)
        with browsing(1000, 1500) as page:
            page.phone(1000, 1500)
            page.chrome.get(f"file://{page_path}")
            page.chrome.save_screenshot(str(folder / "notebook.png"))
            wide = page.script("return document.documentElement.scrollWidth")
    sys.stdout.write(f"notebook.png {wide} px wide\n")
