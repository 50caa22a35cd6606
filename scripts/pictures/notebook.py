"""Cells of a notebook: the live cell, a report and a trace."""

import sys
import tempfile

from scripts import notebooks
from tests.tensorboard_plugin.browser import browsing

_CELLS = (
    """import keras
from sklearn.datasets import make_moons
import keras_gradguard as kgg

keras.utils.set_random_seed(1)
x, y = make_moons(250, noise=0.05, random_state=42)
layers = [keras.layers.Dense(10, "sigmoid", name=f"h{i}") for i in range(1, 10)]
layers.append(keras.layers.Dense(1, "sigmoid", name="output"))
model = keras.Sequential([keras.Input((2,)), *layers], name="net")
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
            page.phone(1000, 400)
            page.chrome.get(f"file://{page_path}")
            page.phone(1000, page.script("return document.body.scrollHeight"))
            page.chrome.save_screenshot(str(folder / "notebook.png"))
            wide = page.script("return document.documentElement.scrollWidth")
    sys.stdout.write(f"notebook.png {wide} px wide\n")
